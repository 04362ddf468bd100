import { setTimeout as delay } from 'node:timers/promises';
import { createPostgresBackend, type Job, type PgPool, Queue, runMigrations, Worker, type WorkerOptions, withBackend } from 'bullmq';
import { Redis, type RedisOptions } from 'ioredis';
import pg from 'pg';
import type { Logger } from 'pino';

export type JobBody = { readonly id: string };
export type BareQueue = Pick<Queue<JobBody>, 'add' | 'getJobCounts' | 'close'>;
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

/** Queues in a schema of their own in the same PostgreSQL as everything else. */
export async function openPostgresQueues(databaseUrl: string, log: Logger): Promise<QueueBackend> {
  const pool = new pg.Pool({
    connectionString: databaseUrl,
    application_name: 'mayfly-queue',
    max: POOL_SIZE,
    connectionTimeoutMillis: ANSWER_LIMIT_MS,
    keepAlive: true,
    options: `-c search_path=${SCHEMA}`,
  });
  // Without a listener the loss of an idle connection would end the process.
  pool.on('error', (error) => log.warn({ err: error }, 'a connection of the queue was lost'));
  // One that is lost while it is in use tells its own listeners only; the statement on it throws anyway.
  pool.on('connect', (client) => client.on('error', (error) => log.debug({ err: error }, 'a connection of the queue in use was lost')));
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
    queue: (name) => heard(new on.Queue<JobBody>(name, { connection }), log),
    worker: (name, process, options) => heard(new on.Worker<JobBody>(name, process, { ...options, connection }), log),
    isReachable: (ms) => answers(pool.query('select 1'), ms),
    async [Symbol.asyncDispose]() {
      // Work that ignored its abort still holds connections; the process goes without it.
      await Promise.race([pool.end(), delay(CLOSE_LIMIT_MS, undefined, { ref: false })]);
    },
  };
}

/** Queues on Redis, for teams that have one. `prefix` keeps several Mayflys on one Redis apart. */
export async function openRedisQueues(redisUrl: string, prefix: string, log: Logger): Promise<QueueBackend> {
  const connect = (options: Pick<RedisOptions, 'maxRetriesPerRequest' | 'commandTimeout'>): Redis => {
    const client = new Redis(redisUrl, { ...options, retryStrategy: (times: number) => Math.min(times * 100, 2_000) });
    return client.on('error', (error) => log.warn({ err: error }, 'the connection to Redis was lost'));
  };
  // Who adds wants to know soon that it failed; who works waits for as long as it takes.
  const asking = connect({ maxRetriesPerRequest: 1, commandTimeout: ANSWER_LIMIT_MS });
  const working = connect({ maxRetriesPerRequest: null });
  return {
    queue: (name) => heard(new Queue(name, { connection: asking, prefix }), log),
    worker: (name, process, options) => heard(new Worker(name, process, { ...options, connection: working, prefix }), log),
    isReachable: (ms) => answers(asking.ping(), ms),
    async [Symbol.asyncDispose]() {
      asking.disconnect();
      working.disconnect();
    },
  };
}

/** BullMQ emits `error` for each connection that it loses and finds again by itself. */
function heard<Emitter extends { on(event: 'error', listener: (error: Error) => void): unknown }>(emitter: Emitter, log: Logger): Emitter {
  emitter.on('error', (error) => log.warn({ err: error }, 'queue error'));
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
