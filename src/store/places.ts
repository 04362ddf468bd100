import { type Kysely, sql, type Transaction } from 'kysely';
import { roomiest } from '../site/home.ts';
import { toSiteId } from '../site/identity.ts';
import type { Site } from '../site/site.ts';
import type { SiteNews } from '../site/site-news.ts';
import type { Database } from './schema.ts';
import { toSite } from './sites.ts';
import type { Places, Rooms } from './store.ts';

/** It waits for a worker, and not for a place. */
const WANTS_WORKER = sql<boolean>`state ->> 'place' is distinct from 'refused'`;

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
      const { rows } = await sql<{ count: number }>`
        with under_way as (
          select forge, repository, count(*) as launches from mayfly.sites where status in ('building', 'deploying') group by forge, repository
        ), line as (
          select id, queued_at, coalesce(launches, 0) + row_number() over (partition by forge, repository order by queued_at, id) as turn
          from mayfly.sites left join under_way using (forge, repository) where status = 'queued' and ${WANTS_WORKER}
        )
        select count(*) from line, line as own
        where own.id = ${id} and (line.turn, line.queued_at, line.id) < (own.turn, own.queued_at, own.id)`.execute(db);
      return rows[0]?.count ?? 0;
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
    and not exists (select from mayfly.leases where name = 'site:' || waiter.id and expires_at > clock_timestamp())
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
