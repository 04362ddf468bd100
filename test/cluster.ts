import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { type EmbeddedPostgres, openEmbeddedPostgres } from '../src/store/embedded.ts';

export type Cluster = AsyncDisposable & {
  /** Address of its database; the same after every start. */
  readonly url: string;
  readonly stop: () => Promise<void>;
  readonly start: () => Promise<void>;
  /** Kills the server, which is then started again by who watches over it. */
  readonly crash: () => Promise<void>;
};

/**
 * A PostgreSQL of the test's own, to be stopped and started.
 * @param settings of the server, over what it has anyway
 */
export async function createCluster(settings: Readonly<Record<string, string>> = {}): Promise<Cluster> {
  await using opening = new AsyncDisposableStack();
  const folder = opening.adopt(await mkdtemp(join(tmpdir(), 'mayfly-cluster-')), (path) => rm(path, { recursive: true, force: true }));
  // A fresh temporary folder is closed to everybody, the server's user included.
  await chmod(folder, 0o711);
  const options = { folder, name: 'stopped', log: pino({ level: 'silent' }), settings: { fsync: 'off', ...settings } };
  let running: EmbeddedPostgres | null = await openEmbeddedPostgres(options);
  const { port } = running;
  const stop = async (): Promise<void> => {
    await running?.[Symbol.asyncDispose]();
    running = null;
  };
  opening.defer(stop);
  const url = await running.ensureDatabase('mayfly');
  const opened = opening.move();
  return {
    url,
    stop,
    async start() {
      running ??= await openEmbeddedPostgres({ ...options, port });
    },
    async crash() {
      const [pid] = (await readFile(join(folder, 'data', 'postmaster.pid'), 'utf8')).split('\n');
      process.kill(Number(pid), 'SIGKILL');
    },
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}
