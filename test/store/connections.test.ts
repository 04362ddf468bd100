import { expect, test } from 'vitest';
import { createSealer } from '../../src/app/setup/sealing.ts';
import { toForgeId } from '../../src/site/identity.ts';
import { until } from '../world.ts';
import { openAgain, openTestStore } from './open.ts';

const forge = toForgeId('gitlab');
const sealed = Buffer.from([0, 1, 255]);

test('a connection is kept byte for byte, replaced, and removed with its hooks; other processes hear of each', async () => {
  await using store = await openTestStore();
  await using other = await openAgain(store.database);
  let heard = 0;
  using _ = other.onConnections(() => (heard += 1));
  // LISTEN may still be on its way: the first that is heard shows that it is not.
  await until('the other to listen', async () => {
    await store.connections.save({ forge, sealed: Buffer.from('first') });
    return heard > 0;
  });
  await store.connections.save({ forge, sealed });
  expect(await store.connections.all()).toEqual([{ forge, sealed }]);
  await store.hooks.made(forge, { repository: '41', name: 'acme/shop', hook: '7' });
  await store.hooks.made(forge, { repository: '41', name: 'acme/store', hook: '8' });
  await store.hooks.made(forge, { repository: '42', name: 'acme/blog', hook: '9' });
  await store.hooks.removed(forge, '42');
  expect(await store.hooks.of(forge)).toEqual([{ repository: '41', name: 'acme/store', hook: '8' }]);
  expect(await store.hooks.sharing(forge)).toEqual([]);
  const before = heard;
  await store.connections.remove(forge);
  await until('the removal to be heard', () => heard > before);
  expect([await store.connections.all(), await store.hooks.of(forge)]).toEqual([[], []]);
});

test('a ticket is taken once, by one of many, while it holds, and only as what it is', async () => {
  await using store = await openTestStore();
  await store.tickets.put({ kind: 'code', digest: 'a', about: 'x', lifeMs: 60_000 });
  await store.tickets.put({ kind: 'code', digest: 'old', about: '', lifeMs: 0 });
  expect(await store.tickets.digests('code')).toEqual(['a']);
  expect(await store.tickets.take('state', 'a')).toBeUndefined();
  expect(await store.tickets.take('code', 'old')).toBeUndefined();
  const taken = await Promise.all(Array.from({ length: 8 }, () => store.tickets.take('code', 'a')));
  expect(taken.filter((about) => about === 'x')).toHaveLength(1);
  await store.tickets.put({ kind: 'code', digest: 'b', about: '', lifeMs: 60_000 });
  await store.tickets.drop('code');
  expect(await store.tickets.digests('code')).toEqual([]);
});

test('what is sealed opens with its key and its name alone, and never looks the same twice', () => {
  const sealer = createSealer(Buffer.alloc(32, 1));
  const text = 'glpat-é🦀';
  const one = sealer.seal(text, 'connection gitlab');
  expect(sealer.open(one, 'connection gitlab')).toBe(text);
  expect(sealer.seal(text, 'connection gitlab').equals(one)).toBe(false);
  expect(() => sealer.open(one, 'connection github')).toThrow();
  expect(() => createSealer(Buffer.alloc(32, 2)).open(one, 'connection gitlab')).toThrow();
  const derived = (key: number, root: string, use: string): string => createSealer(Buffer.alloc(32, key)).derive(root, use).toString('hex');
  expect(derived(1, text, 'a use')).toBe(sealer.derive(text, 'a use').toString('hex'));
  const all = [derived(1, text, 'a use'), derived(2, text, 'a use'), derived(1, 'another', 'a use'), derived(1, text, 'another use')];
  expect(new Set(all).size).toBe(4);
  for (const at of [0, 12, 28, one.length - 1]) {
    const changed = Buffer.from(one);
    changed[at] = (changed[at] ?? 0) ^ 1;
    expect(() => sealer.open(changed, 'connection gitlab')).toThrow();
  }
  expect(() => sealer.open(one.subarray(0, 20), 'connection gitlab')).toThrow();
});
