import pg from 'pg';
import type { Admin } from './databases.ts';

export type Turn = {
  /** Of the database or the template. */
  readonly name: string;
  /**
   * What is done about whoever has the turn. A site's database is touched only under the site's lease, so another one that is at it lost
   * that lease: it is `ended`, at once. A template is everybody's: its seeding is `awaited`, for as long as one may take.
   */
  readonly others: 'ended' | 'awaited';
};

/** Longer than a seed may take; who has not come to an end by then is frozen. */
const LONGEST_TURN_MS = 150_000;
/** A server in a region that is down does not even refuse. */
export const CONNECT_MS = 30_000;
const LOCK_NOT_AVAILABLE = '55P03';
const KEY = `hashtextextended('mayfly ' || $1, 0)`;
/** An advisory lock's 64 bits are in two columns. */
const END_OTHERS = `
  with lock as (select ${KEY} as key)
  select pg_terminate_backend(pid, 5000) from pg_locks, lock
  where locktype = 'advisory' and objsubid = 1 and pid <> pg_backend_pid()
  and classid::bigint = (key >> 32) & 4294967295 and objid::bigint = key & 4294967295`;

/**
 * One at a time over all processes. The turn is an advisory lock, and `deed` makes its statements on the very connection that holds it:
 * one whose turn was ended while it was frozen changes nothing any more once it thaws.
 */
export async function alone<T>(admin: Admin, turn: Turn, deed: (admin: Admin) => Promise<T>): Promise<T> {
  const client = new pg.Client({
    connectionString: admin.adminUrl,
    application_name: 'mayfly-sites-turn',
    connectionTimeoutMillis: CONNECT_MS,
  });
  // Losing the connection loses the turn, and the next statement on it throws.
  client.on('error', () => undefined);
  await client.connect();
  try {
    await begin(client, turn);
    return await deed({ ...admin, db: client });
  } finally {
    await client.end();
  }
}

async function begin(client: pg.Client, { name, others }: Turn): Promise<void> {
  if (others === 'ended') await client.query(END_OTHERS, [name]);
  const take = () => client.query(`select pg_advisory_lock(${KEY})`, [name]);
  await client.query(`set lock_timeout = ${LONGEST_TURN_MS}`);
  try {
    await take();
  } catch (error) {
    if (!(error instanceof pg.DatabaseError) || error.code !== LOCK_NOT_AVAILABLE) throw error;
    await client.query(END_OTHERS, [name]);
    await take();
  }
  await client.query('reset lock_timeout');
}
