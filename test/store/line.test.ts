import { expect, test } from 'vitest';
import { toLaunchId } from '../../src/site/identity.ts';
import type { Site } from '../../src/site/site.ts';
import { askOn } from '../postgres.ts';
import { headOf, headSeen, openTestStore, placeOf, sha } from './open.ts';

type Store = Awaited<ReturnType<typeof openTestStore>>;

async function born(store: Store, number: number, repository: number): Promise<Site> {
  await store.repositories.seen({
    forge: placeOf(1).pull.forge,
    id: placeOf(1, repository).pull.repository,
    name: `a/${repository}`,
    access: '1',
  });
  const applied = await store.applyToPull(placeOf(number, repository), headSeen(number, headOf(sha('a'))));
  if (!applied) throw new Error('no site was created');
  return applied.site;
}

/** As a worker does when it is the site's turn; its launch is under way until the lease is given back. */
async function launch(store: Store, { id }: Site): Promise<AsyncDisposable> {
  const held = await store.leases.take(`site:${id}`);
  if (held === undefined) throw new Error('somebody else has it');
  const launched = toLaunchId(`L${id}`);
  await store.launches.start({ id: launched, site: id, sha: sha('a'), queuedMs: 0 }, { held });
  await store.apply(id, { type: 'launchStarted', launch: launched, sha: sha('a') }, { held });
  return held;
}

const end = ({ id }: Site) =>
  ({ type: 'launchFailed', launch: toLaunchId(`L${id}`), sha: sha('a'), during: 'build', code: 'build-failed', details: {} }) as const;

const befores = (store: Store, sites: readonly Site[]): Promise<readonly number[]> =>
  Promise.all(sites.map(({ id }) => store.places.before(id)));

test('a place in the line is what it is when repositories take turns', async () => {
  await using store = await openTestStore();
  const first = await born(store, 1, 1);
  const second = await born(store, 2, 1);
  const third = await born(store, 3, 1);
  const calm = await born(store, 4, 2);
  expect(await befores(store, [first, second, third, calm])).toEqual([0, 2, 3, 1]);
  expect(await store.places.next(1)).toEqual([first.id]);
  // What is under way was its turn.
  {
    await using _launch = await launch(store, first);
    expect(await befores(store, [first, calm, second, third])).toEqual([0, 0, 1, 2]);
    expect(await store.places.next(1)).toEqual([calm.id]);
  }
});

test('of repositories with as many launches under way, next is the one whose last began the longest ago', async () => {
  await using store = await openTestStore();
  const sites = [];
  for (const [number, repository] of [1, 1, 2, 2, 3, 3].entries()) sites.push(await born(store, number + 1, repository));
  const order: (string | undefined)[] = [];
  for (let [next] = await store.places.next(1); next !== undefined; [next] = await store.places.next(1)) {
    const site = sites.find(({ id }) => id === next);
    if (site === undefined) throw new Error('a site of nobody');
    await using _launch = await launch(store, site);
    await store.apply(site.id, end(site));
    order.push(site.pull.repository);
  }
  expect(order).toEqual(['1', '2', '3', '1', '2', '3']);
});

test('a launch that nobody works on, since its forge is away, is no turn of its repository', async () => {
  await using store = await openTestStore();
  const away = await born(store, 1, 1);
  const other = await born(store, 2, 1);
  const third = await born(store, 3, 2);
  const fourth = await born(store, 4, 2);
  await (await launch(store, away))[Symbol.asyncDispose]();
  expect(await befores(store, [third, other, fourth])).toEqual([0, 1, 2]);
});

test('who is worked on is before nobody: it is about to begin, or its worker died', async () => {
  await using store = await openTestStore();
  const first = await born(store, 1, 1);
  const second = await born(store, 2, 2);
  {
    await using _held = await store.leases.take(`site:${first.id}`);
    expect(await befores(store, [first, second])).toEqual([0, 0]);
    expect(await store.places.next(1)).toEqual([second.id]);
  }
  expect(await befores(store, [first, second])).toEqual([0, 1]);
  expect(await store.places.next(1)).toEqual([first.id]);
});

test('who waits for a place of its repository is in nobody’s way', async () => {
  await using store = await openTestStore();
  const first = await born(store, 1, 1);
  const second = await born(store, 2, 2);
  await store.apply(first.id, { type: 'placeRefused' });
  expect(await befores(store, [second])).toEqual([0]);
  expect(await store.places.next(1)).toEqual([second.id]);
});

test('who stands and waits for room in another region is in nobody’s way', async () => {
  await using store = await openTestStore();
  const first = await born(store, 1, 1);
  const second = await born(store, 2, 2);
  await store.apply(first.id, { type: 'placeTaken' });
  await store.apply(first.id, { type: 'placeRefused', full: ['europe-west1'] });
  expect(await befores(store, [second])).toEqual([0]);
  expect(await store.places.next(1)).toEqual([second.id]);
});

test('what was under way when its worker died is before all that are queued, once its lease has run out', async () => {
  await using store = await openTestStore();
  const queued = await born(store, 1, 1);
  const interrupted = await born(store, 2, 1);
  const other = await born(store, 3, 2);
  await using _launch = await launch(store, interrupted);
  expect(await befores(store, [interrupted, other, queued])).toEqual([0, 0, 1]);
  await askOn(store.database.url, `update mayfly.leases set expires_at = '-infinity' where name = 'site:${interrupted.id}'`);
  expect(await befores(store, [interrupted, other, queued])).toEqual([0, 1, 2]);
  expect(await store.places.next(2)).toEqual([interrupted.id, other.id]);
});

test('nobody waits: nobody is next', async () => {
  await using store = await openTestStore();
  expect(await store.places.next(1)).toEqual([]);
  const site = await born(store, 1, 1);
  await using _launch = await launch(store, site);
  expect(await store.places.next(1)).toEqual([]);
});
