import { expect, test } from 'vitest';
import { toLaunchId } from '../../src/site/identity.ts';
import type { Site } from '../../src/site/site.ts';
import { headOf, headSeen, openTestStore, placeOf, sha } from './open.ts';

type Store = Awaited<ReturnType<typeof openTestStore>>;

async function born(store: Store, number: number, repository = 1): Promise<Site> {
  const applied = await store.applyToPull(placeOf(number, repository), headSeen(number, headOf(sha('a'))));
  if (!applied) throw new Error('no site was created');
  return applied.site;
}

async function claim(store: Store, site: Site, candidates: readonly string[], { max = 2, places = 9 } = {}): Promise<Site> {
  const held = await store.leases.take(`site:${site.id}`);
  if (!held) throw new Error('somebody else has it');
  await using _ = held;
  return (await store.claimPlace(site.id, { held, max: places, rooms: { candidates, max } })).site;
}

test('sites are spread over the regions of a group, whatever their repositories, until all of them are full', async () => {
  await using store = await openTestStore();
  const europe = ['europe-west1', 'europe-west3'];
  const regions: string[] = [];
  for (let n = 1; n <= 4; n++) regions.push((await claim(store, await born(store, n, n), europe)).region);
  expect(regions).toEqual(['europe-west1', 'europe-west3', 'europe-west1', 'europe-west3']);
  const fifth = await claim(store, await born(store, 5, 5), europe);
  expect(fifth).toMatchObject({ place: 'refused', home: { full: europe } });
  expect(await claim(store, await born(store, 6, 6), ['us-central1'])).toMatchObject({ place: 'taken', region: 'us-central1' });
  // It is asked again and again, and gets what comes free.
  expect((await store.sites.unsettled(10, { maxSites: 9, forges: [] })).provision).toContain(fifth.id);
  const first = await store.sites.findByPull(placeOf(1, 1).pull);
  await store.apply(first?.id ?? fifth.id, { type: 'stopped', by: 'ada', order: null });
  await store.apply(first?.id ?? fifth.id, { type: 'removalFinished' });
  expect(await claim(store, fifth, europe)).toMatchObject({ place: 'taken', region: 'europe-west1', home: { full: null } });
});

test('two claims at the same time do not both get the last room', async () => {
  await using store = await openTestStore();
  const sites = await Promise.all([1, 2, 3, 4].map((n) => born(store, n, n)));
  const claimed = await Promise.all(sites.map((site) => claim(store, site, ['europe-west1'], { max: 3 })));
  expect(claimed.map(({ place }) => place).sort()).toEqual(['refused', 'taken', 'taken', 'taken']);
});

test('who waits for room keeps nobody of the same repository from a place', async () => {
  await using store = await openTestStore();
  await claim(store, await born(store, 1, 2), ['europe-west1'], { max: 1 });
  const waits = await claim(store, await born(store, 2), ['europe-west1'], { max: 1, places: 1 });
  expect(waits.place).toBe('refused');
  const other = await born(store, 3);
  expect((await store.sites.unsettled(10, { maxSites: 1, forges: [] })).provision).toEqual(expect.arrayContaining([waits.id, other.id]));
  expect(await claim(store, other, ['us-central1'], { max: 1, places: 1 })).toMatchObject({ place: 'taken', region: 'us-central1' });
});

test('a site that stands is not moved, and one that failed there before comes back to where it is', async () => {
  await using store = await openTestStore();
  const site = await claim(store, await born(store, 1), ['europe-west3'], { max: 1 });
  const launch = toLaunchId('L1');
  await store.apply(site.id, { type: 'launchStarted', launch, sha: sha('a') });
  await store.apply(site.id, { type: 'launchFailed', launch, sha: sha('a'), during: 'deploy', code: 'deploy-failed', details: {} });
  await store.apply(site.id, { type: 'deployAsked', by: 'ada', only: 'any', order: null });
  expect(await claim(store, site, ['europe-west1', 'europe-west3'])).toMatchObject({ place: 'taken', region: 'europe-west3' });
});
