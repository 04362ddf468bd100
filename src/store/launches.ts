import { type Kysely, type Selectable, sql } from 'kysely';
import { parseSha, toLaunchId, toSiteId } from '../site/identity.ts';
import { checkHeld } from './fence.ts';
import type { Database, LaunchTable } from './schema.ts';
import type { Launch, Launches } from './store.ts';

const OUTCOMES = ['succeeded', 'failed', 'superseded', 'abandoned'] as const;
const clock = sql<Date>`clock_timestamp()`;

function toLaunch(row: Selectable<LaunchTable>): Launch {
  const sha = parseSha(row.sha);
  if (!sha) throw new Error(`The row of launch ${row.id} is damaged`);
  return {
    id: toLaunchId(row.id),
    site: toSiteId(row.site),
    sha,
    outcome: OUTCOMES.find((outcome) => outcome === row.outcome) ?? null,
    // Parse boundary: only this file writes these columns.
    reason: row.reason as Launch['reason'],
    startedAt: row.started_at,
    finishedAt: row.finished_at,
    stages: row.stages as Launch['stages'],
    notes: row.notes as Launch['notes'],
    tail: row.tail,
  };
}

/** One row a launch. */
export function openLaunches(db: Kysely<Database>): Launches {
  const ofEach: Launches['ofEach'] = async (sites, limit) => {
    if (sites.length === 0) return new Map();
    const rows = await db
      .selectFrom('sites')
      .innerJoinLateral(
        (eb) =>
          eb
            .selectFrom('launches')
            .selectAll()
            .whereRef('launches.site', '=', 'sites.id')
            .orderBy('started_at', 'desc')
            .orderBy('id', 'desc')
            .limit(limit)
            .as('launch'),
        (join) => join.onTrue(),
      )
      .where('sites.id', 'in', sites)
      .selectAll('launch')
      .orderBy('launch.started_at', 'desc')
      .orderBy('launch.id', 'desc')
      .execute();
    return Map.groupBy(rows.map(toLaunch), ({ site }) => site);
  };
  return {
    async start({ id, site, sha, queuedMs }, { held } = {}) {
      await db.transaction().execute(async (tx) => {
        if (held) await checkHeld(tx, held);
        await tx
          .updateTable('launches')
          .set({ outcome: 'abandoned', finished_at: clock })
          .where('site', '=', site)
          .where('outcome', 'is', null)
          .execute();
        await tx
          .insertInto('launches')
          .values({ id, site, sha, stages: JSON.stringify({ queued: queuedMs }), notes: '{}' })
          .execute();
        await tx
          .updateTable('repositories')
          .from('sites')
          .set({ launched_at: clock })
          .where('sites.id', '=', site)
          .whereRef('repositories.forge', '=', 'sites.forge')
          .whereRef('repositories.id', '=', 'sites.repository')
          .execute();
      });
    },
    async note(id, { stages, notes }, { held } = {}) {
      await db.transaction().execute(async (tx) => {
        if (held) await checkHeld(tx, held);
        const row = await tx.selectFrom('launches').selectAll().where('id', '=', id).forUpdate().executeTakeFirstOrThrow();
        const before = toLaunch(row);
        await tx
          .updateTable('launches')
          .set({ stages: JSON.stringify({ ...before.stages, ...stages }), notes: JSON.stringify({ ...before.notes, ...notes }) })
          .where('id', '=', id)
          .execute();
      });
    },
    async finish(id, { outcome, reason, tail }, { held } = {}) {
      const end = { outcome, reason: reason && JSON.stringify(reason), tail: tail.replaceAll('\0', '\u{fffd}') };
      await db.transaction().execute(async (tx) => {
        if (held) await checkHeld(tx, held);
        await tx
          .updateTable('launches')
          .set({ ...end, finished_at: clock })
          .where('id', '=', id)
          .execute();
      });
    },
    async of(site, limit) {
      return (await ofEach([site], limit)).get(site) ?? [];
    },
    ofEach,
    async lastStart(site) {
      const { rows } = await sql<{ started_at: Date | null; now: Date }>`
        select clock_timestamp() as now, (select max(started_at) from mayfly.launches where site = ${site}) as started_at`.execute(db);
      const row = rows[0];
      if (!row) throw new Error('The database did not tell the time');
      return { startedAt: row.started_at, now: row.now };
    },
  };
}
