import { expect, test } from 'vitest';
import { createWorld, until } from '../world.ts';
import { nodeApp } from './apps.ts';

test('what a worker asked of Google before it lost its site, and Google does late, is seen and put right', async () => {
  // Without the clock nothing is compared but when the test says so; a worker compares once a minute.
  await using w = await createWorld({ MAYFLY_ROLES: 'web,gate,worker' }, { target: 'gcp' });
  if (w.google === null) throw new Error('no Google Cloud');
  const { cloud, run } = w.google;
  const repo = await w.forge.createRepository({ name: 'acme/shop', files: nodeApp('main') });
  const pull = await w.forge.openPull(repo, { files: nodeApp('older') });
  await w.reaches(pull, 'ready');
  const [late] = structuredClone([...cloud.services.values()]);
  if (late === undefined) throw new Error('no service');
  const images = new Map(cloud.images);
  const sha = await w.forge.push(pull, nodeApp('newer'));
  const site = await w.reaches(pull, 'ready', sha);
  const launches = async (): Promise<number> => (await w.mayfly.store.launches.of(site.id, 9)).length;
  {
    // Once all of the launch is over; and the look of each minute waits meanwhile.
    await using _held = await until('its turn', () => w.mayfly.store.leases.take(`site:${site.id}`));
    await w.mayfly.reconcileNow();
    expect(await w.siteOf(pull)).toMatchObject({ status: 'ready' });
    for (const [name, image] of images) cloud.images.set(name, image);
    const { labels = {}, template } = late;
    await (await run.update(late.name, { labels, template })).ended;
    expect((await w.visit(pull)).body).toBe('older');
    expect(await launches()).toBe(2);
  }
  await w.mayfly.reconcileNow();
  await until('another launch', async () => (await launches()) === 3);
  expect(await w.reaches(pull, 'ready', sha)).toMatchObject({ endsAt: site.endsAt });
  expect((await w.visit(pull)).body).toBe('newer');
  await w.mayfly.reconcileNow();
  expect([(await w.siteOf(pull))?.status, await launches()]).toEqual(['ready', 3]);
});
