import { type Kysely, sql } from 'kysely';

/** When a repository's last launch began: those that launch take turns. */
export async function turns(db: Kysely<unknown>): Promise<void> {
  await sql.raw('alter table mayfly.repositories add column launched_at timestamptz').execute(db);
}
