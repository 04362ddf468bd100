import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { expect, test } from 'vitest';
import { loadConfig } from '../../src/config.ts';
import { startMayfly } from '../../src/main.ts';
import type { Files, Pull } from '../doubles/github.ts';
import { createWorld, until } from '../world.ts';
import { slowBuild } from './apps.ts';

/** How many launches one process works on. */
const LAUNCHES = Math.max(4, availableParallelism());
/** All of both processes' places are filled first, by builds that take a processor each to begin. */
const MINUTES_10 = 600_000;
/** Nine launches one after the other, on two places beside builds that take the others. */
const MINUTES_4 = 240_000;

test('repositories take turns, whichever of two processes has a place free', { timeout: MINUTES_10 }, async () => {
  await using w = await createWorld({ MAYFLY_SECRET_KEY: randomBytes(32).toString('base64'), MAYFLY_MAX_SITES: String(LAUNCHES) });
  await using folders = new AsyncDisposableStack();
  const dataDir = folders.adopt(await mkdtemp(join(tmpdir(), 'mayfly-other-')), (path) => rm(path, { recursive: true, force: true }));
  const other = { ...w.environment, MAYFLY_ROLES: 'gate,worker', MAYFLY_DATA_DIR: dataDir };
  await using _other = await startMayfly(loadConfig(other), { log: pino({ level: 'silent' }) });
  const open = async (name: string, apps: readonly Files[]): Promise<readonly Pull[]> => {
    const repo = await w.github.createRepository({ name, files: { 'index.html': 'main' } });
    const pulls: Pull[] = [];
    for (const files of apps) pulls.push(await w.github.openPull(repo, { files }));
    return pulls;
  };
  const never = Array.from({ length: LAUNCHES }, (_, n) => slowBuild(`never ${n}`));
  const busy = [await open('busy/one', never), await open('busy/two', never)];
  await until('every place to be taken', async () => (await w.mayfly.store.sites.counts()).building === 2 * LAUNCHES);

  const waiting: Pull[] = [];
  for (const name of ['a/site', 'b/site', 'c/site']) {
    const pulls = await open(
      name,
      ['1', '2', '3'].map((text) => ({ 'page.html': text })),
    );
    // One repository's after the other's: in the order in which they came, its three would be first.
    for (const pull of pulls) await w.reaches(pull, 'queued');
    waiting.push(...pulls);
  }
  for (const [pull] of busy) if (pull) await w.github.close(pull);

  const areReady = async () => (await Promise.all(waiting.map(w.rowOf))).every((site) => site?.status === 'ready');
  await until('all that waited to be ready', areReady, MINUTES_4);
  const launched = await Promise.all(
    waiting.map(async (pull) => {
      const site = await w.reaches(pull, 'ready');
      const [launch] = await w.mayfly.store.launches.of(site.id, 1);
      return { repository: pull.repository.id, began: launch?.startedAt.getTime() ?? 0 };
    }),
  );
  const order = launched.toSorted((one, other) => one.began - other.began).map(({ repository }) => repository);
  const thirds = [...new Set(order)].map((one) => order.indexOf(one, order.indexOf(one, order.indexOf(one) + 1) + 1));
  // Everybody's first launch began before anybody's third.
  expect(new Set(order.slice(0, Math.min(...thirds))).size).toBe(3);
});
