import { type Kysely, sql } from 'kysely';
import { NO_USAGE, type Usage } from '../site/cost.ts';
import { type SiteId, toSiteId } from '../site/identity.ts';
import type { Database } from './schema.ts';

/** How much sites were asked for, summed up over every gate there is. */
export interface UsageStore {
  of(site: SiteId): Promise<Usage>;
  /** The same of many sites; what nobody asked for is left out. */
  ofEach(sites: readonly SiteId[]): Promise<ReadonlyMap<SiteId, Usage>>;
  /** Adds to what was there. A site that is not known any more is left out. */
  add(more: ReadonlyMap<SiteId, Usage>): Promise<void>;
}

export function openUsageStore(db: Kysely<Database>): UsageStore {
  const ofEach: UsageStore['ofEach'] = async (sites) => {
    if (sites.length === 0) return new Map();
    const rows = await db.selectFrom('usage').selectAll().where('site', 'in', sites).execute();
    return new Map(rows.map((row) => [toSiteId(row.site), { busyMs: row.busy_ms, requests: row.requests }]));
  };
  return {
    ofEach,
    of: async (site) => (await ofEach([site])).get(site) ?? NO_USAGE,
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
