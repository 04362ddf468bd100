import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import type { Logger } from 'pino';
import type { Held } from '../site/ports.ts';
import { Fault } from '../site/problem.ts';
import type { Leases } from './store.ts';

/** Life of a lease and the pause between renewals, in milliseconds: two renewals may fail before it is lost. */
export type LeaseTimes = { readonly lifeMs: number; readonly renewEveryMs: number };
export const LEASE_TIMES: LeaseTimes = { lifeMs: 15_000, renewEveryMs: 5_000 };
/** How long the end of a dead holder's sessions is waited for. */
const TERMINATION_MS = 2_000;

type Parts = {
  /** A connection of its own: a pool that is full must not cost us our leases. */
  readonly pool: pg.Pool;
  readonly holder: string;
  readonly sessionName: (holder: string) => string;
  readonly times: LeaseTimes;
  readonly log: Logger;
};
type Mine = { readonly name: string; readonly epoch: number; readonly lost: AbortController; renewedAt: number };

/**
 * Leases of this process. A holder is a process instance, and all its leases are renewed by one statement, so they live and die
 * together. That is what makes it safe to end all database sessions of a holder: it is done only when none of its leases is alive, that
 * is when the process is dead, frozen, or has not reached the database for a whole life. One that is alive and merely lost this lease
 * keeps its sessions and is fenced off by the epoch alone. A frozen process that thaws finds its connections closed (statements throw,
 * later ones work) and its epochs outdated.
 */
export function openLeases(parts: Parts): Leases & AsyncDisposable {
  const { pool, holder, times, log } = parts;
  const mine = new Map<string, Mine>();
  /** Given back while the database was away: told again with the next renewals, so that nobody waits for a lease that nobody holds. */
  const unreleased = new Map<string, Mine>();
  const closing = new AbortController();

  const lose = (lease: Mine, why: string): void => {
    mine.delete(lease.name);
    if (lease.lost.signal.aborted) return;
    log.warn({ lease: lease.name, epoch: lease.epoch }, `lease lost: ${why}`);
    lease.lost.abort(new Fault('lease-lost', { details: { lease: lease.name } }));
  };
  const renew = async (): Promise<void> => {
    const leases = [...mine.values()];
    if (leases.length === 0) return;
    const startedAt = performance.now();
    const { rows } = await pool.query<{ name: string; epoch: number }>(RENEW, [
      holder,
      times.lifeMs,
      leases.map((lease) => lease.name),
      leases.map((lease) => lease.epoch),
    ]);
    const renewed = new Set(rows.map((row) => `${row.epoch} ${row.name}`));
    for (const lease of leases) {
      if (renewed.has(`${lease.epoch} ${lease.name}`)) lease.renewedAt = startedAt;
      else if (mine.get(lease.name) === lease) lose(lease, 'another holder has it');
    }
  };
  const loop = async (): Promise<void> => {
    while (!closing.signal.aborted) {
      // Aborted: we close.
      await delay(times.renewEveryMs, undefined, { signal: closing.signal }).catch(() => undefined);
      // A renewal that fails is tried again; the watch below gives up in time.
      await renew().catch((error: unknown) => log.warn({ err: error }, 'leases were not renewed'));
      for (const lease of [...unreleased.values()]) await release(lease);
    }
  };
  // Apart from the loop: a renewal that hangs must not keep us from seeing that our time is up. `performance.now` counts while frozen.
  const watch = setInterval(() => {
    const now = performance.now();
    for (const lease of mine.values()) if (now - lease.renewedAt >= times.lifeMs) lose(lease, 'it was not renewed in time');
  }, times.renewEveryMs / 5);
  const release = async (lease: Mine): Promise<void> => {
    if (mine.get(lease.name) === lease) mine.delete(lease.name);
    try {
      await pool.query(RELEASE, [lease.name, holder, lease.epoch]);
      if (unreleased.get(lease.name) === lease) unreleased.delete(lease.name);
    } catch (error) {
      // It would end by itself after its life; telling again is sooner.
      unreleased.set(lease.name, lease);
      log.debug({ err: error, lease: lease.name }, 'lease was not released yet');
    }
  };
  const looping = loop();

  return {
    sessionName: parts.sessionName(holder),
    async take(name) {
      const left = unreleased.get(name);
      if (left) await release(left);
      const { rows: known } = await pool.query<Known>(LOOK, [name]);
      const before = known[0];
      if (before && !before.expired) return undefined;
      const dead = before?.holder ?? null;
      if (dead !== null) await endSessions(parts, dead);
      const startedAt = performance.now();
      const { rows } = await pool.query<{ epoch: number }>(TAKE, [name, holder, times.lifeMs, before?.epoch ?? 0]);
      const epoch = rows[0]?.epoch;
      if (epoch === undefined) return undefined;
      // Once more: it may have connected again between the look and our epoch.
      if (dead !== null) await endSessions(parts, dead);
      const lease: Mine = { name, epoch, lost: new AbortController(), renewedAt: startedAt };
      mine.set(name, lease);
      const held: Held = { name, holder, epoch, signal: lease.lost.signal };
      return { ...held, tookOverFrom: dead, [Symbol.asyncDispose]: () => release(lease) };
    },
    async check({ name, epoch }) {
      const { rowCount } = await pool.query(CHECK, [name, epoch]);
      if (rowCount === 0) throw new Fault('lease-lost', { details: { lease: name } });
    },
    async [Symbol.asyncDispose]() {
      closing.abort();
      clearInterval(watch);
      await looping;
      await Promise.all([...mine.values()].map(release));
    },
  };
}

/** Ends what a dead holder still has open in the database: its transactions hold row locks, its Pulumi writes state. */
async function endSessions({ pool, sessionName, log, ...self }: Parts, holder: string): Promise<void> {
  // Ours, from before the database was away for longer than a lease lives: the run that lost it was aborted, the rest of us lives on.
  if (holder === self.holder) return;
  const { rows } = await pool.query<{ alive: boolean }>(ALIVE, [holder]);
  if (rows[0]?.alive) return;
  try {
    const { rowCount } = await pool.query(TERMINATE, [sessionName(holder), TERMINATION_MS]);
    if (rowCount) log.warn({ holder, sessions: rowCount }, 'sessions of a dead holder were ended');
  } catch (error) {
    // Not allowed to: the epoch still keeps its writes out, and PostgreSQL ends transactions that idle.
    log.warn({ err: error, holder }, 'sessions of a dead holder could not be ended');
  }
}

type Known = { readonly holder: string | null; readonly epoch: number; readonly expired: boolean };
const END = "clock_timestamp() + $%::double precision * interval '1 millisecond'";
const LOOK = 'select holder, epoch, expires_at <= clock_timestamp() as expired from mayfly.leases where name = $1';
/**
 * The epoch that was seen is part of the condition: of several who try at once, one gets it. Epochs are milliseconds of the clock: a
 * database that was restored from a backup goes on above those that the fence in Pulumi's database has seen since.
 */
const TAKE = `
  insert into mayfly.leases (name, holder, epoch, expires_at)
  values ($1, $2, extract(epoch from clock_timestamp()) * 1000, ${END.replace('%', '3')})
  on conflict (name) do update
  set holder = excluded.holder, epoch = greatest(leases.epoch + 1, excluded.epoch), expires_at = excluded.expires_at
  where leases.epoch = $4 and leases.expires_at <= clock_timestamp()
  returning epoch`;
/** An expired lease is not revived: somebody may be taking it. */
const RENEW = `
  update mayfly.leases as l set expires_at = ${END.replace('%', '2')}
  from unnest($3::text[], $4::bigint[]) as mine (name, epoch)
  where l.name = mine.name and l.epoch = mine.epoch and l.holder = $1 and l.expires_at > clock_timestamp()
  returning l.name, l.epoch`;
/** The row stays, with its epoch: the next holder's must be greater. */
const RELEASE = `update mayfly.leases set holder = null, expires_at = '-infinity' where name = $1 and holder = $2 and epoch = $3`;
const CHECK = 'select 1 from mayfly.leases where name = $1 and epoch = $2 and expires_at > clock_timestamp()';
const ALIVE = 'select exists (select 1 from mayfly.leases where holder = $1 and expires_at > clock_timestamp()) as alive';
/** Pulumi's sessions bear the epoch after the holder's name. */
const TERMINATE = `
  select pg_terminate_backend(pid, $2) from pg_stat_activity
  where (application_name = $1 or starts_with(application_name, $1 || '#')) and pid <> pg_backend_pid() and backend_type = 'client backend'`;
