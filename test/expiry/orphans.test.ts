import { ulid } from 'ulid';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { GRACE_MS, type Grace, openGrace } from '../../src/expiry/grace.ts';
import { planOrphans } from '../../src/expiry/orphans.ts';
import { carryOut, type Finding } from '../../src/expiry/plan.ts';
import { type LaunchId, type SiteId, toLaunchId, toSiteId } from '../../src/site/identity.ts';
import type { Found, Stock } from '../../src/site/ports.ts';
import type { Store } from '../../src/store/store.ts';
import { headOf, headSeen, openAgain, openTestStore, placeOf, sha, silent } from '../store/open.ts';

/** Things in a list. `before` happens between what a survey saw and what it tells. */
function stockOf(things: Found[], before: () => Promise<void> = async () => undefined) {
  const destroyed: SiteId[] = [];
  const stock: Stock = {
    async survey() {
      const seen = [...things];
      await before();
      return seen;
    },
    async destroy(_, site) {
      destroyed.push(site);
      for (const thing of things.filter((one) => one.site === site)) things.splice(things.indexOf(thing), 1);
    },
    async discard({ name }) {
      things.splice(
        things.findIndex((one) => one.name === name),
        1,
      );
    },
  };
  return { stock, destroyed, things };
}

const brief = (plan: readonly Finding[]) => plan.map(({ kind, name, why, deed }) => [`${kind} ${name}`, why, deed.word]);

describe('orphans', () => {
  let store: Awaited<ReturnType<typeof openTestStore>>;
  let made = 0;
  beforeAll(async () => {
    store = await openTestStore();
  });
  afterAll(() => store[Symbol.asyncDispose]());
  const plan = (stock: Stock, instead: Finding['deed'] | null = null, grace: Grace | null = null) =>
    planOrphans(store, { stocks: { target: stock }, where: () => 'here', instead, grace, log: silent });
  const standing = async (): Promise<SiteId> => {
    const applied = await store.applyToPull(placeOf(++made), headSeen(made, headOf(sha('a'))));
    return applied?.site.id ?? toSiteId('none');
  };
  const end = async (site: SiteId, on: Store = store): Promise<void> => {
    await on.apply(site, { type: 'stopped', by: 'dev', order: null });
    await on.apply(site, { type: 'removalFinished' });
  };

  test('of a site that stands nothing is found; of one that ended or never was, everything, and it goes under its lease', async () => {
    const [stands, ended, never] = [await standing(), await standing(), toSiteId(ulid())];
    await end(ended);
    const { stock, destroyed, things } = stockOf([
      { kind: 'stack', name: 'one', site: stands },
      { kind: 'stack', name: 'two', site: ended },
      { kind: 'database', name: 'three', site: ended },
      { kind: 'process', name: 'four', site: never },
      { kind: 'socket', name: 'five', site: 'nobody' },
      { kind: 'stack', name: 'six', site: null },
    ]);
    const found = await plan(stock);
    expect(brief(found)).toEqual([
      ['stack two', `site ${ended} has ended`, 'removed'],
      ['database three', `site ${ended} has ended`, 'removed'],
      ['process four', `no site ${never} is known`, 'removed'],
      ['socket five', 'no site has it', 'removed'],
      ['stack six', 'nobody can tell whose it is', 'left alone'],
    ]);
    // Finding alone changes nothing.
    expect([things.length, destroyed]).toEqual([6, []]);
    const done = await carryOut(found, { log: silent });
    expect(done.map(({ outcome }) => outcome)).toEqual(['done', 'done', 'done', 'done', 'left']);
    expect(destroyed).toEqual([ended, never]);
    expect(things.map(({ name }) => name)).toEqual(['one', 'six']);
  });

  test('what no row knows is left for an hour when nobody asked, and begins anew when it was known in between', async () => {
    let now = 0;
    const grace = openGrace(() => now);
    const [stands, ended, never] = [await standing(), await standing(), toSiteId(ulid())];
    await end(ended);
    const { stock, destroyed, things } = stockOf([
      { kind: 'service', name: 'one', site: stands },
      { kind: 'service', name: 'two', site: ended },
      { kind: 'service', name: 'three', site: never },
    ]);
    const words = async () => (await plan(stock, null, grace)).map(({ name, deed }) => `${name} ${deed.word}`);
    expect(await words()).toEqual(['two removed', 'three left for now']);
    now = GRACE_MS - 1;
    expect(await words()).toEqual(['two removed', 'three left for now']);
    const [unknown] = things.splice(2, 1);
    await words();
    things.push(...(unknown ? [unknown] : []));
    now = GRACE_MS;
    expect(await words()).toEqual(['two removed', 'three left for now']);
    now = 2 * GRACE_MS;
    await carryOut(await plan(stock, null, grace), { log: silent });
    expect(destroyed).toEqual([ended, never]);
  });

  test('where no row knows most of what is there, it stays until an operator asks: the rows may be an older copy’s', async () => {
    let now = 0;
    const grace = openGrace(() => now);
    const strangers = Array.from({ length: 5 }, () => toSiteId(ulid()));
    const { stock, destroyed } = stockOf(
      [await standing(), ...strangers].map((site, at): Found => ({ kind: 'service', name: String(at), site })),
    );
    await plan(stock, null, grace);
    now = 100 * GRACE_MS;
    const left = await carryOut(await plan(stock, null, grace), { log: silent });
    expect(left.map(({ finding, outcome }) => [finding.deed.word, outcome])).toEqual(strangers.map(() => ['left for now', 'left']));
    expect(destroyed).toEqual([]);
    await carryOut(await plan(stock), { log: silent });
    expect(destroyed).toEqual(strangers);
  });

  const ORIGIN = 'https://site.a.run.app';
  const launched = async (site: SiteId): Promise<LaunchId> => {
    const launch = toLaunchId(ulid());
    await store.apply(site, { type: 'launchStarted', launch, sha: sha('a') });
    const live = { url: 'https://x', served: { kind: 'remote', origin: ORIGIN, region: 'europe-west1' }, idleMs: 1 } as const;
    await store.apply(site, { type: 'launchSucceeded', launch, sha: sha('a'), live });
    return launch;
  };
  const serving = (site: SiteId, launch: LaunchId, origin = ORIGIN): Found => ({
    ...{ kind: 'service', name: origin, site },
    serving: { origin, launch: launch.toLowerCase() },
  });

  test('a site whose visitors get another launch than its row says is launched again, and keeps what it has', async () => {
    const [well, astray] = [await standing(), await standing()];
    const other = toLaunchId(ulid());
    const launch = await launched(astray);
    const { stock, destroyed } = stockOf([
      serving(well, await launched(well)),
      serving(astray, other),
      // Where it was before it moved.
      serving(astray, other, 'https://before.a.run.app'),
    ]);
    const found = await plan(stock);
    expect(brief(found)).toEqual([[`service ${ORIGIN}`, `at launch ${other}, and its site at ${launch}`, 'launched again']]);
    expect((await carryOut(found, { log: silent })).map(({ outcome }) => outcome)).toEqual(['done']);
    expect((await carryOut(found, { log: silent })).map(({ outcome }) => outcome)).toEqual(['not needed']);
    expect(destroyed).toEqual([]);
    expect(await Promise.all([well, astray].map(async (site) => (await store.sites.find(site))?.status))).toEqual(['ready', 'queued']);
    // Its next launch goes on.
    expect(await plan(stock)).toEqual([]);
  });

  test('a site that was launched while we looked is where it should be', async () => {
    const site = await standing();
    const before = await launched(site);
    const things = [serving(site, before)];
    const { stock } = stockOf(things, async () => {
      if ((await store.sites.find(site))?.live?.revision !== before) return;
      await store.apply(site, { type: 'rebuildAsked', by: 'dev', order: null });
      things.splice(0, 1, serving(site, await launched(site)));
    });
    expect(await plan(stock)).toEqual([]);
  });

  test('whatever somebody works on is left to them', async () => {
    const ended = await standing();
    await end(ended);
    const { stock, destroyed } = stockOf([{ kind: 'stack', name: 'one', site: ended }]);
    const found = await plan(stock);
    await using other = await openAgain(store.database);
    await using _held = await other.leases.take(`site:${ended}`);
    expect((await carryOut(found, { log: silent })).map(({ outcome }) => outcome)).toEqual(['not needed']);
    expect(destroyed).toEqual([]);
  });

  test('a site that was brought back before the deed keeps what it has', async () => {
    const ended = await standing();
    await end(ended);
    const { stock, destroyed } = stockOf([{ kind: 'stack', name: 'one', site: ended }]);
    const found = await plan(stock);
    await store.apply(ended, { type: 'deployAsked', by: 'dev', only: 'any', order: null });
    await carryOut(found, { log: silent });
    expect(destroyed).toEqual([]);
  });

  test('a site that ended, and whose things went, while we looked has left nothing behind', async () => {
    const site = await standing();
    const things: Found[] = [{ kind: 'stack', name: 'one', site }];
    const { stock } = stockOf(things, async () => {
      if (things.length === 0) return;
      things.length = 0;
      await end(site);
    });
    expect(await plan(stock)).toEqual([]);
  });

  test('where another process has them, it is told whose they are to remove', async () => {
    const { stock } = stockOf([
      { kind: 'socket', name: 'one', site: 'nobody' },
      { kind: 'stack', name: 'two', site: null },
    ]);
    const found = await plan(stock, { word: 'left to the other', run: null });
    expect(brief(found)).toEqual([
      ['socket one', 'no site has it', 'left to the other'],
      ['stack two', 'nobody can tell whose it is', 'left alone'],
    ]);
  });

  test('a place that cannot be looked at does not keep the others from being looked at', async () => {
    const { stock } = stockOf([{ kind: 'socket', name: 'one', site: 'nobody' }]);
    const closed: Stock = { ...stock, survey: () => Promise.reject(new Error('away')) };
    const found = await planOrphans(store, {
      stocks: { closed, open: stock },
      where: () => 'here',
      instead: null,
      grace: null,
      log: silent,
    });
    expect(found.map(({ kind, deed }) => [kind, deed.word])).toEqual([
      ['place', 'not compared'],
      ['socket', 'removed'],
    ]);
  });

  test('one that cannot be removed does not keep the others from being removed', async () => {
    const [first, second] = [toSiteId(ulid()), toSiteId(ulid())];
    const { stock, destroyed } = stockOf([
      { kind: 'stack', name: 'one', site: first },
      { kind: 'stack', name: 'two', site: second },
    ]);
    const broken: Stock = {
      ...stock,
      destroy: (held, site, watch) => (site === first ? Promise.reject(new Error('stuck')) : stock.destroy(held, site, watch)),
    };
    const done = await carryOut(await plan(broken), { log: silent });
    expect(done.map(({ outcome }) => outcome)).toEqual(['failed', 'done']);
    expect(destroyed).toEqual([second]);
  });
});
