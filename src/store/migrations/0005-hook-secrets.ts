import { type Kysely, sql } from 'kysely';

/** Webhooks that were made before each had secrets of its own still bear those of the connection, until they are given theirs. */
export async function hookSecrets(db: Kysely<unknown>): Promise<void> {
  await sql
    .raw("alter table mayfly.hooks add column secrets text not null default 'shared' check (secrets in ('shared', 'own'))")
    .execute(db);
}
