import type { Logger } from 'pino';
import type { Queues } from '../queues.ts';
import type { ForgeId, Repository } from '../site/identity.ts';
import type { Facts, Target } from '../site/ports.ts';
import { Fault } from '../site/problem.ts';
import type { Store } from '../store/store.ts';
import { type Loop, pause } from './clock.ts';
import { removeOldLogs } from './old-logs.ts';
import { type Finding, reconcileRepository, reconcileTarget } from './reconcile.ts';
import { sweep } from './sweep.ts';

export type ExpiryParts = {
  readonly store: Store;
  readonly queues: Pick<Queues, 'intake' | 'provision' | 'report'>;
  /** What runs on this host; null where no site does. */
  readonly target: Target | null;
  readonly links: ReadonlyMap<ForgeId, { readonly facts: Facts }>;
  /** Looks at one pull as if the forge had just told of it. */
  readonly lookAtPull: (repository: Repository, number: number) => Promise<void>;
  /** Ends the sites of a repository if it is out of our reach. */
  readonly endIfOutOfReach: (repository: Repository) => Promise<void>;
  readonly dataDir: string;
  /** Sites that one repository may have at once. */
  readonly maxSites: number;
  readonly metrics: { found(kind: string): void };
  readonly log: Logger;
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
  /** Both comparisons, whole, at once. */
  reconcileNow(): Promise<void>;
}

const TARGET_EVERY_MS = 60_000;
/** Within this time every repository is compared with its forge once, the requests spread over it. */
const FORGE_ROUND_MS = 300_000;
/** The first round after a start is faster, since much may have been missed: four repositories a second, within every forge's limits. */
const CATCH_UP_PAUSE_MS = 250;
const HOUSEKEEPING_EVERY_MS = 3_600_000;
/** Asking a file system what is free costs microseconds. */
const ROOM_EVERY_MS = 60_000;

/** The loops that make every promise hold whatever was lost: what has expired, what is unsettled, what nobody told us. */
export function openExpiry(parts: ExpiryParts): Expiry {
  const { store, queues, log } = parts;
  const { maxSites } = parts;
  const wake = { intake: queues.intake.nudge, provision: queues.provision.nudge, report: queues.report.nudge, maxSites };
  const compareTarget = async (): Promise<void> => {
    if (parts.target !== null) count(parts, await reconcileTarget(store, parts.target, log));
  };
  const compareForges = async (pauseMs: (repositories: number) => number, signal: AbortSignal): Promise<void> => {
    const repositories = await store.repositories.all();
    for (const repository of repositories) {
      await compareRepository(parts, repository);
      await pause(pauseMs(repositories.length), signal);
      if (signal.aborted) return;
    }
  };
  const spread = (repositories: number): number => (FORGE_ROUND_MS - TARGET_EVERY_MS) / repositories;
  let pace = (repositories: number): number => Math.min(spread(repositories), CATCH_UP_PAUSE_MS);
  const forgeRound = async (signal: AbortSignal): Promise<void> => {
    await compareForges(pace, signal);
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
      { name: 'target', everyMs: TARGET_EVERY_MS, run: compareTarget },
      { name: 'logs', everyMs: HOUSEKEEPING_EVERY_MS, run: () => dropOldLogs(parts) },
      { name: 'storage', everyMs: HOUSEKEEPING_EVERY_MS, run: async (signal) => tellSwept(log, await storage?.sweep(signal)) },
      { name: 'strangers', everyMs: TARGET_EVERY_MS, run: async () => tellForgotten(log, await storage?.forgetStrangers()) },
      { name: 'room', everyMs: ROOM_EVERY_MS, run: async () => tellSwept(log, await storage?.makeRoom()) },
    ],
    async reconcileNow() {
      await compareTarget();
      await compareForges(() => 0, new AbortController().signal);
    },
  };
}

async function compareRepository(parts: ExpiryParts, repository: Repository): Promise<void> {
  const facts = parts.links.get(repository.forge)?.facts;
  if (facts === undefined) return;
  try {
    const truth = { facts, lookAtPull: parts.lookAtPull };
    await reconcileRepository(parts.store, repository, truth).then(
      (findings) => count(parts, findings),
      (error: unknown) => {
        if (!(error instanceof Fault && error.code === 'access-gone')) throw error;
        parts.log.info({ repository: repository.name }, 'a repository is out of our reach');
        return parts.endIfOutOfReach(repository);
      },
    );
  } catch (error) {
    // One repository that its forge refuses to talk about must not keep the others from being looked at.
    parts.log.warn({ err: error, repository: repository.name }, 'a repository could not be compared with its forge');
  }
}

function count(parts: ExpiryParts, findings: readonly Finding[]): void {
  for (const finding of findings) {
    parts.metrics.found(finding.kind);
    parts.log.info({ finding }, 'reconciled');
  }
}

async function dropOldDeliveries({ store, log }: ExpiryParts): Promise<void> {
  const deliveries = await store.inbox.sweep();
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
