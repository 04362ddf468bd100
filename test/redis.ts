import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';

export type RedisServer = AsyncDisposable & { readonly socket: string };

/** An empty Redis on a socket in `folder`, which keeps nothing; ends with the process that runs the tests, however it ends. */
export async function openRedis(folder: string): Promise<RedisServer> {
  const socket = join(folder, 'redis.sock');
  const settings = ['--port', '0', '--unixsocket', socket, '--save', '', '--appendonly', 'no', '--maxmemory-policy', 'noeviction'];
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', 'redis-server', ...settings, '--dir', folder], { stdio: 'ignore' });
  const ended = once(child, 'exit');
  const client = new Redis({ path: socket, retryStrategy: () => 20, maxRetriesPerRequest: null });
  // Refused until the server listens: the client tries again.
  client.on('error', () => undefined);
  await Promise.race([client.ping(), ended.then(() => Promise.reject(new Error('redis-server did not start')))]);
  client.disconnect();
  return {
    socket,
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM');
      await ended;
    },
  };
}

export type OwnRedis = AsyncDisposable & {
  readonly socket: string;
  readonly stop: () => Promise<void>;
  /** Starts it again, empty. */
  readonly start: () => Promise<void>;
  readonly flush: () => Promise<void>;
  /** Any command, by whoever runs the server: `CONFIG SET maxmemory 1`. */
  readonly run: (command: string) => Promise<unknown>;
};

/** A Redis of the test's own, to be emptied, stopped and started. */
export async function createRedis(): Promise<OwnRedis> {
  await using opening = new AsyncDisposableStack();
  const folder = opening.adopt(await mkdtemp(join(tmpdir(), 'mayfly-redis-')), (path) => rm(path, { recursive: true, force: true }));
  let running: RedisServer | null = await openRedis(folder);
  const { socket } = running;
  const stop = async (): Promise<void> => {
    await running?.[Symbol.asyncDispose]();
    running = null;
  };
  opening.defer(stop);
  const run = async (command: string): Promise<unknown> => {
    const client = new Redis(socket);
    try {
      const [name = '', ...words] = command.split(' ');
      return await client.call(name, ...words);
    } finally {
      client.disconnect();
    }
  };
  const opened = opening.move();
  return {
    socket,
    stop,
    async start() {
      running ??= await openRedis(folder);
    },
    flush: async () => void (await run('FLUSHALL')),
    run,
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}
