import { randomBytes } from 'node:crypto';
import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { migrate } from '../src/store/migrate.ts';
import type { Database } from '../src/store/schema.ts';

const TEMPLATE = 'mayfly_template';

/** The same server, another database. */
export function onDatabase(url: string, database: string): string {
  const other = new URL(url);
  other.pathname = `/${database}`;
  return other.href;
}

/** Makes the migrated database that every test's own is copied from. */
export async function prepareTemplate(postgresUrl: string): Promise<void> {
  await askOn(postgresUrl, `create database ${TEMPLATE}`);
  const pool = new pg.Pool({ connectionString: onDatabase(postgresUrl, TEMPLATE), max: 1 });
  const db = new Kysely<Database>({ dialect: new PostgresDialect({ pool }) });
  await migrate(db);
  await db.destroy();
}

export type TestDatabase = AsyncDisposable & { readonly url: string; readonly name: string };

/**
 * A fresh database; dropped when disposed of, which fails when the test has left connections open.
 * @param server the run's PostgreSQL: `inject('postgresUrl')`
 */
export async function createDatabase(server: string, from: 'migrated' | 'empty' = 'migrated'): Promise<TestDatabase> {
  const name = `test_${randomBytes(8).toString('hex')}`;
  await askOn(server, `create database ${name} template ${from === 'migrated' ? TEMPLATE : 'template0'}`);
  return {
    name,
    url: onDatabase(server, name),
    async [Symbol.asyncDispose]() {
      const left = await sessionsOn(server, name);
      await askOn(server, `drop database ${name} with (force)`);
      // What `openPulumiDatabase` and `ensureGateRole` make beside it, if the test did.
      await askOn(server, `drop database if exists ${name}_pulumi with (force)`);
      await askOn(server, `drop role if exists ${name}_pulumi, ${name}_gate`);
      if (left.length > 0) throw new Error(`The test left connections open: ${left.join('; ')}`);
    },
  };
}

/** A closed connection is seen here until its server process is gone: an instant, so looked at for up to 2 s. */
async function sessionsOn(server: string, database: string): Promise<readonly string[]> {
  const client = new pg.Client(server);
  await client.connect();
  try {
    for (const end = Date.now() + 2_000; ; ) {
      const { rows } = await client.query<{ it: string }>(
        `select application_name || ': ' || query as it from pg_stat_activity where datname = $1 and backend_type = 'client backend'`,
        [database],
      );
      if (rows.length === 0 || Date.now() > end) return rows.map((row) => row.it);
    }
  } finally {
    await client.end();
  }
}

/** One query on a connection of its own. */
export async function askOn(url: string, sql: string, ...values: readonly string[]): Promise<Record<string, unknown>[]> {
  const client = new pg.Client(url);
  await client.connect();
  try {
    return (await client.query(sql, [...values])).rows;
  } finally {
    await client.end();
  }
}
