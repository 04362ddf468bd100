import { type Kysely, sql } from 'kysely';

/** How much of its time a site that runs elsewhere has spent on answering: what it costs. */
export async function usage(db: Kysely<unknown>): Promise<void> {
  await sql
    .raw(
      `create table mayfly.usage (
        site text primary key references mayfly.sites (id) on delete cascade,
        busy_ms bigint not null,
        requests bigint not null
      )`,
    )
    .execute(db);
}
