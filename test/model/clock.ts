import pg from 'pg';
import { onDatabase, type TestDatabase } from '../postgres.ts';

/** Where each run starts: no time of this machine is near it. */
export const START = Date.parse('2050-01-01T00:00:00Z');
/** No row of a run is older than this. */
export const BEFORE_START = new Date(START - 86_400_000);

/** Goes before `pg_catalog` in the search path, so that an unqualified `clock_timestamp()` is ours. */
const SET_UP = `
  create schema virtual;
  create table virtual.clock (at timestamptz not null);
  insert into virtual.clock values ('${new Date(START).toISOString()}');
  create function virtual.clock_timestamp() returns timestamptz language sql volatile as 'select at from virtual.clock';
  create function virtual.statement_timestamp() returns timestamptz language sql stable as 'select at from virtual.clock';
  create function virtual.now() returns timestamptz language sql stable as 'select at from virtual.clock';
  do $$ declare it record; begin
    for it in select table_name, column_name from information_schema.columns
      where table_schema = 'mayfly' and column_default ~ 'now\\(|_timestamp\\(' loop
      execute format('alter table mayfly.%I alter %I set default virtual.clock_timestamp()', it.table_name, it.column_name);
    end loop;
  end $$;
  drop trigger site_history_is_append_only on mayfly.site_history;`;
/** Children before parents. */
const TABLES = ['site_history', 'launches', 'reports', 'commands', 'deliveries', 'leases', 'repositories', 'sites'];

/** The database's time, which stands still until the test moves it, in a database that each run has empty to itself. */
export type Clock = AsyncDisposable & {
  readonly pool: pg.Pool;
  now(): number;
  /** Whoever lives has renewed its leases meanwhile. */
  advance(ms: number, living: readonly string[]): Promise<void>;
  /** Nothing happened yet, and it is the start. */
  reset(): Promise<void>;
  /** Rows whose time is this machine's: a statement that did not ask our clock. */
  strangers(): Promise<readonly string[]>;
};

export async function openClock(server: string, database: TestDatabase): Promise<Clock> {
  const types: pg.CustomTypesConfig = {
    getTypeParser: (oid, format) => (oid === pg.types.builtins.INT8 ? Number : pg.types.getTypeParser(oid, format)),
  };
  const setUp = new pg.Client(onDatabase(server, database.name));
  await setUp.connect();
  await setUp.query(SET_UP);
  await setUp.query(`alter database ${database.name} set search_path = virtual, pg_catalog, public`);
  await setUp.end();
  const pool = new pg.Pool({ connectionString: database.url, max: 3, types });
  let at = START;
  return {
    pool,
    now: () => at,
    async advance(ms, living) {
      at += ms;
      await pool.query(
        `with before as (select at from virtual.clock), moved as (update virtual.clock set at = $1)
         update mayfly.leases set expires_at = expires_at + $2 * interval '1 millisecond' from before
         where holder = any ($3) and expires_at > before.at`,
        [new Date(at), ms, living],
      );
    },
    async reset() {
      at = START;
      const statements = TABLES.map((table) => `delete from mayfly.${table}`);
      await pool.query(`${statements.join('; ')}; update virtual.clock set at = '${new Date(START).toISOString()}'`);
    },
    async strangers() {
      const { rows: columns } = await pool.query<{ table_name: string; column_name: string }>(
        `select table_name, column_name from information_schema.columns where table_schema = 'mayfly' and data_type like 'timestamp with%'`,
      );
      const found: string[] = [];
      for (const { table_name: table, column_name: column } of columns) {
        const { rowCount } = await pool.query(`select 1 from mayfly.${table} where isfinite(${column}) and ${column} < $1 limit 1`, [
          BEFORE_START,
        ]);
        if (rowCount) found.push(`${table}.${column}`);
      }
      return found;
    },
    async [Symbol.asyncDispose]() {
      await pool.end();
    },
  };
}
