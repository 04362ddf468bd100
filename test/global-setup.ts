import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import type { TestProject } from 'vitest/node';
import { openEmbeddedPostgres } from '../src/store/embedded.ts';
import { prepareTemplate } from './postgres.ts';
import { openRedis } from './redis.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    /** Superuser's address of the run's PostgreSQL; its database `mayfly_template` is migrated. */
    readonly postgresUrl: string;
    /** Unix socket of the run's Redis. */
    readonly redisSocket: string;
  }
}

/** One PostgreSQL and one Redis for the whole run; both end with the process that runs the tests, however it ends. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const log = pino({ level: process.stdout.isTTY ? 'warn' : 'error' });
  await using opening = new AsyncDisposableStack();
  const folder = opening.adopt(await mkdtemp(join(tmpdir(), 'mayfly-test-')), (path) => rm(path, { recursive: true, force: true }));
  // A fresh temporary folder is closed to everybody, the server's user included.
  await chmod(folder, 0o711);
  // Nothing here has to survive a power cut.
  const settings = { fsync: 'off', full_page_writes: 'off', synchronous_commit: 'off', max_connections: '200' };
  const postgres = opening.use(await openEmbeddedPostgres({ folder: join(folder, 'postgres'), name: 'tests', log, settings }));
  const postgresUrl = postgres.url('postgres');
  await prepareTemplate(postgresUrl);
  const redis = opening.use(await openRedis(folder));
  project.provide('postgresUrl', postgresUrl);
  project.provide('redisSocket', redis.socket);
  const opened = opening.move();
  return () => opened.disposeAsync();
}
