import pg from 'pg';

/**
 * Connections that are opened when asked for and kept a while. `lost` is told of each that breaks while nobody uses it; never once the pool
 * is being closed: a server that stops right after us may end what we are about to.
 */
export function openPool(config: pg.PoolConfig, lost: (error: Error) => void): pg.Pool {
  const pool = new pg.Pool(config);
  // Without a listener the loss of an idle connection would end the process. The pool drops it and opens another when asked.
  return pool.on('error', (error) => {
    if (!pool.ending) lost(error);
  });
}
