import type { Logger } from 'pino';
import type { Queues } from '../queues.ts';
import type { ForgeId, Repository } from '../site/identity.ts';
import type { Pattern } from '../site/policy.ts';
import type { Deliveries, Facts, Stock, Voice } from '../site/ports.ts';
import type { Store } from '../store/store.ts';
import { type Loop, pause } from './clock.ts';
import { planForge, planNewcomers, planRepository } from './forges.ts';
import { removeOldLogs } from './old-logs.ts';
import { planOrphans } from './orphans.ts';
import { carryOut, type Deed, type Done, type Finding, NOT_COMPARED } from './plan.ts';
import { planStrangers } from './reconcile.ts';
import { planSweep, sweep } from './sweep.ts';

export type ExpiryParts = {
  readonly store: Store;
  readonly queues: Pick<Queues, 'intake' | 'provision' | 'report'>;
  /** Where things of sites are kept on this host; none where no site is. */
  readonly stocks: readonly Stock[];
  /** What is told in place of doing it, of what is not for this process to do. */
  readonly instead?: { readonly orphans?: Deed; readonly deliveries?: Deed };
  readonly links: ReadonlyMap<ForgeId, ForgeSide>;
  readonly deliveries: ReadonlyMap<ForgeId, Deliveries>;
  /** Looks at one pull as if the forge had just told of it. */
  readonly lookAtPull: (repository: Repository, number: number) => Promise<void>;
  /** Ends the sites of a repository if it is out of our reach. */
  readonly endIfOutOfReach: (repository: Repository) => Promise<void>;
  /** What is done with a repository that was opened to us, as if the forge had told. */
  readonly addRepository: (repository: Repository) => Promise<void>;
  /** Those that the operator allows. */
  readonly repositories: readonly Pattern[];
  readonly dataDir: string;
  /** Sites that one repository may have at once. */
  readonly maxSites: number;
  readonly metrics: { found(kind: string): void };
  readonly log: Logger;
};

export type ForgeSide = {
  readonly facts: Pick<Facts, 'openPulls' | 'accesses' | 'repositories'>;
  readonly voice: Pick<Voice, 'deployedPlaces' | 'removeDeployments'>;
};

type Swept = { readonly removed: number; readonly freeMb: number; readonly isLow: boolean };
/** What the worker keeps on this host's disk. */
type Storage = {
  /** Removes what is beyond its bounds. */
  sweep(signal: AbortSignal): Promise<Swept>;
  /** Removes what is within them as well while little space is left. */
  makeRoom(): Promise<Swept>;
  /** Removes the sources of repositories that we do not know any more. @returns how many there were */
  forgetStrangers(): Promise<number>;
};

export interface Expiry {
  /** Over what every process shares: one process of a Mayfly is enough, several do no harm. */
  loops(every: { readonly sweepEveryMs: number }): readonly Loop[];
  /** Over what runs and lies on this host: in each process that has sites. `storage` is null where nothing is built. */
  loopsHere(storage: Storage | null): readonly Loop[];
  /** Everything that is not as it should be. Changes nothing. */
  plan(): Promise<readonly Finding[]>;
  /** Every comparison, whole, at once, and what it asks for. */
  reconcileNow(): Promise<readonly Done[]>;
}

const TARGET_EVERY_MS = 60_000;
/** Within this time every repository is compared with its forge once, the requests spread over it. */
const FORGE_ROUND_MS = 300_000;
/** The first round after a start is faster, since much may have been missed: four repositories a second, within every forge's limits. */
const CATCH_UP_PAUSE_MS = 250;
const HOUSEKEEPING_EVERY_MS = 3_600_000;
/** Asking a file system what is free costs microseconds. */
const ROOM_EVERY_MS = 60_000;
const HERE = 'this machine';

/** The loops that make every promise hold whatever was lost: what has expired, what is unsettled, what nobody told us. */
export function openExpiry(parts: ExpiryParts): Expiry {
  const { store, queues, log } = parts;
  const { maxSites } = parts;
  const wake = { intake: queues.intake.nudge, provision: queues.provision.nudge, report: queues.report.nudge, maxSites };
  const count = openCount(parts);
  /** What is to be known before repositories are compared: a new access to one is no reason to end its sites. */
  const before = async () => [...(await planNewcomers(parts)), ...(await planStrangers(store))];
  const orphans = () => planOrphans(store, { stocks: parts.stocks, where: HERE, instead: parts.instead?.orphans ?? null });
  const carry = async (plan: readonly Finding[], signal?: AbortSignal): Promise<readonly Done[]> =>
    carryOut(plan, { log, ...(signal && { signal }) });
  const deliverAgain = async (forge: ForgeId, signal?: AbortSignal): Promise<readonly Done[]> => {
    const { findings, settle } = await planForge(parts, forge);
    const done = await carry(findings, signal);
    const isWhole = done.length === findings.length && done.every(({ outcome }) => outcome === 'done' || outcome === 'not needed');
    if (isWhole) await settle();
    return done;
  };
  const spread = (repositories: number): number => (FORGE_ROUND_MS - TARGET_EVERY_MS) / repositories;
  let pace = (repositories: number): number => Math.min(spread(repositories), CATCH_UP_PAUSE_MS);
  const forgeRound = async (signal: AbortSignal): Promise<void> => {
    count(await carry(await before(), signal));
    const repositories = await store.repositories.all();
    for (const repository of repositories) {
      count(await carry(await planRepository(parts, repository), signal));
      await pause(pace(repositories.length), signal);
      if (signal.aborted) return;
    }
    // Last: by now the door has been open for a while, and each delivery is asked for once.
    for (const forge of parts.deliveries.keys()) count(await deliverAgain(forge, signal));
    pace = spread;
  };
  return {
    loops: ({ sweepEveryMs }) => [
      { name: 'sweep', everyMs: sweepEveryMs, run: async () => void (await sweep(store, wake, log)) },
      // A round takes its time by itself; without a repository there is none, and the pause is what keeps it from spinning.
      { name: 'forges', everyMs: TARGET_EVERY_MS, run: forgeRound },
      { name: 'deliveries', everyMs: HOUSEKEEPING_EVERY_MS, run: () => dropOldDeliveries(parts) },
    ],
    loopsHere: (storage) => [
      { name: 'target', everyMs: TARGET_EVERY_MS, run: async (signal) => count(await carry(await orphans(), signal)) },
      { name: 'logs', everyMs: HOUSEKEEPING_EVERY_MS, run: () => dropOldLogs(parts) },
      { name: 'storage', everyMs: HOUSEKEEPING_EVERY_MS, run: async (signal) => tellSwept(log, await storage?.sweep(signal)) },
      { name: 'strangers', everyMs: TARGET_EVERY_MS, run: async () => tellForgotten(log, await storage?.forgetStrangers()) },
      { name: 'room', everyMs: ROOM_EVERY_MS, run: async () => tellSwept(log, await storage?.makeRoom()) },
    ],
    async plan() {
      const plan = [...(await planSweep(store, wake)), ...(await before())];
      for (const repository of await store.repositories.all()) plan.push(...(await planRepository(parts, repository)));
      for (const forge of parts.deliveries.keys()) plan.push(...(await planForge(parts, forge)).findings);
      return [...plan, ...(await orphans())];
    },
    async reconcileNow() {
      const done = [...(await carry(await planSweep(store, wake))), ...(await carry(await before()))];
      for (const repository of await store.repositories.all()) done.push(...(await carry(await planRepository(parts, repository))));
      for (const forge of parts.deliveries.keys()) done.push(...(await deliverAgain(forge)));
      return [...done, ...(await carry(await orphans()))];
    },
  };
}

/** Tells the operator of every difference; of what is left alone once, however often it is seen. */
function openCount({ metrics, log }: Pick<ExpiryParts, 'metrics' | 'log'>): (done: readonly Done[]) => void {
  const told = new Set<string>();
  return (done) => {
    for (const { finding, outcome } of done) {
      const { deed, ...found } = finding;
      if (outcome === 'not needed' || deed === NOT_COMPARED) continue;
      if (outcome === 'left') {
        const key = `${found.kind} ${found.name} ${found.why}`;
        if (told.has(key)) continue;
        told.add(key);
      }
      metrics.found(found.kind);
      log[outcome === 'left' ? 'warn' : 'info']({ finding: found, outcome }, `reconciled: ${deed.word}`);
    }
  };
}

async function dropOldDeliveries({ store, log }: ExpiryParts): Promise<void> {
  const deliveries = await store.inbox.sweep();
  await store.redeliveries.sweep();
  if (deliveries > 0) log.info({ deliveries }, 'old deliveries dropped');
}

async function dropOldLogs({ store, dataDir, log }: ExpiryParts): Promise<void> {
  const logs = await removeOldLogs(dataDir, store);
  if (logs > 0) log.info({ logs }, 'logs of sites long gone dropped');
}

function tellForgotten(log: Logger, sources: number | undefined): void {
  if (sources) log.info({ sources }, 'the sources of repositories that are out of our reach were removed');
}

function tellSwept(log: Logger, swept: Swept | undefined): void {
  if (swept?.removed) log.info(swept, 'what was used longest ago was removed from the disk');
  if (swept?.isLow) log.warn(swept, 'little disk space is left');
}
