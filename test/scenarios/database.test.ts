import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { createCluster } from '../cluster.ts';
import { createWorld, get, until } from '../world.ts';
import { builtApp, nodeApp } from './apps.ts';

test('PostgreSQL is away for some seconds: webhooks get 503, sites stay up, then everything goes on (T-A11, T-F13)', async () => {
  await using cluster = await createCluster();
  await using w = await createWorld({ DATABASE_URL: cluster.url });
  const status = async (path: string): Promise<number> => (await fetch(`${w.mayfly.webUrl}${path}`)).status;
  const repo = await w.github.createRepository({ name: 'acme/shop', files: nodeApp('main') });
  const [steady, building] = [
    await w.github.openPull(repo, { files: nodeApp('one') }),
    await w.github.openPull(repo, { files: builtApp('built') }),
  ];
  const { host } = await w.reaches(steady, 'ready');
  await w.visit(steady);
  await until('the other to begin', async () => ((await w.siteOf(building))?.status ?? 'queued') !== 'queued');

  await cluster.stop();
  expect([await status('/healthz'), await status('/readyz')]).toEqual([200, 503]);
  const sha = await w.github.push(steady, nodeApp('two'));
  const refused = w.github.deliveries.filter((delivery) => delivery.event === 'pull_request').at(-1);
  expect(refused?.statusCode).toBe(503);
  expect(await get(w.mayfly.gateUrl, { path: '/', headers: { host: `${host}.preview.localhost` } })).toMatchObject({ body: 'one' });
  await delay(3_000);

  await cluster.start();
  await until('Mayfly to be ready', async () => (await status('/readyz')) === 200);
  await w.reaches(building, 'ready');
  expect((await w.visit(building)).body).toBe('built');
  if (refused) expect(await w.github.redeliver(refused)).toMatchObject({ statusCode: 202 });
  await w.reaches(steady, 'ready', sha);
  expect((await w.visit(steady)).body).toBe('two');
  for (const pull of [steady, building]) expect(w.github.ourComments(pull)).toHaveLength(1);
  await w.github.close(steady);
  await w.reaches(steady, 'ended');
});
