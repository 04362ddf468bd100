import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { expect, test } from 'vitest';
import { toLaunchId } from '../../src/site/identity.ts';
import type { Store } from '../../src/store/store.ts';
import { headOf, headSeen, openAgain, openTestStore, placeOf, sha } from './open.ts';

/** A process that froze right after it took its leases: it renews none, and does not know. */
const FROZEN = { leaseTimes: { lifeMs: 300, renewEveryMs: 60_000 } };

async function takeWhenFree(store: Store, name: string) {
  for (;;) {
    const lease = await store.leases.take(name);
    if (lease) return lease;
    await delay(10);
  }
}

test('one holder at a time, and the next has a greater epoch', async () => {
  await using store = await openTestStore();
  await using other = await openAgain(store.database);
  const first = await store.leases.take('site:1');
  expect(await other.leases.take('site:1')).toBeUndefined();
  expect(await store.leases.take('site:1')).toBeUndefined();
  await first?.[Symbol.asyncDispose]();
  await using second = await other.leases.take('site:1');
  expect(second?.tookOverFrom).toBeNull();
  expect(second?.epoch).toBeGreaterThan(first?.epoch ?? 0);
});

test('of many who try at once, one gets it', async () => {
  await using store = await openTestStore();
  await using other = await openAgain(store.database);
  const taken = await Promise.all(Array.from({ length: 20 }, (_, at) => (at % 2 ? store : other).leases.take('site:1')));
  const mine = taken.filter((lease) => lease !== undefined);
  expect(mine).toHaveLength(1);
  await mine[0]?.[Symbol.asyncDispose]();
});

test('a lease is renewed for as long as it is held', async () => {
  await using store = await openTestStore({ leaseTimes: { lifeMs: 400, renewEveryMs: 100 } });
  await using lease = await store.leases.take('site:1');
  const until = Date.now() + 1_000;
  while (Date.now() < until) {
    await store.leases.check(lease ?? { name: '', epoch: 0 });
    await delay(20);
  }
  expect(lease?.signal.aborted).toBe(false);
});

test('a frozen holder is taken over from: its sessions end, its writes are refused', async () => {
  await using frozen = await openTestStore(FROZEN);
  await using heir = await openAgain(frozen.database);
  const created = await frozen.applyToPull(placeOf(7), headSeen(1, headOf(sha('a'))));
  const site = created?.site ?? (await heir.sites.list({ limit: 1 })).sites[0];
  if (!site) throw new Error('no site was created');
  const held = await frozen.leases.take(`site:${site.id}`);
  if (!held) throw new Error('the lease was not free');
  // What it had open when it froze: a transaction that holds the row.
  const stuck = new pg.Client({ connectionString: frozen.database.url, application_name: frozen.leases.sessionName });
  const ended = new Promise((resolve) => stuck.on('error', resolve));
  await stuck.connect();
  await stuck.query('begin');
  await stuck.query('select * from mayfly.sites where id = $1 for update', [site.id]);
  // And one of its Pulumi's, which bears the epoch.
  const engine = new pg.Client({ connectionString: frozen.database.url, application_name: `${frozen.leases.sessionName}#${held.epoch}` });
  const engineEnded = new Promise((resolve) => engine.on('error', resolve));
  await engine.connect();

  await using taken = await takeWhenFree(heir, `site:${site.id}`);
  expect(taken.tookOverFrom).toBe(held.holder);
  expect(taken.epoch).toBeGreaterThan(held.epoch);
  await Promise.all([ended, engineEnded]);
  const started = { type: 'launchStarted', launch: toLaunchId('L1'), sha: site.head.sha } as const;
  await heir.apply(site.id, started, { held: taken });
  await expect(frozen.leases.check(held)).rejects.toThrow('lease-lost');
  await expect(frozen.apply(site.id, started, { held })).rejects.toThrow('lease-lost');
  const launch = { id: toLaunchId('L2'), site: site.id, sha: site.head.sha, queuedMs: 0 };
  await expect(frozen.launches.start(launch, { held })).rejects.toThrow('lease-lost');
  await heir.launches.start(launch, { held: taken });
  await expect(frozen.launches.note(launch.id, { stages: { fetch: 1 } }, { held })).rejects.toThrow('lease-lost');
  await expect(frozen.launches.finish(launch.id, { outcome: 'failed', reason: null, tail: '' }, { held })).rejects.toThrow('lease-lost');
  await expect(frozen.reports.save(site.id, await heir.reports.get(site.id), { held })).rejects.toThrow('lease-lost');
  expect((await heir.sites.get(site.id)).version).toBe(2);
});

test('a holder that is alive with other leases keeps its sessions', async () => {
  await using store = await openTestStore();
  await using other = await openAgain(store.database);
  await using _kept = await store.leases.take('site:kept');
  await using lost = await store.leases.take('site:lost');
  const client = new pg.Client({ connectionString: store.database.url, application_name: store.leases.sessionName });
  await client.connect();
  await client.query("update mayfly.leases set expires_at = '-infinity' where name = 'site:lost'");
  await using taken = await other.leases.take('site:lost');
  expect(taken?.tookOverFrom).toBe(lost?.holder);
  // Still there: it would have been ended with the rest.
  await client.query('select 1');
  await client.end();
});

test('a database that was set back does not hand out an epoch again', async () => {
  await using store = await openTestStore();
  const first = await store.leases.take('site:1');
  await first?.[Symbol.asyncDispose]();
  const client = new pg.Client(store.database.url);
  await client.connect();
  await client.query('delete from mayfly.leases');
  await client.end();
  await using again = await store.leases.take('site:1');
  expect(again?.epoch).toBeGreaterThan(first?.epoch ?? 0);
});

test('a lost lease aborts its signal', async () => {
  await using store = await openTestStore({ leaseTimes: { lifeMs: 2_000, renewEveryMs: 50 } });
  await using lease = await store.leases.take('site:1');
  const aborted = new Promise((resolve) => lease?.signal.addEventListener('abort', resolve));
  const client = new pg.Client(store.database.url);
  await client.connect();
  await client.query("update mayfly.leases set holder = 'somebody', epoch = epoch + 1");
  await client.end();
  await aborted;
});
