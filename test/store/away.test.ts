import { ulid } from 'ulid';
import { expect, test } from 'vitest';
import { openStore } from '../../src/store/db.ts';
import { createCluster } from '../cluster.ts';
import { headOf, headSeen, placeOf, sha, silent } from './open.ts';

test('the database goes away and comes back: statements fail and then work, listeners look again, a lease given back meanwhile is free', async () => {
  await using cluster = await createCluster();
  await using store = await openStore({ url: cluster.url, applicationName: 'mayfly', log: silent, newId: ulid });
  const missed = Promise.withResolvers<void>();
  const told = Promise.withResolvers<void>();
  using _listening = store.onChange((change) => (change === 'resync' ? missed : told).resolve());
  const given = await store.leases.take('site:given-back');
  await using kept = await store.leases.take('site:kept');

  await cluster.stop();
  expect(await store.isReachable(1_000)).toBe(false);
  await expect(store.now()).rejects.toThrow();
  await given?.[Symbol.asyncDispose]();

  await cluster.start();
  await missed.promise;
  await using again = await store.leases.take('site:given-back');
  expect(again?.tookOverFrom).toBeNull();
  expect(again?.epoch).toBeGreaterThan(given?.epoch ?? 0);
  await store.leases.check(kept ?? { name: '', epoch: 0 });
  await store.applyToPull(placeOf(7), headSeen(1, headOf(sha('a'))));
  await told.promise;
});
