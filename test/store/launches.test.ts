import { expect, test } from 'vitest';
import { toLaunchId } from '../../src/site/identity.ts';
import type { Store } from '../../src/store/store.ts';
import { headOf, headSeen, openTestStore, placeOf, sha } from './open.ts';

const [one, two] = [toLaunchId('L1'), toLaunchId('L2')];

async function createSite(store: Store) {
  const created = await store.applyToPull(placeOf(7), headSeen(1, headOf(sha('a'))));
  if (!created) throw new Error('no site was created');
  return created.site.id;
}

test('a launch from its start to its end', async () => {
  await using store = await openTestStore();
  const site = await createSite(store);
  expect(await store.launches.lastStart(site)).toMatchObject({ startedAt: null });
  await store.launches.start({ id: one, site, sha: sha('a'), queuedMs: 40 });
  await store.launches.note(one, { stages: { fetch: 300 }, notes: { detected: 'npm' } });
  await store.launches.note(one, { stages: { build: 200 }, notes: { cache: 'dependencies', ignored: ['idle'] } });
  const [running] = await store.launches.of(site, 10);
  expect(running).toMatchObject({ id: one, site, sha: sha('a'), outcome: null, finishedAt: null, tail: '' });
  await store.launches.finish(one, { outcome: 'succeeded', reason: null, tail: 'listening\n' });
  const [done] = await store.launches.of(site, 10);
  expect(done).toMatchObject({
    outcome: 'succeeded',
    reason: null,
    stages: { queued: 40, fetch: 300, build: 200 },
    notes: { detected: 'npm', cache: 'dependencies', ignored: ['idle'] },
    tail: 'listening\n',
  });
  expect(done?.finishedAt?.getTime()).toBeGreaterThanOrEqual(done?.startedAt.getTime() ?? Number.POSITIVE_INFINITY);
  const { startedAt, now } = await store.launches.lastStart(site);
  expect(startedAt).toEqual(done?.startedAt);
  expect(now.getTime()).toBeGreaterThanOrEqual(startedAt?.getTime() ?? Number.POSITIVE_INFINITY);
});

test('a launch that never finished is abandoned by the next; the newest comes first', async () => {
  await using store = await openTestStore();
  const site = await createSite(store);
  await store.launches.start({ id: one, site, sha: sha('a'), queuedMs: 0 });
  await store.launches.start({ id: two, site, sha: sha('b'), queuedMs: 0 });
  expect((await store.launches.of(site, 10)).map(({ id, outcome }) => [id, outcome])).toEqual([
    [two, null],
    [one, 'abandoned'],
  ]);
  expect(await store.launches.of(site, 1)).toHaveLength(1);
});

test('a failure keeps its reason and the end of its log, whatever bytes are in it', async () => {
  await using store = await openTestStore();
  const site = await createSite(store);
  await store.launches.start({ id: one, site, sha: sha('a'), queuedMs: 0 });
  const reason = { during: 'build', code: 'build-failed', details: { exit: '3', command: 'npm run "build" \\ 🦀' } } as const;
  await store.launches.finish(one, { outcome: 'failed', reason, tail: 'cannot find\0 the cart' });
  expect(await store.launches.of(site, 1)).toMatchObject([{ outcome: 'failed', reason, tail: 'cannot find\u{fffd} the cart' }]);
});

test('a launch that nobody started cannot be noted', async () => {
  await using store = await openTestStore();
  await expect(store.launches.note(one, { stages: { fetch: 1 } })).rejects.toThrow();
});
