import { type Kysely, sql, type Transaction } from 'kysely';
import type { Logger } from 'pino';
import { faultPoint } from '../fault-points.ts';
import { type SiteId, toSiteId } from '../site/identity.ts';
import type { NewId } from '../site/ports.ts';
import { begin, type Change, type Effect, type Site, transition } from '../site/site.ts';
import type { SiteEvent, SiteNews } from '../site/site-news.ts';
import { noteCommand } from './commands.ts';
import { checkHeld } from './fence.ts';
import { claimRoom } from './places.ts';
import { CHANGED_CHANNEL, type Database } from './schema.ts';
import { toRow, toSite } from './sites.ts';
import type { Applied, Apply, ApplyToPull, Because, ClaimPlace, SiteChanged } from './store.ts';

type Tx = Transaction<Database>;
export type EffectsHandler = (site: Site, effects: readonly Effect[]) => Promise<void>;
type Parts = { readonly db: Kysely<Database>; readonly newId: NewId; readonly log: Logger; readonly effects: EffectsHandler };

type Writers = { readonly apply: Apply; readonly applyToPull: ApplyToPull; readonly claimPlace: ClaimPlace };

/** Makes the only writers of a site. One transaction each: fence, lock, `transition`, save, history, NOTIFY, "handled". */
export function openApply({ db, newId, log, effects }: Parts): Writers {
  const committed = async (applied: Applied): Promise<Applied> => {
    await faultPoint('row-committed');
    if (applied.effects.length === 0) return applied;
    // The row is committed and is the outbox: effects that are lost here are found again as an unsettled or unreported site.
    await effects(applied.site, applied.effects).catch((error: unknown) =>
      log.warn({ err: error, site: applied.site.id, effects: applied.effects }, 'effects were not handed on; the sweep finds them'),
    );
    return applied;
  };
  return {
    async apply(id, news, because = {}) {
      const applied = await db.transaction().execute(async (tx) => {
        const fresh = await settle(tx, because);
        const locked = await lock(tx, id);
        if (!fresh) return { site: locked.site, changed: false, fresh, effects: [] };
        return step(tx, locked, news);
      });
      return committed(applied);
    },
    async claimPlace(id, { held, max, rooms = null }) {
      const applied = await db.transaction().execute(async (tx) => {
        await settle(tx, { held });
        const free = await freePlaces(tx, id, max);
        const locked = await lock(tx, id);
        const hasPlace = locked.site.place === 'taken' || (await ahead(tx, locked.site)) < free;
        return step(tx, locked, hasPlace ? await claimRoom(tx, locked.site, rooms) : { type: 'placeRefused' });
      });
      return committed(applied);
    },
    async applyToPull({ pull, host }, news, because = {}) {
      const applied = await db.transaction().execute(async (tx) => {
        if (!(await settle(tx, because))) return undefined;
        const known = await findByPull(tx, pull);
        if (known === undefined && news.type !== 'pullClosed') {
          const event = { ...news, at: await clock(tx) };
          const born = begin({ id: toSiteId(newId()), pull, host }, event);
          if (await insert(tx, born, event)) return { site: born.next, changed: true, fresh: true, effects: born.effects };
        }
        // Not there a moment ago: another delivery of the same pull was quicker.
        const id = known ?? (await findByPull(tx, pull));
        if (id === undefined) return undefined;
        return step(tx, await lock(tx, id), news);
      });
      return applied && committed(applied);
    },
  };
}

/**
 * What has to be true or done in the same transaction: the writer still holds its lease; its delivery is handled.
 * @returns false when the delivery was handled before: a job may run twice, and what it asks for is done once
 */
async function settle(tx: Tx, { held, delivery, command }: Because): Promise<boolean> {
  if (held) await checkHeld(tx, held);
  if (command && !(await noteCommand(tx, command))) return false;
  if (delivery === undefined) return true;
  const { numUpdatedRows } = await tx
    .updateTable('deliveries')
    .set({ handled_at: sql<Date>`clock_timestamp()` })
    .where('id', '=', delivery)
    .where('handled_at', 'is', null)
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

/** The row, ours until the end of the transaction, and the database's time after the wait for it. */
async function lock(tx: Tx, id: SiteId): Promise<{ readonly site: Site; readonly at: Date }> {
  const row = await tx.selectFrom('sites').selectAll().where('id', '=', id).forUpdate().executeTakeFirst();
  if (!row) throw new Error(`No site ${id}`);
  return { site: toSite(row), at: await clock(tx) };
}

/** How many of its repository's places nobody has. Until the end of the transaction nobody else takes one of them. */
async function freePlaces(tx: Tx, id: SiteId, max: number): Promise<number> {
  const { forge, repository } = await tx.selectFrom('sites').select(['forge', 'repository']).where('id', '=', id).executeTakeFirstOrThrow();
  await sql`select pg_advisory_xact_lock(hashtextextended(${`mayfly places ${forge} ${repository}`}, 0))`.execute(tx);
  const taken = await tx
    .selectFrom('sites')
    .select((eb) => eb.fn.countAll<number>().as('count'))
    .where('forge', '=', forge)
    .where('repository', '=', repository)
    .where('placed', '=', sql.lit(true))
    .executeTakeFirstOrThrow();
  return max - taken.count;
}

/** How many sites of its repository have waited for a place for longer. */
async function ahead(tx: Tx, { id, pull, ...site }: Site): Promise<number> {
  if (site.status !== 'queued') return 0;
  const { count } = await tx
    .selectFrom('sites')
    .select((eb) => eb.fn.countAll<number>().as('count'))
    .where('forge', '=', pull.forge)
    .where('repository', '=', pull.repository)
    .where('status', '=', sql.lit('queued'))
    .where('placed', '=', sql.lit(false))
    // Whoever waits for room in a region does not keep others from a place.
    .where(sql<boolean>`(state -> 'home' ->> 'full') is null`)
    .where(sql<boolean>`(queued_at, id) < (${site.since}, ${id})`)
    .executeTakeFirstOrThrow();
  return count;
}

/** Asks `transition` and saves what it says. */
function step(tx: Tx, locked: { readonly site: Site; readonly at: Date }, news: SiteNews): Promise<Applied> {
  const event = { ...news, at: locked.at };
  return save(tx, { before: locked.site, event, change: transition(locked.site, event) });
}

async function clock(tx: Tx): Promise<Date> {
  const { rows } = await sql<{ now: Date }>`select clock_timestamp() as now`.execute(tx);
  const now = rows[0]?.now;
  if (!now) throw new Error('The database did not tell the time');
  return now;
}

async function findByPull(tx: Tx, pull: Site['pull']): Promise<SiteId | undefined> {
  const row = await tx
    .selectFrom('sites')
    .select('id')
    .where('forge', '=', pull.forge)
    .where('repository', '=', pull.repository)
    .where('number', '=', pull.number)
    .executeTakeFirst();
  return row && toSiteId(row.id);
}

async function insert(tx: Tx, born: Change, event: SiteEvent): Promise<boolean> {
  const inserted = await tx
    .insertInto('sites')
    .values({ ...toRow(born.next), report_due: born.next.version })
    .onConflict((conflict) => conflict.columns(['forge', 'repository', 'number']).doNothing())
    .returning('id')
    .executeTakeFirst();
  if (inserted) await tell(tx, born.next, event);
  return inserted !== undefined;
}

type Step = { readonly before: Site; readonly event: SiteEvent; readonly change: Change };
async function save(tx: Tx, { before, event, change }: Step): Promise<Applied> {
  if (change.next === before) return { site: before, changed: false, fresh: true, effects: change.effects };
  const site: Site = { ...change.next, version: before.version + 1 };
  const due = change.effects.includes('report') ? { report_due: site.version } : {};
  const { id, created_at: _, ...columns } = toRow(site);
  await tx
    .updateTable('sites')
    .set({ ...columns, ...due })
    .where('id', '=', id)
    .execute();
  await tell(tx, site, event);
  return { site, changed: true, fresh: true, effects: change.effects };
}

async function tell(tx: Tx, site: Site, event: SiteEvent): Promise<void> {
  const { at, ...news }: SiteNews & { at: Date } = event;
  await tx
    .insertInto('site_history')
    .values({ site: site.id, version: site.version, at, type: event.type, news: JSON.stringify(news) })
    .execute();
  const line: SiteChanged = { site: site.id, host: site.host, version: site.version };
  await sql`select pg_notify(${CHANGED_CHANNEL}, ${JSON.stringify(line)})`.execute(tx);
}
