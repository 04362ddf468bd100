import { expect, test } from 'vitest';
import { toLaunchId } from '../../src/site/identity.ts';
import { headOf, headSeen, openTestStore, placeOf, sha } from './open.ts';

test('a head creates the site of its pull, and its history begins', async () => {
  await using store = await openTestStore();
  const applied = await store.applyToPull(placeOf(7), headSeen(1, headOf(sha('a'))));
  expect(applied).toMatchObject({ changed: true, effects: ['provision', 'report'], site: { status: 'queued', version: 1 } });
  const site = await store.sites.findByPull(placeOf(7).pull);
  expect(site).toEqual(applied?.site);
  expect(await store.history(applied?.site.id ?? raise(), 10)).toMatchObject([{ version: 1, type: 'headSeen' }]);
});

function raise(): never {
  throw new Error('no site was created');
}

test('news changes the site once: the same again changes nothing', async () => {
  await using store = await openTestStore();
  const created = await store.applyToPull(placeOf(7), headSeen(1, headOf(sha('a'))));
  const id = created?.site.id ?? raise();
  const started = { type: 'launchStarted', launch: toLaunchId('L1'), sha: sha('a') } as const;
  const first = await store.apply(id, started);
  expect(first).toMatchObject({ changed: true, effects: ['report'], site: { status: 'building', version: 2 } });
  const stale = await store.apply(id, { ...started, sha: sha('b') });
  expect(stale).toMatchObject({ changed: false, effects: [], site: { version: 2 } });
  expect(await store.history(id, 10)).toHaveLength(2);
});
