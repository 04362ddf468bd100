import { setTimeout as delay } from 'node:timers/promises';
import { UnrecoverableError } from 'bullmq';
import type { Logger } from 'pino';
import type { BareQueue, BareWorker, Process, QueueBackend } from './queue-backends.ts';
import { retryDelay } from './queue-retry.ts';
import type { Handler, Handlers, Lane, QueueName, StallTimes, WorkOptions } from './queues.ts';
import type { SiteId } from './site/identity.ts';

/** Name of the jobs whose work is to add the immediate one. */
export const LATER = 'later';
/** A job that takes its worker down each time is given up after this many. */
const MAX_STALLS = 5;
/** After an abort, how long the aborted work may take to clean up before its jobs are left to the stall check. */
const ABORTED_MS = 5_000;

/** What BullMQ is told of a failure: no message of the real one, which may hold anything, and how long to wait. */
class Again extends Error {
  readonly delayMs: number;
  constructor(delayMs: number) {
    super('to be tried again');
    this.name = 'Again';
    this.delayMs = delayMs;
  }
}

export type OpenLane<Id extends string> = Lane<Id> & {
  readonly queue: BareQueue;
  readonly added: () => number;
  /** Runs that are going on here, and whether their id was added meanwhile. */
  readonly running: Map<string, { woken: boolean }>;
};

export type Work = {
  readonly backend: QueueBackend;
  readonly lanes: { readonly intake: OpenLane<string>; readonly provision: OpenLane<SiteId>; readonly report: OpenLane<SiteId> };
  readonly handlers: Handlers;
  readonly options: WorkOptions;
  readonly stall: StallTimes;
  readonly log: Logger;
};

/** Starts a worker on each lane. */
export function startWork(work: Work): AsyncDisposable {
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
