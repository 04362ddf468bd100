import { setTimeout as delay } from 'node:timers/promises';
import { createPostgresBackend, type Job, type PgPool, Queue, runMigrations, Worker, type WorkerOptions, withBackend } from 'bullmq';
import { Redis, type RedisOptions } from 'ioredis';
import type { Logger } from 'pino';
import { pause } from './expiry/clock.ts';
import { openPool } from './store/pool.ts';

export type JobBody = { readonly id: string };
export type BareQueue = Pick<Queue<JobBody>, 'add' | 'addBulk' | 'getJobCounts' | 'close'>;
export type BareWorker = Pick<Worker<JobBody>, 'close'>;
export type Process = (job: Pick<Job<JobBody>, 'name' | 'data' | 'attemptsMade'>) => Promise<void>;
/** BullMQ on one of its stores; `queue` and `worker` are closed by whoever makes them, the connections behind them by the backend. */
export type QueueBackend = AsyncDisposable & {
  readonly queue: (name: string) => BareQueue;
  readonly worker: (name: string, process: Process, options: Omit<WorkerOptions, 'connection'>) => BareWorker;
  /** Whether the store answers, within `ms`. */
  readonly isReachable: (ms: number) => Promise<boolean>;
};

/** BullMQ's own name for its PostgreSQL schema; a pool that is handed to it is always used with this one. */
const SCHEMA = 'bullmq';
/** Three listeners of workers and the queries of everybody; idle connections are closed after 10 s. */
const POOL_SIZE = 10;
/** An add that cannot reach its store fails after this time: the caller's row is the outbox. */
const ANSWER_LIMIT_MS = 5_000;
const CLOSE_LIMIT_MS = 5_000;
/** How long a silent connection goes unprobed; the system's own number is two hours. */
const KEEP_ALIVE_MS = 10_000;

/** A store that goes away is told by every connection, queue and worker: one line in this time is enough, the rest is for debugging. */
const TOLD_AGAIN_MS = 10_000;

function openLosses(log: Logger): (error: unknown) => void {
  let toldAt = Number.NEGATIVE_INFINITY;
  return (error) => {
    const isNews = performance.now() - toldAt >= TOLD_AGAIN_MS;
    if (isNews) toldAt = performance.now();
    log[isNews ? 'warn' : 'debug']({ err: error }, 'the store of the queue has trouble');
  };
}

/** Queues in a schema of their own in the same PostgreSQL as everything else. */
export async function openPostgresQueues(databaseUrl: string, log: Logger): Promise<QueueBackend> {
  const told = openLosses(log);
  const pool = openPool(
    {
      connectionString: databaseUrl,
      application_name: 'mayfly-queue',
      max: POOL_SIZE,
      connectionTimeoutMillis: ANSWER_LIMIT_MS,
      keepAlive: true,
      keepAliveInitialDelayMillis: KEEP_ALIVE_MS,
      // Not waiting for the disk: a job that a crash of the server takes with it is made again by the sweep, from its row, which was waited for.
      options: `-c search_path=${SCHEMA} -c synchronous_commit=off`,
    },
    told,
  );
  const lost = (error: unknown): void => (pool.ending ? undefined : told(error));
  // One that is lost while it is in use tells its own listeners only; the statement on it throws anyway.
  pool.on('connect', (client) => client.on('error', lost));
  const client = await pool.connect();
  try {
    await runMigrations(client, SCHEMA);
  } finally {
    client.release();
  }
  // A pg.Pool is one, says BullMQ; the types of the two libraries differ only in how they overload `on`.
  const connection = pool as unknown as PgPool;
  const on = withBackend(createPostgresBackend);
  return {
    queue: (name) => heard(new on.Queue<JobBody>(name, { connection }), lost),
    worker: (name, process, options) =>
      onceReady(() => heard(new on.Worker<JobBody>(name, process, { ...options, connection, autorun: false }), lost), lost),
    isReachable: (ms) => answers(pool.query('select 1'), ms),
    async [Symbol.asyncDispose]() {
      // Work that ignored its abort still holds connections; the process goes without it.
      await Promise.race([pool.end(), delay(CLOSE_LIMIT_MS, undefined, { ref: false })]);
    },
  };
}

/** Until a worker whose store was away when it was made is made again. */
const MADE_AGAIN_MS = 1_000;

/**
 * A worker that runs once its store has answered. BullMQ remembers for good that the first look at its schema failed, and then asks for
 * jobs without ever pausing, so that nothing else in the process gets a turn: one that met with that is made anew.
 */
function onceReady(make: () => Pick<Worker<JobBody>, 'waitUntilReady' | 'run' | 'close'>, lost: (error: unknown) => void): BareWorker {
  const closing = new AbortController();
  let worker = make();
  const start = async (): Promise<void> => {
    while (!closing.signal.aborted) {
      try {
        await worker.waitUntilReady();
        if (!closing.signal.aborted) worker.run().catch(lost);
        return;
      } catch (error) {
        lost(error);
        await worker.close().catch(lost);
        await pause(MADE_AGAIN_MS, closing.signal);
        if (!closing.signal.aborted) worker = make();
      }
    }
  };
  void start();
  return {
    async close() {
      closing.abort();
      await worker.close();
    },
  };
}

/** Queues on Redis, for teams that have one. `prefix` keeps several Mayflys on one Redis apart. */
export async function openRedisQueues(redisUrl: string, prefix: string, log: Logger): Promise<QueueBackend> {
  const lost = openLosses(log);
  const connect = (options: Pick<RedisOptions, 'maxRetriesPerRequest' | 'commandTimeout'>): Redis => {
    const client = new Redis(redisUrl, {
      ...options,
      retryStrategy: (times: number) => Math.min(times * 100, 2_000),
      // After a failover the address leads to the new primary, and a connection that stands to the old one: for ever, if we kept it.
      reconnectOnError: ({ message }) => message.startsWith('READONLY'),
    });
    return client.on('error', lost);
  };
  // Who adds wants to know soon that it failed; who works waits for as long as it takes.
  const asking = connect({ maxRetriesPerRequest: 1, commandTimeout: ANSWER_LIMIT_MS });
  const working = connect({ maxRetriesPerRequest: null });
  return {
    queue: (name) => heard(new Queue(name, { connection: asking, prefix }), lost),
    worker: (name, process, options) => heard(new Worker(name, process, { ...options, connection: working, prefix }), lost),
    // Written, since a Redis that is full or read-only answers a ping all the same.
    isReachable: (ms) => answers(asking.set(`${prefix}:reached`, 1, 'EX', 60), ms),
    async [Symbol.asyncDispose]() {
      asking.disconnect();
      working.disconnect();
    },
  };
}

/** BullMQ emits `error` for each connection that it loses and finds again by itself. */
function heard<Emitter extends { on(event: 'error', listener: (error: Error) => void): unknown }>(
  emitter: Emitter,
  lost: (error: unknown) => void,
): Emitter {
  emitter.on('error', lost);
  return emitter;
}

async function answers(question: Promise<unknown>, ms: number): Promise<boolean> {
  const timer = new AbortController();
  const answer = question.then(
    () => true,
    // Whatever the reason: it does not answer.
    () => false,
  );
  const tooLate = delay(ms, false, { signal: timer.signal, ref: false }).catch(() => false);
  const reached = await Promise.race([answer, tooLate]);
  timer.abort();
  return reached;
}
