import { type Kysely, type Selectable, sql } from 'kysely';
import { type ForgeId, parseRepositoryId, parseSha, toForgeId, toSiteId } from '../site/identity.ts';
import { FRESH, type Site, STATUSES, type Status } from '../site/site.ts';
import { isHeld } from './held.ts';
import { nextInLine } from './places.ts';
import type { Database, SiteTable } from './schema.ts';
import type { ShownStatus, SiteFilter, Sites } from './store.ts';

type Row = Pick<
  Selectable<SiteTable>,
  | 'id'
  | 'forge'
  | 'repository'
  | 'number'
  | 'host'
  | 'status'
  | 'sha'
  | 'region'
  | 'observation'
  | 'version'
  | 'ends_at'
  | 'created_at'
  | 'placed'
  | 'queued_at'
  | 'end_nears'
  | 'state'
>;
/** What has a column is not repeated in `state`; dates are ISO strings there. */
type Columns = 'id' | 'pull' | 'host' | 'status' | 'region' | 'observation' | 'version' | 'endsAt' | 'createdAt';
const DATES = ['since', 'clockStart', 'pushedAt', 'endedAt', 'closedAt', 'turnedAt', 'ruledAt'] as const;

/** The site as columns. `report_due` and `said_version` are not the site's own and stay with the writer. */
export function toRow(site: Site): Omit<Row, 'state'> & { readonly state: string } {
  const { id, pull, host, status, region, observation, version, endsAt, createdAt, head, ...rest } = site;
  const { sha, ...headRest } = head;
  return {
    id,
    forge: pull.forge,
    repository: pull.repository,
    number: pull.number,
    host,
    status,
    sha,
    region,
    observation,
    version,
    ends_at: endsAt,
    created_at: createdAt,
    placed: site.place === 'taken',
    queued_at: site.status === 'queued' ? site.since : null,
    end_nears: site.endNears,
    state: JSON.stringify({ ...rest, head: headRest }),
  };
}

/** The way back. A row that no version of Mayfly wrote throws. */
export function toSite(row: Row): Site {
  const repository = parseRepositoryId(row.repository);
  const sha = parseSha(row.sha);
  if (!repository || !sha || !isStatus(row.status)) throw new Error(`The row of site ${row.id} is damaged`);
  // Parse boundary: only `toRow` writes this column.
  const state = row.state as Record<string, unknown> & {
    head: Omit<Site['head'], 'sha' | 'draft'> & { draft?: boolean };
    live: { since: string } | null;
  };
  const dates = DATES.filter((key) => typeof state[key] === 'string').map((key) => [key, new Date(String(state[key]))]);
  const live = state.live && { ...state.live, since: new Date(state.live.since) };
  const columns = {
    id: toSiteId(row.id),
    pull: { forge: toForgeId(row.forge), repository, number: row.number },
    host: row.host,
    region: row.region,
    status: row.status,
    observation: row.observation,
    version: row.version,
    endsAt: row.ends_at,
    createdAt: row.created_at,
  } satisfies Record<Columns, unknown>;
  const head = { ...state.head, draft: state.head.draft ?? false, sha };
  // What a row of an earlier version lacks nobody had asked for by then; that it stands is what its columns say.
  const fresh = { ...FRESH, place: row.placed ? 'taken' : 'none' };
  return { ...fresh, ...state, ...Object.fromEntries(dates), ...columns, live, head } as unknown as Site;
}

const isShown = (text: string): text is ShownStatus => STATUSES.some((status) => status === text);
const isStatus = (text: string): text is Status => isShown(text) || text === 'absent';

/** `<created_at in ms>.<id>`: the last site of a page. */
const toCursor = (site: Site): string => Buffer.from(`${site.createdAt.getTime()}.${site.id}`).toString('base64url');
function parseCursor(cursor: string): { readonly createdAt: Date; readonly id: string } | undefined {
  const [, ms, id] = /^([0-9]{1,15})\.(\S{1,64})$/.exec(Buffer.from(cursor, 'base64url').toString()) ?? [];
  return ms === undefined || id === undefined ? undefined : { createdAt: new Date(Number(ms)), id };
}

/** What does not stand. In the order of the indices' own conditions. */
const GONE = [sql.lit('ended'), sql.lit('absent')];

/** Reading sites; `apply.ts` is who writes them. */
export function openSites(db: Kysely<Database>): Sites {
  const find: Sites['find'] = async (id) => {
    const row = await db.selectFrom('sites').selectAll().where('id', '=', id).executeTakeFirst();
    return row && toSite(row);
  };
  return {
    find,
    async get(id) {
      const site = await find(id);
      if (!site) throw new Error(`No site ${id}`);
      return site;
    },
    async findByPull({ forge, repository, number }) {
      const row = await db
        .selectFrom('sites')
        .selectAll()
        .where('forge', '=', forge)
        .where('repository', '=', repository)
        .where('number', '=', number)
        .executeTakeFirst();
      return row && toSite(row);
    },
    async findByHost(label) {
      const row = await db.selectFrom('sites').selectAll().where('host', '=', label).executeTakeFirst();
      return row && row.status !== 'absent' ? toSite(row) : undefined;
    },
    list: (filter) => list(db, filter),
    async standing({ after, limit, repository }) {
      let query = db.selectFrom('sites').selectAll().where('status', 'not in', GONE).orderBy('id').limit(limit);
      if (after !== null) query = query.where('id', '>', after);
      if (repository) query = query.where('forge', '=', repository.forge).where('repository', '=', repository.id);
      return (await query.execute()).map(toSite);
    },
    async expired(limit) {
      const rows = await db
        .selectFrom('sites')
        .select('id')
        .where('status', 'not in', [sql.lit('ending'), ...GONE])
        // Not clock_timestamp: what may change within a statement is never compared by an index.
        .where('ends_at', '<=', sql<Date>`statement_timestamp()`)
        .orderBy('ends_at')
        .limit(limit)
        .execute();
      return rows.map((row) => toSiteId(row.id));
    },
    async nearEnd(limit) {
      const rows = await db
        .selectFrom('sites')
        .select('id')
        .where('status', 'not in', [sql.lit('ending'), ...GONE])
        .where('end_nears', '=', sql.lit(false))
        .where('ends_at', '<=', sql<Date>`statement_timestamp() + interval '1 hour'`)
        .orderBy('ends_at')
        .limit(limit)
        .execute();
      return rows.map((row) => toSiteId(row.id));
    },
    async unsettled(limit, { maxSites, forges }) {
      const [going, next, report] = await Promise.all([
        unprovisioned(db, limit),
        nextInLine(db, { limit, maxSites }),
        unreported(db, { limit, forges }),
      ]);
      return { provision: [...going, ...next], report };
    },
    async counts() {
      const rows = await db
        .selectFrom('sites')
        .select(['status', (eb) => eb.fn.countAll<number>().as('count')])
        .groupBy('status')
        .execute();
      const counts: Record<ShownStatus, number> = {
        held: 0,
        queued: 0,
        building: 0,
        deploying: 0,
        ready: 0,
        failed: 0,
        ending: 0,
        ended: 0,
      };
      for (const { status, count } of rows) if (isShown(status)) counts[status] = count;
      return counts;
    },
  };
}

/** Newest first, by keyset: the hundred-thousandth page costs what the first does. A cursor that is not ours is an empty page. */
async function list(db: Kysely<Database>, filter: SiteFilter): Promise<{ readonly sites: readonly Site[]; readonly next: string | null }> {
  let query = db
    .selectFrom('sites')
    .selectAll()
    .orderBy('created_at', 'desc')
    .orderBy('id', 'desc')
    .limit(filter.limit + 1);
  if (filter.repository !== undefined) {
    const ids = await repositoryIds(db, filter.repository);
    if (ids.length === 0) return { sites: [], next: null };
    query = query.where((eb) =>
      eb.or(ids.map(({ forge, id }) => eb.and([eb('repository', '=', id), ...(forge ? [eb('forge', '=', forge)] : [])]))),
    );
  }
  query = filter.status === undefined ? query.where('status', '<>', sql.lit('absent')) : query.where('status', '=', filter.status);
  if (filter.pull !== undefined) query = query.where('number', '=', filter.pull);
  if (filter.after !== undefined) {
    const after = parseCursor(filter.after);
    if (!after) return { sites: [], next: null };
    query = query.where(sql<boolean>`(created_at, id) < (${after.createdAt}, ${after.id})`);
  }
  const sites = (await query.execute()).map(toSite);
  const page = sites.slice(0, filter.limit);
  const last = page.at(-1);
  return { sites: page, next: sites.length > filter.limit && last ? toCursor(last) : null };
}

/** By numeric id, or by the name that the forge last gave: on two forges two repositories may share it. */
async function repositoryIds(
  db: Kysely<Database>,
  text: string,
): Promise<readonly { readonly forge: string | null; readonly id: string }[]> {
  const id = parseRepositoryId(text);
  if (id) return [{ forge: null, id }];
  return db.selectFrom('repositories').select(['forge', 'id']).where(sql`lower(name)`, '=', text.toLowerCase()).execute();
}

async function unprovisioned(db: Kysely<Database>, limit: number): Promise<Site['id'][]> {
  const rows = await db
    .selectFrom('sites')
    .select('id')
    .where('status', 'in', [sql.lit('queued'), sql.lit('building'), sql.lit('deploying'), sql.lit('ending')])
    .where(({ or, eb }) => or([eb('status', '<>', sql.lit('queued')), eb('placed', '=', sql.lit(true))]))
    .where(({ not }) => not(isHeld('sites.id')))
    .orderBy('id')
    .limit(limit)
    .execute();
  return rows.map((row) => toSiteId(row.id));
}

async function unreported(
  db: Kysely<Database>,
  { limit, forges }: { readonly limit: number; readonly forges: readonly ForgeId[] },
): Promise<Site['id'][]> {
  const owed = db.selectFrom('sites').select('id').whereRef('report_due', '>', 'said_version');
  const rows = await owed.where(sql<boolean>`forge = any(${forges})`).orderBy('id').limit(limit).execute();
  return rows.map((row) => toSiteId(row.id));
}
