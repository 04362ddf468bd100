import { type Kysely, sql, type Transaction } from 'kysely';
import { roomiest } from '../site/home.ts';
import { toSiteId } from '../site/identity.ts';
import type { Site } from '../site/site.ts';
import type { SiteNews } from '../site/site-news.ts';
import { isHeld, isOrphaned } from './held.ts';
import type { Database } from './schema.ts';
import { toSite } from './sites.ts';
import type { Places, Rooms } from './store.ts';

/**
 * All that wait for a worker and not for a place or for room. First is what was under way when its worker died. Then the repository with
 * the fewest launches under way, of those the one whose last began the longest ago: one that queues a launch does not wait for the
 * hundred of another. A queued site that is held is before nobody: it is about to begin. A launch that was given back, since its forge is
 * away, neither waits here nor is under way.
 */
const LINE = sql`
  with under_way as (
    select forge, repository, count(*) as launches from mayfly.sites
    where status in ('building', 'deploying') and ${isHeld('sites.id')} group by forge, repository
  ), line as (
    select sites.id, row(
      case when status = 'queued' then 1 else 0 end,
      coalesce(launches, 0) + row_number() over (partition by status, sites.forge, sites.repository order by queued_at, sites.id),
      coalesce(launched_at, '-infinity'), queued_at, sites.id
    ) as turn
    from mayfly.sites
    left join under_way using (forge, repository)
    left join mayfly.repositories on repositories.forge = sites.forge and repositories.id = sites.repository
    where (status = 'queued' and state ->> 'place' is distinct from 'refused' and (state -> 'home' ->> 'full') is null)
      or (status in ('building', 'deploying') and ${isOrphaned('sites.id')})
  )`;

/** Who has the places of a repository and who waits for them. `apply.ts` is who gives them. */
export function openPlaces(db: Kysely<Database>): Places {
  return {
    async holders({ forge, id }) {
      const rows = await db
        .selectFrom('sites')
        .selectAll()
        .where('forge', '=', forge)
        .where('repository', '=', id)
        .where('placed', '=', sql.lit(true))
        .orderBy('created_at')
        .execute();
      return rows.map(toSite);
    },
    async waiting({ forge, id }, limit) {
      const rows = await db
        .selectFrom('sites')
        .select('id')
        .where('forge', '=', forge)
        .where('repository', '=', id)
        .where('status', '=', sql.lit('queued'))
        .where('placed', '=', sql.lit(false))
        .orderBy('queued_at')
        .orderBy('id')
        .limit(limit)
        .execute();
      return rows.map((row) => toSiteId(row.id));
    },
    async before(id) {
      const { rows } = await sql<{ count: number }>`${LINE}
        select count(*) from line, line as own
        where own.id = ${id} and line.turn < own.turn and not ${isHeld('line.id')}`.execute(db);
      return rows[0]?.count ?? 0;
    },
    async next(limit) {
      const { rows } = await sql<{ id: string }>`${LINE}
        select id from line where not ${isHeld('line.id')} order by turn limit ${limit}`.execute(db);
      return rows.map((row) => toSiteId(row.id));
    },
  };
}

/** Of those that wait for a place, as many of each repository as it has free. */
export async function nextInLine(db: Kysely<Database>, { limit, maxSites }: { limit: number; maxSites: number }): Promise<Site['id'][]> {
  const { rows } = await sql<{ id: string }>`
    select id from (
      select id, forge, repository, row_number() over (
        partition by forge, repository, (state -> 'home' ->> 'full') is null order by queued_at, id
      ) as rank
      from mayfly.sites where status = 'queued' and not placed
    ) as waiter
    where rank <= ${maxSites} - (
      select count(*) from mayfly.sites as taken
      where taken.forge = waiter.forge and taken.repository = waiter.repository and taken.placed
    )
    and not ${isHeld('waiter.id')}
    order by id limit ${limit}`.execute(db);
  return rows.map((row) => toSiteId(row.id));
}

/** Where there is the most room for it, or that there is none. Until the end of the transaction nobody else takes any. */
export async function claimRoom(tx: Transaction<Database>, site: Site, rooms: Rooms | null): Promise<SiteNews> {
  if (rooms === null) return { type: 'placeTaken' };
  await sql`select pg_advisory_xact_lock(hashtextextended('mayfly rooms', 0))`.execute(tx);
  const counts = await countByRegion(tx, site.id);
  const region = roomiest(site, counts, rooms);
  return region === undefined ? { type: 'placeRefused', full: rooms.candidates } : { type: 'placeTaken', region };
}

async function countByRegion(tx: Transaction<Database>, but: Site['id']): Promise<ReadonlyMap<string, number>> {
  const rows = await tx
    .selectFrom('sites')
    .select(['region', (eb) => eb.fn.countAll<number>().as('count')])
    .where('placed', '=', sql.lit(true))
    .where('id', '<>', but)
    .groupBy('region')
    .execute();
  return new Map(rows.map(({ region, count }) => [region, count]));
}
