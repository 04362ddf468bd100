import { expect, test } from 'vitest';
import { github, openTestStore, repositoryId } from './open.ts';

const shop = { forge: github.id, id: repositoryId(1), name: 'acme/shop', access: '42' };
const cart = { forge: github.id, id: repositoryId(2), name: 'acme/cart', access: '42' };
const elsewhere = { forge: github.id, id: repositoryId(3), name: 'other/thing', access: '43' };

test('a forge is known by its id; its address may change', async () => {
  await using store = await openTestStore();
  await store.repositories.ensureForge(github);
  await store.repositories.ensureForge({ ...github, address: 'https://github.acme.dev' });
  expect(await store.repositories.forges()).toEqual([{ ...github, address: 'https://github.acme.dev' }]);
});

test('a repository is known by its id, whatever it is called and through whichever installation', async () => {
  await using store = await openTestStore();
  await store.repositories.seen(shop);
  await store.repositories.seen({ ...shop, name: 'acme/store', access: '44' });
  expect(await store.repositories.find(github.id, shop.id)).toEqual({ ...shop, name: 'acme/store', access: '44' });
  expect(await store.repositories.all()).toHaveLength(1);
});

test('the repositories of one installation, and forgetting one', async () => {
  await using store = await openTestStore();
  for (const repository of [shop, cart, elsewhere]) await store.repositories.seen(repository);
  expect(await store.repositories.ofAccess(github.id, '42')).toEqual([shop, cart]);
  await store.repositories.forget(github.id, shop.id);
  await store.repositories.forget(github.id, shop.id);
  expect(await store.repositories.find(github.id, shop.id)).toBeUndefined();
  expect(await store.repositories.all()).toEqual([cart, elsewhere]);
});

test('an id beyond what a number holds is kept exactly', async () => {
  await using store = await openTestStore();
  const huge = { ...shop, id: repositoryId('9007199254740993') };
  await store.repositories.seen(huge);
  expect(await store.repositories.find(github.id, huge.id)).toEqual(huge);
});

test('observations only ever grow', async () => {
  await using store = await openTestStore();
  const numbers = await Promise.all(Array.from({ length: 20 }, () => store.repositories.nextObservation()));
  expect(new Set(numbers).size).toBe(20);
  expect(await store.repositories.nextObservation()).toBeGreaterThan(Math.max(...numbers));
});
