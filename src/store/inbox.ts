import { type Kysely, sql } from 'kysely';
import type { Database } from './schema.ts';
import type { Inbox } from './store.ts';

/** PostgreSQL's `text` holds no NUL. */
const withoutNul = (text: string): string => text.replaceAll('\0', '\u{fffd}');
const now = sql<Date>`clock_timestamp()`;

/** Deliveries, stored before they are answered. */
export function openInbox(db: Kysely<Database>): Inbox {
  return {
    async put({ id, forge, event, digest }) {
      const stored = await db
        .insertInto('deliveries')
        .values({ id, forge, digest, event: JSON.stringify(event) })
        .onConflict((conflict) => conflict.column('id').doNothing())
        .returning('id')
        .executeTakeFirst();
      if (stored) return 'stored';
      const row = await db
        .selectFrom('deliveries')
        .select(['digest', 'handled_at', 'dead_at'])
        .where('id', '=', id)
        .executeTakeFirstOrThrow();
      if (row.digest !== digest) return 'conflict';
      return row.handled_at || row.dead_at ? 'handled' : 'again';
    },
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
