import { setTimeout as delay } from 'node:timers/promises';
import { type JobsOptions, UnrecoverableError } from 'bullmq';
import type { Logger } from 'pino';
import { type BareQueue, type BareWorker, openPostgresQueues, openRedisQueues, type Process, type QueueBackend } from './queue-backends.ts';
import { retryDelay } from './queue-retry.ts';
import type { SiteId } from './site/identity.ts';

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
/** A job that takes its worker down each time is given up after this many. */
const MAX_STALLS = 5;
/** Above what any retry class allows: `retryDelay` is who decides. */
const MAX_ATTEMPTS = 100;
/** After an abort, how long the aborted work may take to clean up before its jobs are left to the stall check. */
const ABORTED_MS = 5_000;
const POLL_MS = 20;

const NOW = 'now';
const LATER = 'later';
const ONCE: JobsOptions = {
  attempts: MAX_ATTEMPTS,
  backoff: { type: 'ours' },
  removeOnComplete: true,
  removeOnFail: true,
  stackTraceLimit: 0,
};

/** What BullMQ is told of a failure: no message of the real one, which may hold anything, and how long to wait. */
class Again extends Error {
  readonly delayMs: number;
  constructor(delayMs: number) {
    super('to be tried again');
    this.name = 'Again';
    this.delayMs = delayMs;
  }
}

/** The queues: on PostgreSQL, or on Redis when there is one. A job carries an id and nothing else. */
export async function openQueues({ databaseUrl, redisUrl, log, prefix = 'mayfly', stall = STALL_TIMES }: QueuesOptions): Promise<Queues> {
  await using opening = new AsyncDisposableStack();
  const backend = opening.use(await (redisUrl === null ? openPostgresQueues(databaseUrl, log) : openRedisQueues(redisUrl, prefix, log)));
  const lanes = {
    intake: openLane<string>(backend, 'intake'),
    provision: openLane<SiteId>(backend, 'provision'),
    report: openLane<SiteId>(backend, 'report'),
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

type OpenLane<Id extends string> = Lane<Id> & {
  readonly queue: BareQueue;
  readonly added: () => number;
  /** Runs that are going on here, and whether their id was added meanwhile. */
  readonly running: Map<string, { woken: boolean }>;
};

function openLane<Id extends string>(backend: QueueBackend, name: QueueName): OpenLane<Id> {
  const queue = backend.queue(`mayfly-${name}`);
  const running: OpenLane<Id>['running'] = new Map();
  let added = 0;
  const now = (id: Id, deduplication: { readonly reschedule?: true }): Promise<unknown> => {
    added++;
    return queue.add(NOW, { id }, { ...ONCE, deduplication: { id, keepLastIfActive: true, ...deduplication } });
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

type Work = {
  readonly backend: QueueBackend;
  readonly lanes: { readonly intake: OpenLane<string>; readonly provision: OpenLane<SiteId>; readonly report: OpenLane<SiteId> };
  readonly handlers: Handlers;
  readonly options: WorkOptions;
  readonly stall: StallTimes;
  readonly log: Logger;
};

function startWork(work: Work): AsyncDisposable {
  const stopping = new AbortController();
  const { lanes, handlers } = work;
  const workers = [
    startWorker(work, 'intake', processor(work, { name: 'intake', lane: lanes.intake, handler: handlers.intake, signal: stopping.signal })),
    startWorker(
      work,
      'provision',
      processor(work, { name: 'provision', lane: lanes.provision, handler: handlers.provision, signal: stopping.signal }),
    ),
    startWorker(work, 'report', processor(work, { name: 'report', lane: lanes.report, handler: handlers.report, signal: stopping.signal })),
  ];
  return { [Symbol.asyncDispose]: () => stopWorkers(workers, stopping, work.options.graceMs) };
}

function startWorker({ backend, options, stall }: Work, name: QueueName, process: Process): BareWorker {
  return backend.worker(`mayfly-${name}`, process, {
    concurrency: options.concurrency[name],
    lockDuration: stall.lockMs,
    stalledInterval: stall.checkEveryMs,
    maxStalledCount: MAX_STALLS,
    // How soon a worker looks again after its store was away.
    runRetryDelay: 1_000,
    settings: { backoffStrategy: (_attempt, _type, error) => (error instanceof Again ? error.delayMs : -1) },
  });
}

type Run<Id extends string> = {
  readonly name: QueueName;
  readonly lane: OpenLane<Id>;
  readonly handler: Handler<Id>;
  readonly signal: AbortSignal;
};

function processor<Id extends string>({ handlers, log: parent }: Work, { name, lane, handler, signal }: Run<Id>): Process {
  return async (job) => {
    // Parse boundary: only a lane adds jobs, and to its own queue.
    const id = job.data.id as Id;
    if (job.name === LATER) return lane.add(id);
    const log = parent.child({ queue: name, job: id });
    const attempt = job.attemptsMade + 1;
    const run = { woken: false };
    lane.running.set(id, run);
    try {
      await handler(id, { attempt, signal });
    } catch (error) {
      // Interrupted by our own stop: whoever takes it next starts at once.
      if (signal.aborted) throw new Again(0);
      const waitMs = retryDelay(error, attempt);
      log.warn({ err: error, attempt, waitMs }, waitMs === null ? 'job failed and is given up' : 'job failed and is tried again');
      if (waitMs !== null) throw new Again(run.woken ? 0 : waitMs);
      await handlers.gaveUp(name, id, error);
      throw new UnrecoverableError('given up');
    } finally {
      if (lane.running.get(id) === run) lane.running.delete(id);
    }
  };
}

/** Jobs that go on even after the abort are taken over by the stall check, here or on another host. */
async function stopWorkers(workers: readonly BareWorker[], stopping: AbortController, graceMs: number): Promise<void> {
  const finished = Promise.all(workers.map((worker) => worker.close()));
  const done = new AbortController();
  const timer = async (): Promise<void> => {
    await delay(graceMs, undefined, { signal: done.signal });
    stopping.abort();
    await delay(ABORTED_MS, undefined, { signal: done.signal });
  };
  // Cut short when all work is finished.
  await Promise.race([finished, timer().catch(() => undefined)]);
  done.abort();
}
