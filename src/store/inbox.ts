import { type Kysely, sql } from 'kysely';
import pg from 'pg';
import { type Gathering, together } from '../together.ts';
import type { Database } from './schema.ts';
import type { Inbox } from './store.ts';

/** PostgreSQL's `text` holds no NUL. */
const withoutNul = (text: string): string => text.replaceAll('\0', '\u{fffd}');
const now = sql<Date>`clock_timestamp()`;

/** SQLSTATE classes of what PostgreSQL says of the data it is given: it makes no value of it, or a constraint forbids it. */
const OF_DATA = /^2[23]/;
/** In a burst, as many as come while a commit takes its time share the next one. */
const GATHERED: Gathering = {
  atOnce: 4,
  most: 100,
  isOnes: (error) => error instanceof pg.DatabaseError && OF_DATA.test(error.code ?? ''),
};

type Parts = { readonly db: Kysely<Database>; readonly pool: pg.Pool };
type Delivery = Parameters<Inbox['put']>[0];
type Put = Awaited<ReturnType<Inbox['put']>>;

/**
 * One text for any number of deliveries, so that PostgreSQL plans it once on each connection: planning an insert costs it as much as doing
 * it. In one order everywhere, so that two processes with the same ids wait for each other and do not lock each other up.
 */
const PUT = `
  insert into mayfly.deliveries (id, forge, digest, event)
  select id, forge, digest, event
  from unnest($1::text[], $2::text[], $3::text[], $4::json[]) with ordinality as one (id, forge, digest, event, place)
  order by id, place
  on conflict (id) do nothing
  returning id`;

async function putAll({ db, pool }: Parts, deliveries: readonly Delivery[]): Promise<readonly Put[]> {
  const columns = (['id', 'forge', 'digest'] as const).map((column) => deliveries.map((delivery) => delivery[column]));
  const events = deliveries.map(({ event }) => JSON.stringify(event));
  const { rows } = await pool.query<{ id: string }>({ name: 'put deliveries', text: PUT, values: [...columns, events] });
  const stored = new Set(rows.map(({ id }) => id));
  // Of two with the same id the first was stored.
  return Promise.all(deliveries.map(async (delivery) => (stored.delete(delivery.id) ? 'stored' : putBefore(db, delivery))));
}

/** What the same id means that was stored before. */
async function putBefore(db: Kysely<Database>, { id, digest }: Delivery): Promise<Put> {
  const row = await db.selectFrom('deliveries').select(['digest', 'handled_at', 'dead_at']).where('id', '=', id).executeTakeFirstOrThrow();
  if (row.digest !== digest) return 'conflict';
  return row.handled_at || row.dead_at ? 'handled' : 'again';
}

/** Deliveries, stored before they are answered. */
export function openInbox({ db, pool }: Parts): Inbox {
  return {
    put: together((deliveries) => putAll({ db, pool }, deliveries), GATHERED),
    async get(id) {
      const row = await db.selectFrom('deliveries').select(['event', 'attempts', 'handled_at']).where('id', '=', id).executeTakeFirst();
      return row && { event: row.event, attempts: row.attempts, handledAt: row.handled_at };
    },
    async handled(id) {
      await db.updateTable('deliveries').set({ handled_at: now }).where('id', '=', id).where('handled_at', 'is', null).execute();
    },
    async dead(id, reason) {
      await db
        .updateTable('deliveries')
        .set({ dead_at: now, reason: withoutNul(reason) })
        .where('id', '=', id)
        .where('handled_at', 'is', null)
        .execute();
    },
    async attempted(id) {
      const row = await db
        .updateTable('deliveries')
        .set((eb) => ({ attempts: eb('attempts', '+', 1) }))
        .where('id', '=', id)
        .returning('attempts')
        .executeTakeFirstOrThrow();
      return row.attempts;
    },
    async pending(olderThanMs, limit) {
      const rows = await db
        .selectFrom('deliveries')
        .select('id')
        .where('handled_at', 'is', null)
        .where('dead_at', 'is', null)
        .where('received_at', '<=', sql<Date>`statement_timestamp() - make_interval(secs => ${olderThanMs / 1_000})`)
        .orderBy('received_at')
        .limit(limit)
        .execute();
      return rows.map((row) => row.id);
    },
    async sweep() {
      const { numDeletedRows } = await db
        .deleteFrom('deliveries')
        .where('handled_at', '<', sql<Date>`statement_timestamp() - interval '30 days'`)
        .executeTakeFirst();
      return Number(numDeletedRows);
    },
  };
}
