import type { Logger } from 'pino';
import type { Queues } from '../queues.ts';
import type { Forge, ForgeId, Repository } from '../site/identity.ts';
import type { Pattern } from '../site/policy.ts';
import type { Deliveries, Facts, Voice } from '../site/ports.ts';
import type { Store } from '../store/store.ts';
import { type Loop, pause } from './clock.ts';
import { type Memory, planForge, planNewcomers, planRepository } from './forges.ts';
import { type Grace, openGrace } from './grace.ts';
import { removeOldLogs } from './old-logs.ts';
import { planOrphans, type Stocks } from './orphans.ts';
import { carryOut, type Deed, type Done, type Finding, NOT_COMPARED } from './plan.ts';
import { planStrangers } from './reconcile.ts';
import { planSweep, sweep } from './sweep.ts';

export type ExpiryParts = {
  readonly store: Store;
  readonly queues: Pick<Queues, 'intake' | 'provision' | 'report'>;
  /** Where things of sites are kept on this host; none where no site is. */
  readonly stocks: Stocks;
  /** What an operator calls the place of a stock; `this machine` unless given. */
  readonly where?: (stock: string) => string;
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
  readonly forge: Pick<Forge, 'kind'>;
  readonly facts: Pick<Facts, 'openPulls' | 'file' | 'accesses' | 'repositories'>;
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
/**
 * Within this time every repository is compared with its forge once, the requests spread over it. What is out of our reach takes a second
 * look, at most a minute later: all of it within the five minutes that are promised.
 */
const FORGE_ROUND_MS = 240_000;
/** The first round after a start is faster, since much may have been missed: four repositories a second, within every forge's limits. */
const CATCH_UP_PAUSE_MS = 250;
const HOUSEKEEPING_EVERY_MS = 3_600_000;
/** Asking a file system what is free costs microseconds. */
const ROOM_EVERY_MS = 60_000;
const HERE = (): string => 'this machine';

/** The loops that make every promise hold whatever was lost: what has expired, what is unsettled, what nobody told us. */
export function openExpiry(parts: ExpiryParts): Expiry {
  const { store, queues, maxSites, log } = parts;
  const forges = () => [...parts.links.keys()];
  const wake = { intake: queues.intake.nudge, provision: queues.provision.nudge, report: queues.report.nudge, maxSites, forges };
  const tell = openTelling(parts);
  const orphans = (grace: Grace | null) =>
    planOrphans(store, { stocks: parts.stocks, where: parts.where ?? HERE, instead: parts.instead?.orphans ?? null, grace, log });
  const patient = openGrace(() => performance.now());
  const memory: Memory = { looks: new Map(), unreached: new Map() };
  let pace = (steps: number): number => Math.min(spread(steps), CATCH_UP_PAUSE_MS);
  const forgeRound = async (signal: AbortSignal): Promise<void> => {
    for await (const step of forgeSteps(parts, memory)) {
      tell(await take(step, { signal, log }));
      await pause(pace(step.of), signal);
      if (signal.aborted) return;
    }
    pace = spread;
  };
  const secondLook = async (signal: AbortSignal): Promise<void> => {
    for (const [key, { forge, id }] of memory.unreached) {
      const repository = await store.repositories.find(forge, id);
      if (repository === undefined) memory.unreached.delete(key);
      else tell(await carryOut(await planRepository({ ...parts, ...memory }, repository), { signal, log }));
    }
  };
  async function* everyStep(): AsyncGenerator<Step> {
    yield only(await planSweep(store, wake));
    yield* forgeSteps(parts, memory);
    yield only(await orphans(null));
  }
  return {
    loops: ({ sweepEveryMs }) => [
      { name: 'sweep', everyMs: sweepEveryMs, run: async () => void (await sweep(store, wake, log)) },
      // A round takes its time by itself; without a repository there is none, and the pause is what keeps it from spinning.
      { name: 'forges', everyMs: TARGET_EVERY_MS, run: forgeRound },
      { name: 'unreached', everyMs: TARGET_EVERY_MS, run: secondLook },
      { name: 'deliveries', everyMs: HOUSEKEEPING_EVERY_MS, run: () => dropOldDeliveries(parts) },
    ],
    loopsHere: (storage) => [
      { name: 'target', everyMs: TARGET_EVERY_MS, run: async (signal) => tell(await carryOut(await orphans(patient), { signal, log })) },
      logsLoop(parts),
      { name: 'storage', everyMs: HOUSEKEEPING_EVERY_MS, run: async (signal) => tellSwept(log, await storage?.sweep(signal)) },
      { name: 'strangers', everyMs: TARGET_EVERY_MS, run: async () => tellForgotten(log, await storage?.forgetStrangers()) },
      { name: 'room', everyMs: ROOM_EVERY_MS, run: async () => tellSwept(log, await storage?.makeRoom()) },
    ],
    async plan() {
      const plan: Finding[] = [];
      for await (const { findings } of everyStep()) plan.push(...findings);
      return plan;
    },
    async reconcileNow() {
      const done: Done[] = [];
      for await (const step of everyStep()) done.push(...(await take(step, { log })));
      return done;
    },
  };
}

/** Over the logs that are written where sites are built, run or let in. */
export const logsLoop = (parts: Pick<ExpiryParts, 'store' | 'dataDir' | 'log'>): Loop => ({
  name: 'logs',
  everyMs: HOUSEKEEPING_EVERY_MS,
  run: () => dropOldLogs(parts),
});

const spread = (steps: number): number => (FORGE_ROUND_MS - TARGET_EVERY_MS) / steps;

/** One look and what it asks for. */
type Step = {
  readonly findings: readonly Finding[];
  /** How many such share the time of a round; of infinitely many none is followed by a pause. */
  readonly of: number;
  /** Called once all of it was done. */
  readonly settle?: () => Promise<void>;
};
const only = (findings: readonly Finding[]): Step => ({ findings, of: Number.POSITIVE_INFINITY });

/** A round over the forges: each look is taken once what the one before asked for was done. */
async function* forgeSteps(parts: ExpiryParts, memory: Memory): AsyncGenerator<Step> {
  const { store, deliveries } = parts;
  // Before repositories are compared: a new access to one is no reason to end its sites.
  yield only([...(await planNewcomers(parts)), ...(await planStrangers(store))]);
  const repositories = await store.repositories.all();
  const of = repositories.length + deliveries.size;
  for (const repository of repositories) yield { findings: await planRepository({ ...parts, ...memory }, repository), of };
  // Last: by then the door has been open for a while, and each delivery is asked for once.
  for (const forge of deliveries.keys()) yield { ...(await planForge(parts, forge)), of };
}

async function take(step: Step, how: Parameters<typeof carryOut>[1]): Promise<readonly Done[]> {
  const done = await carryOut(step.findings, how);
  const isWhole = done.length === step.findings.length && done.every(({ outcome }) => outcome === 'done' || outcome === 'not needed');
  if (isWhole) await step.settle?.();
  return done;
}

/** Tells the operator of every difference; of what is left alone once, however often it is seen. */
function openTelling({ metrics, log }: Pick<ExpiryParts, 'metrics' | 'log'>): (done: readonly Done[]) => void {
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
      // Of a failure everything is told where it happens.
      if (outcome === 'left') log.warn({ finding: found }, 'found, and left alone');
      if (outcome === 'done') log.info({ finding: found }, `found, and ${deed.word}`);
    }
  };
}

async function dropOldDeliveries({ store, log }: ExpiryParts): Promise<void> {
  const deliveries = await store.inbox.sweep();
  await store.redeliveries.sweep();
  if (deliveries > 0) log.info({ deliveries }, 'old deliveries dropped');
}

async function dropOldLogs({ store, dataDir, log }: Pick<ExpiryParts, 'store' | 'dataDir' | 'log'>): Promise<void> {
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
