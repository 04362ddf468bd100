import pg from 'pg';
import { expect, inject, test } from 'vitest';
import { openPool } from '../../src/store/pool.ts';
import { until } from '../world.ts';

test('a connection that breaks is told of, unless its pool is being closed', async () => {
  const lost: string[] = [];
  const pool = openPool({ connectionString: inject('postgresUrl') }, ({ message }) => lost.push(message));
  const { rows } = await pool.query<{ pid: number }>('select pg_backend_pid() as pid');
  const other = new pg.Client(inject('postgresUrl'));
  await other.connect();
  try {
    await other.query('select pg_terminate_backend($1)', [rows[0]?.pid]);
    await until('it to be told', () => lost.length > 0);
    expect(lost).toEqual(['terminating connection due to administrator command']);
    const idle = await pool.connect();
    idle.release();
    const ended = pool.end();
    // As a server that stops does before it has heard that we are leaving.
    idle.emit('error', new Error('terminating connection due to administrator command'));
    await ended;
    expect(lost).toHaveLength(1);
  } finally {
    await other.end();
  }
});
