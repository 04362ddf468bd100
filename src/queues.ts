import { setTimeout as delay } from 'node:timers/promises';
import type { JobsOptions } from 'bullmq';
import type { Logger } from 'pino';
import { type BareQueue, type JobBody, openPostgresQueues, openRedisQueues, type QueueBackend } from './queue-backends.ts';
import { LATER, type OpenLane, startWork } from './queue-work.ts';
import type { SiteId } from './site/identity.ts';
import { type Gathering, together } from './together.ts';

export type QueueName = 'intake' | 'provision' | 'report';
export const QUEUES = ['intake', 'provision', 'report'] as const satisfies readonly QueueName[];

export type Lane<Id extends string> = {
  /**
   * Has `id` worked on: now, or in `delayMs`. Many adds of one id become one run; an add during a run brings one more after it; an add
   * without delay also ends the wait of a retry. A delayed add only brings an immediate one later, so it never stands in one's way.
   */
  readonly add: (id: Id, when?: { readonly delayMs?: number }) => Promise<void>;
  /** As `add`, but a retry that waits is left to wait: for loops that find the same unsettled id over and over. */
  readonly nudge: (id: Id) => Promise<void>;
};
/** `attempt` counts from 1. `signal` is aborted when the process stops and its grace is over. */
export type Handler<Id extends string> = (id: Id, run: { readonly attempt: number; readonly signal: AbortSignal }) => Promise<void>;
export type Handlers = {
  readonly intake: Handler<string>;
  readonly provision: Handler<SiteId>;
  readonly report: Handler<SiteId>;
  /** Told of what is not tried again, with the error of its last attempt. */
  readonly gaveUp: (queue: QueueName, id: string, error: unknown) => Promise<void>;
};
export type WorkOptions = {
  readonly concurrency: Readonly<Record<QueueName, number>>;
  /** How long running work may go on once we stop; its signal is aborted then. */
  readonly graceMs: number;
};
export type Depth = { readonly waiting: number; readonly active: number; readonly delayed: number };

export interface Queues extends AsyncDisposable {
  readonly intake: Lane<string>;
  readonly provision: Lane<SiteId>;
  readonly report: Lane<SiteId>;
  /** Starts taking work; disposing stops taking, waits for what runs, aborts it after the grace, and hands back what still runs. */
  work(handlers: Handlers, options: WorkOptions): AsyncDisposable;
  depth(): Promise<Readonly<Record<QueueName, Depth>>>;
  isReachable(ms: number): Promise<boolean>;
  /** Resolves when nothing waits, runs or is delayed: for tests. */
  settled(): Promise<void>;
}

export type QueuesOptions = {
  readonly databaseUrl: string;
  /** `redis://…`, `rediss://…` or the path of a unix socket; null for queues on PostgreSQL. */
  readonly redisUrl: string | null;
  readonly log: Logger;
  /** Keeps several Mayflys on one Redis apart. */
  readonly prefix?: string;
  readonly stall?: StallTimes;
};

/**
 * When the work of a worker that died is taken over: its lock ends after `lockMs`, the check after that marks the job and the next one
 * moves it, so at most `lockMs` + 2 × `checkEveryMs`: 20 s. BullMQ's own numbers are 30 s and 30 s.
 */
export type StallTimes = { readonly lockMs: number; readonly checkEveryMs: number };
const STALL_TIMES: StallTimes = { lockMs: 10_000, checkEveryMs: 5_000 };
/** Above what any retry class allows: `retryDelay` is who decides. */
const MAX_ATTEMPTS = 100;
const POLL_MS = 20;

const NOW = 'now';
type NewJob = { readonly name: string; readonly data: JobBody; readonly opts: JobsOptions };
const ONCE: JobsOptions = {
  attempts: MAX_ATTEMPTS,
  backoff: { type: 'ours' },
  removeOnComplete: true,
  removeOnFail: true,
  stackTraceLimit: 0,
};

/** The queues: on PostgreSQL, or on Redis when there is one. A job carries an id and nothing else. */
export async function openQueues({ databaseUrl, redisUrl, log, prefix = 'mayfly', stall = STALL_TIMES }: QueuesOptions): Promise<Queues> {
  await using opening = new AsyncDisposableStack();
  const backend = opening.use(await (redisUrl === null ? openPostgresQueues(databaseUrl, log) : openRedisQueues(redisUrl, prefix, log)));
  const lanes = {
    intake: openLane<string>(backend, 'intake', GATHERED),
    provision: openLane<SiteId>(backend, 'provision', ALONE),
    report: openLane<SiteId>(backend, 'report', ALONE),
  };
  for (const name of QUEUES) opening.defer(() => lanes[name].queue.close());
  const depth: Queues['depth'] = async () => {
    const [intake, provision, report] = await Promise.all([
      depthOf(lanes.intake.queue),
      depthOf(lanes.provision.queue),
      depthOf(lanes.report.queue),
    ]);
    return { intake, provision, report };
  };
  const opened = opening.move();
  return {
    ...lanes,
    depth,
    work: (handlers, options) => startWork({ backend, lanes, handlers, options, stall, log }),
    isReachable: (ms) => backend.isReachable(ms),
    async settled() {
      // Twice in a row with nothing added in between: work may move from a queue not yet counted to one counted already.
      for (let empty = 0, adds = -1; empty < 2; await delay(POLL_MS)) {
        const added = QUEUES.reduce((sum, name) => sum + lanes[name].added(), 0);
        const idle = Object.values(await depth()).every(({ waiting, active, delayed }) => waiting + active + delayed === 0);
        empty = idle && added === adds ? empty + 1 : 0;
        adds = added;
      }
    },
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

/**
 * Deliveries come in bursts, each of them once. Adding a job is twice the work of storing a delivery: it waits until the answer is with its
 * sender, and the deliveries that came with it are stored. A job is its id, which the inbox has taken before: no store refuses a single one.
 */
const GATHERED: Gathering = { atOnce: 2, most: 100, isOnes: () => false, afterMs: 5 };
/** Two processes that wake the same sites together in another order would wait for each other: the store locks each id of a call in turn. */
const ALONE: Gathering = { atOnce: Number.POSITIVE_INFINITY, most: 1, isOnes: () => false };

function openLane<Id extends string>(backend: QueueBackend, name: QueueName, gathering: Gathering): OpenLane<Id> {
  const queue = backend.queue(`mayfly-${name}`);
  const running: OpenLane<Id>['running'] = new Map();
  let added = 0;
  const addJob = together(async (jobs: readonly NewJob[]): Promise<readonly unknown[]> => {
    const [only] = jobs;
    return only && jobs.length === 1 ? [await queue.add(only.name, only.data, only.opts)] : queue.addBulk([...jobs]);
  }, gathering);
  const now = (id: Id, deduplication: { readonly reschedule?: true }): Promise<unknown> => {
    added++;
    return addJob({ name: NOW, data: { id }, opts: { ...ONCE, deduplication: { id, keepLastIfActive: true, ...deduplication } } });
  };
  return {
    queue,
    running,
    added: () => added,
    async add(id, { delayMs = 0 } = {}) {
      if (delayMs > 0) {
        added++;
        // A job of its own, one for each quarter of a second in which it is due, whose work is to add the immediate one.
        const due = Math.ceil((Date.now() + delayMs) / 250);
        await queue.add(LATER, { id }, { ...ONCE, delay: delayMs, deduplication: { id: `${id} ${due}` } });
        return;
      }
      const run = running.get(id);
      if (run) run.woken = true;
      await now(id, { reschedule: true });
    },
    async nudge(id) {
      await now(id, {});
    },
  };
}

async function depthOf(queue: BareQueue): Promise<Depth> {
  const { waiting = 0, prioritized = 0, active = 0, delayed = 0 } = await queue.getJobCounts('waiting', 'prioritized', 'active', 'delayed');
  return { waiting: waiting + prioritized, active, delayed };
}
