import { type Kysely, sql } from 'kysely';
import type { Database } from './schema.ts';
import type { Redeliveries } from './store.ts';

/** What forges were asked to deliver again. */
export function openRedeliveries(db: Kysely<Database>): Redeliveries {
  return {
    async until(forge) {
      const row = await db.selectFrom('forges').select('deliveries_until').where('id', '=', forge).executeTakeFirst();
      return row?.deliveries_until ?? null;
    },
    async lookedUntil(forge, until) {
      await db.updateTable('forges').set({ deliveries_until: until }).where('id', '=', forge).execute();
    },
    async missed(forge, deliveries) {
      const { rows } = await sql<{ id: string }>`
        select id from unnest(${[...deliveries]}::text[]) as failed (id)
        where not exists (select from mayfly.deliveries d where d.id = failed.id)
          and not exists (select from mayfly.redeliveries r where r.forge = ${forge} and r.delivery = failed.id)`.execute(db);
      return new Set(rows.map((row) => row.id));
    },
    async claim(forge, delivery) {
      const claimed = await db
        .insertInto('redeliveries')
        .values({ forge, delivery })
        .onConflict((conflict) => conflict.columns(['forge', 'delivery']).doNothing())
        .returning('delivery')
        .executeTakeFirst();
      return claimed !== undefined;
    },
    async release(forge, delivery) {
      await db.deleteFrom('redeliveries').where('forge', '=', forge).where('delivery', '=', delivery).execute();
    },
    async sweep() {
      // GitHub remembers for three days.
      const { numDeletedRows } = await db
        .deleteFrom('redeliveries')
        .where('asked_at', '<', sql<Date>`statement_timestamp() - interval '7 days'`)
        .executeTakeFirst();
      return Number(numDeletedRows);
    },
  };
}
