import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { createCluster } from '../../cluster.ts';
import type { Files } from '../../doubles/git/git.ts';
import { type ForgeName, isOfPull } from '../../doubles/stage.ts';
import { createWorld, get, type TargetName, until } from '../../world.ts';
import { builtApp, nodeApp } from '../apps.ts';

/** Listens a second and a half after its start. */
const lateApp = (text: string): Files => ({
  ...nodeApp(text),
  'server.js': `setTimeout(() => {${nodeApp(text)['server.js']}}, 1500)`,
});

/** Mayfly's own database goes away, on either forge. */
export function database(forge: ForgeName, target: TargetName = 'local'): void {
  test('PostgreSQL is away for some seconds: webhooks get 503, sites stay up, then everything goes on (T-A11, T-F13)', async () => {
    await using cluster = await createCluster();
    await using w = await createWorld({ DATABASE_URL: cluster.url }, { forge, target });
    const status = async (path: string): Promise<number> => (await fetch(`${w.mayfly.webUrl}${path}`)).status;
    const repo = await w.forge.createRepository({ name: 'acme/shop', files: nodeApp('main') });
    const [steady, building] = [
      await w.forge.openPull(repo, { files: nodeApp('one') }),
      await w.forge.openPull(repo, { files: builtApp('built') }),
    ];
    const { host } = await w.reaches(steady, 'ready');
    await w.visit(steady);
    await until('the other to begin', async () => ((await w.siteOf(building))?.status ?? 'queued') !== 'queued');

    await cluster.stop();
    expect([await status('/healthz'), await status('/readyz')]).toEqual([200, 503]);
    const sha = await w.forge.push(steady, nodeApp('two'));
    const refused = w.forge.deliveries.findLast(isOfPull);
    expect(refused?.statusCode).toBe(503);
    expect(await get(w.mayfly.gateUrl, { path: '/', headers: { host: `${host}.${w.previews}` } })).toMatchObject({ body: 'one' });
    await delay(3_000);

    await cluster.start();
    await until('Mayfly to be ready', async () => (await status('/readyz')) === 200);
    await w.reaches(building, 'ready');
    expect((await w.visit(building)).body).toBe('built');
    if (refused) expect(await w.forge.redeliver(refused)).toMatchObject({ statusCode: 202 });
    await w.reaches(steady, 'ready', sha);
    expect((await w.visit(steady)).body).toBe('two');
    for (const pull of [steady, building]) expect(w.forge.ourComments(pull)).toHaveLength(1);
    await w.forge.close(steady);
    await w.reaches(steady, 'ended');
  });

  test('PostgreSQL crashes in the middle of a deploy: the launch is made again, and nobody is told that it failed', async () => {
    await using cluster = await createCluster();
    await using w = await createWorld({ DATABASE_URL: cluster.url }, { forge, target });
    const repo = await w.forge.createRepository({ name: 'acme/shop', files: nodeApp('main') });
    const pull = await w.forge.openPull(repo, { files: lateApp('after the crash') });
    // The engine is in the middle of its work: it waits for the app to become healthy.
    await until('the check', async () => {
      const site = await w.siteOf(pull);
      return site !== undefined && JSON.stringify(await w.mayfly.store.history(site.id, 10)).includes('"stage":"check"');
    });
    await cluster.crash();
    await until('the loss to be noticed', () => w.mayfly.store.losses() > 0);
    await until('the server to be back', () => w.mayfly.store.isReachable(500));
    await w.reaches(pull, 'ready');
    expect((await w.visit(pull)).body).toBe('after the crash');
    expect(w.forge.ourComment(pull)?.bodies.join()).not.toContain('failed');
  });
}
