import fc from 'fast-check';
import pg from 'pg';
import { expect, test } from 'vitest';
import { toForgeId, toLaunchId, toSiteId } from '../../src/site/identity.ts';
import type { Live, Site } from '../../src/site/site.ts';
import { toRow, toSite } from '../../src/store/sites.ts';
import { github, headOf, headSeen, openTestStore, placeOf, repositoryId, sha } from './open.ts';

const text = fc.oneof(fc.string(), fc.constant('a \0 NUL'), fc.constant('\ud800 alone'), fc.constant('🦀'));
const date = fc.date({ min: new Date(0), max: new Date('9999-01-01'), noInvalidDate: true });
const commit = fc.constantFrom('a', 'b', 'c').map(sha);
const live: fc.Arbitrary<Live> = fc.record({
  sha: commit,
  revision: fc.constant(toLaunchId('L0')),
  url: text,
  since: date,
  served: fc.oneof(
    fc.record({ kind: fc.constant('process' as const), service: text }),
    fc.record({ kind: fc.constant('static' as const), folder: text }),
    fc.record({ kind: fc.constant('remote' as const), origin: text, region: text }),
  ),
  idleMs: fc.nat(),
});
const reason = fc.oneof(
  fc.record({ kind: fc.constantFrom('closed' as const, 'merged' as const, 'expired' as const, 'removed' as const) }),
  fc.record({ kind: fc.constant('stopped' as const), by: text }),
);
const common = fc.record({
  id: fc.constant(toSiteId('01SITE')),
  pull: fc.record({
    forge: fc.constant(toForgeId('github')),
    repository: fc.integer({ min: 1 }).map(repositoryId),
    number: fc.integer({ min: 1 }),
  }),
  host: fc.constant('pr-1-shop'),
  head: fc.record({ sha: commit, title: text, commitTitle: text, author: text, branch: text }).map((head) => headOf(head.sha, head)),
  observation: fc.nat(),
  live: fc.option(live),
  region: fc.constant('europe-west1'),
  terms: fc.record({ ttlMs: fc.nat(), maxTtlMs: fc.nat() }),
  clockStart: date,
  endsAt: date,
  pushedAt: date,
  createdAt: date,
  moved: fc.boolean(),
  closedAt: fc.option(date),
  turnedAt: fc.option(date),
  ruledAt: fc.option(date),
  closedAs: fc.constantFrom(null, 'closed' as const, 'merged' as const),
  approval: fc.option(fc.record({ sha: commit, repository: fc.constant(null), base: text, by: fc.record({ id: fc.nat(), login: text }) })),
  wishes: fc.record({
    kept: fc.boolean(),
    region: fc.option(text),
    newest: fc.record({ life: fc.nat(), rest: fc.nat(), region: fc.nat() }),
  }),
  home: fc.record({ asks: fc.option(text), taken: fc.boolean(), full: fc.option(fc.array(text)) }),
  place: fc.constantFrom('none' as const, 'refused' as const, 'taken' as const),
  rebuild: fc.boolean(),
  endNears: fc.boolean(),
  notice: fc.option(
    fc.record({
      said: fc.array(fc.record({ typed: text, by: text, answer: fc.constant({ code: 'pong' as const, details: {} }) })),
      log: fc.option(fc.record({ of: fc.constant('app' as const), text })),
    }),
  ),
  version: fc.nat(),
});
const launch = fc.constant(toLaunchId('L1'));
const statuses = fc.oneof(
  fc.record({ status: fc.constant('held' as const) }),
  fc.record({ status: fc.constant('queued' as const), since: date }),
  fc.record({ status: fc.constant('building' as const), launch, stage: fc.constantFrom('fetch' as const, 'build' as const), since: date }),
  fc.record({
    status: fc.constant('deploying' as const),
    launch,
    stage: fc.constantFrom('deploy' as const, 'check' as const),
    since: date,
  }),
  fc.record({ status: fc.constant('ready' as const), live, launch }),
  fc.record({
    status: fc.constant('failed' as const),
    launch,
    during: fc.constant('build' as const),
    code: fc.constant('build-failed' as const),
    details: fc.dictionary(
      fc.string({ maxLength: 8 }).map((key) => `k${key}`),
      text,
    ),
  }),
  fc.record({ status: fc.constant('ending' as const), reason, revive: fc.boolean() }),
  fc.record({ status: fc.constant('ended' as const), reason, endedAt: date }),
  fc.record({ status: fc.constant('absent' as const), passed: fc.constant({ why: 'nothing-touched', root: 'app' } as const) }),
);
const anySite: fc.Arbitrary<Site> = fc.tuple(common, statuses).map(([base, status]) => ({ ...base, ...status }));

test('every site that can be is the same after a trip through its row', () => {
  fc.assert(
    fc.property(anySite, (site) => {
      const row = toRow(site);
      expect(toSite({ ...row, state: JSON.parse(row.state) })).toEqual(site);
    }),
  );
});

test('PostgreSQL gives back what it was given, whatever people wrote', async () => {
  await using store = await openTestStore();
  const head = headOf(sha('a'), { title: 'NUL \0, alone \ud800, 🦀, <!-- x -->', branch: "feat/$(id)'; drop table" });
  const applied = await store.applyToPull(placeOf(1), headSeen(1, head));
  expect(await store.sites.findByPull(placeOf(1).pull)).toEqual(applied?.site);
  expect(applied?.site.head).toEqual(head);
});

test('the list is newest first and its pages neither repeat nor skip', async () => {
  await using store = await openTestStore();
  for (let number = 1; number <= 7; number++) await store.applyToPull(placeOf(number), headSeen(number, headOf(sha('a'))));
  const seen: number[] = [];
  let after: string | undefined;
  do {
    const page = await store.sites.list({ limit: 3, ...(after === undefined ? {} : { after }) });
    seen.push(...page.sites.map((site) => site.pull.number));
    after = page.next ?? undefined;
  } while (after !== undefined);
  expect(seen).toEqual([7, 6, 5, 4, 3, 2, 1]);
  expect(await store.sites.list({ limit: 3, after: 'nonsense' })).toEqual({ sites: [], next: null });
});

test('sites are found by repository name or id, status and pull', async () => {
  await using store = await openTestStore();
  await store.repositories.seen({ ...placeOf(1).pull, id: repositoryId(1), name: 'acme/shop', access: '9' });
  for (const [number, repository] of [
    [1, 1],
    [2, 1],
    [1, 2],
  ] as const) {
    await store.applyToPull(placeOf(number, repository), headSeen(number, headOf(sha('a'))));
  }
  const count = async (filter: object): Promise<number> => (await store.sites.list({ limit: 9, ...filter })).sites.length;
  expect(await count({ repository: 'Acme/Shop' })).toBe(2);
  expect(await count({ repository: '2' })).toBe(1);
  expect(await count({ repository: 'acme/other' })).toBe(0);
  expect(await count({ pull: 1 })).toBe(2);
  expect(await count({ status: 'ready' })).toBe(0);
  expect(await store.sites.counts()).toMatchObject({ queued: 3, ready: 0 });
});

test('what is owed is found: work that nobody holds, words that were not said', async () => {
  await using store = await openTestStore();
  const site = (await store.applyToPull(placeOf(1), headSeen(1, headOf(sha('a')))))?.site;
  if (!site) throw new Error('no site was created');
  expect(await store.sites.unsettled(9, { maxSites: 5, forges: [github.id] })).toEqual({ provision: [site.id], report: [site.id] });
  // On a forge that is not connected nothing can be said now: those whose turn it is are found all the same.
  expect(await store.sites.unsettled(9, { maxSites: 5, forges: [] })).toEqual({ provision: [site.id], report: [] });
  await using _lease = await store.leases.take(`site:${site.id}`);
  await store.reports.save(site.id, { ...(await store.reports.get(site.id)), version: site.version });
  expect(await store.sites.unsettled(9, { maxSites: 5, forges: [github.id] })).toEqual({ provision: [], report: [] });
});

test('history can be added to and not changed', async () => {
  await using store = await openTestStore();
  await store.applyToPull(placeOf(1), headSeen(1, headOf(sha('a'))));
  const client = new pg.Client(store.database.url);
  await client.connect();
  try {
    await expect(client.query("update mayfly.site_history set type = 'x'")).rejects.toThrow('only ever added to');
    await expect(client.query('delete from mayfly.site_history')).rejects.toThrow('only ever added to');
    await expect(client.query('truncate mayfly.site_history')).rejects.toThrow('only ever added to');
  } finally {
    await client.end();
  }
});
