import { type Kysely, sql } from 'kysely';
import { NO_USAGE, type Usage } from '../site/cost.ts';
import type { SiteId } from '../site/identity.ts';
import type { Database } from './schema.ts';

/** How much sites were asked for, summed up over every gate there is. */
export interface UsageStore {
  of(site: SiteId): Promise<Usage>;
  /** Adds to what was there. A site that is not known any more is left out. */
  add(more: ReadonlyMap<SiteId, Usage>): Promise<void>;
}

export function openUsageStore(db: Kysely<Database>): UsageStore {
  return {
    async of(site) {
      const row = await db.selectFrom('usage').selectAll().where('site', '=', site).executeTakeFirst();
      return row === undefined ? NO_USAGE : { busyMs: row.busy_ms, requests: row.requests };
    },
    async add(more) {
      if (more.size === 0) return;
      const rows = JSON.stringify([...more].map(([site, { busyMs, requests }]) => ({ site, busy_ms: Math.round(busyMs), requests })));
      await sql`
        insert into mayfly.usage (site, busy_ms, requests)
        select site, busy_ms, requests from json_to_recordset(${rows}::json) as more (site text, busy_ms bigint, requests bigint)
        where exists (select from mayfly.sites where sites.id = more.site)
        order by site
        on conflict (site) do update set busy_ms = usage.busy_ms + excluded.busy_ms, requests = usage.requests + excluded.requests`.execute(
        db,
      );
    },
  };
}
