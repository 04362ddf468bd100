import { type Kysely, sql } from 'kysely';

/** Where what visitors have is: until now it was looked for. A site that was about to move is found where it was to be, or launched again. */
export async function liveRegions(db: Kysely<unknown>): Promise<void> {
  await sql
    .raw(
      `update mayfly.sites set state = jsonb_set(state::jsonb, '{live,served,region}', to_jsonb(region))
       where state #>> '{live,served,kind}' = 'remote'`,
    )
    .execute(db);
}
