import { type Kysely, sql } from 'kysely';
import { type Migration, Migrator } from 'kysely/migration';
import { first } from './migrations/0001-first.ts';
import { commandsAndPlaces } from './migrations/0002-commands-and-places.ts';
import { redeliveries } from './migrations/0003-redeliveries.ts';
import { connections } from './migrations/0004-connections.ts';
import { hookSecrets } from './migrations/0005-hook-secrets.ts';
import { usage } from './migrations/0006-usage.ts';
import { turns } from './migrations/0007-turns.ts';
import { liveRegions } from './migrations/0008-live-regions.ts';
import { type Database, SCHEMA } from './schema.ts';

/** In order of their names; a migration that was ever released is never changed. */
export const MIGRATIONS: Readonly<Record<string, Migration>> = {
  '0001-first': { up: first },
  '0002-commands-and-places': { up: commandsAndPlaces },
  '0003-redeliveries': { up: redeliveries },
  '0004-connections': { up: connections },
  '0005-hook-secrets': { up: hookSecrets },
  '0006-usage': { up: usage },
  '0007-turns': { up: turns },
  '0008-live-regions': { up: liveRegions },
};
const LEDGER = 'migrations';
/** Session advisory lock of whoever migrates: `MAYF` in ASCII. Kysely's own lock starts only after it has made its tables. */
const MIGRATION_LOCK = 0x4d415946;

/**
 * Brings the database to this program's schema; several processes may try at once, the others wait. Refuses a database that a newer
 * Mayfly has written.
 * @param upTo name of the last migration to apply; all when absent
 */
export async function migrate(db: Kysely<Database>, upTo?: string): Promise<void> {
  await db.connection().execute(async (connection) => {
    await sql`select pg_advisory_lock(${MIGRATION_LOCK})`.execute(connection);
    try {
      await refuseNewer(connection);
      const migrator = new Migrator({
        db: connection,
        provider: { getMigrations: async () => ({ ...MIGRATIONS }) },
        migrationTableSchema: SCHEMA,
        migrationTableName: LEDGER,
        migrationLockTableName: `${LEDGER}_lock`,
      });
      const { error } = await (upTo === undefined ? migrator.migrateToLatest() : migrator.migrateTo(upTo));
      if (error) throw error;
    } finally {
      await sql`select pg_advisory_unlock(${MIGRATION_LOCK})`.execute(connection);
    }
  });
}

/** Throws unless the database is exactly at this program's schema. Changes nothing. */
export async function refuseOther(db: Kysely<Database>): Promise<void> {
  await refuseNewer(db);
  const applied = await appliedTo(db);
  const missing = Object.keys(MIGRATIONS).filter((name) => !applied.includes(name));
  if (missing.length === 0) return;
  throw new Error(
    applied.length === 0
      ? 'The database has never been used by Mayfly. Start Mayfly on it first.'
      : `The database was written by an older Mayfly (it lacks ${missing.join(', ')}). Start this version on it first.`,
  );
}

async function refuseNewer(db: Kysely<Database>): Promise<void> {
  const unknown = (await appliedTo(db)).filter((name) => !Object.hasOwn(MIGRATIONS, name));
  if (unknown.length === 0) return;
  throw new Error(`The database was written by a newer Mayfly (it has ${unknown.join(', ')}). Run that version or a newer one on it.`);
}

async function appliedTo(db: Kysely<Database>): Promise<readonly string[]> {
  const { rows } = await sql<{ known: boolean }>`select to_regclass(${`${SCHEMA}.${LEDGER}`}) is not null as known`.execute(db);
  if (!rows[0]?.known) return [];
  const applied = await sql<{ name: string }>`select name from ${sql.id(SCHEMA, LEDGER)} order by name`.execute(db);
  return applied.rows.map((row) => row.name);
}
