import pg from 'pg';

const ANSWER_MS = 5_000;

/** Whether sites' databases may be made on that PostgreSQL, and how many connections it has for all of them. Changes nothing. */
export async function lookAtServer(url: string): Promise<{ readonly mayMake: boolean; readonly connections: number }> {
  const client = new pg.Client({
    connectionString: url,
    application_name: 'mayfly-doctor',
    connectionTimeoutMillis: ANSWER_MS,
    query_timeout: ANSWER_MS,
  });
  // What breaks is told by whoever waits for an answer.
  client.on('error', () => undefined);
  try {
    await client.connect();
    const { rows } = await client.query<{ may_make: boolean; connections: number }>(
      `select rolsuper or (rolcreatedb and rolcreaterole) as may_make, current_setting('max_connections')::int as connections
       from pg_roles where rolname = current_user`,
    );
    return { mayMake: rows[0]?.may_make === true, connections: rows[0]?.connections ?? 0 };
  } finally {
    await client.end().catch(() => undefined);
  }
}
