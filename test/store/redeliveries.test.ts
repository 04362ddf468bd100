import pg from 'pg';
import { expect, test } from 'vitest';
import { github, openAgain, openTestStore } from './open.ts';

test('one of many is who may ask for a delivery, once', async () => {
  await using store = await openTestStore();
  const claims = await Promise.all(Array.from({ length: 8 }, () => store.redeliveries.claim(github.id, 'd-1')));
  expect(claims.filter(Boolean)).toHaveLength(1);
  expect(await store.redeliveries.claim(github.id, 'd-1')).toBe(false);
  await store.redeliveries.release(github.id, 'd-1');
  expect(await store.redeliveries.claim(github.id, 'd-1')).toBe(true);
});

test('missed is what neither came nor was asked for', async () => {
  await using store = await openTestStore();
  await store.inbox.put({ id: 'came', forge: github.id, event: {}, digest: 'x' });
  await store.redeliveries.claim(github.id, 'asked');
  expect(await store.redeliveries.missed(github.id, ['came', 'asked', 'lost', 'lost too'])).toEqual(new Set(['lost', 'lost too']));
  expect(await store.redeliveries.missed(github.id, [])).toEqual(new Set());
});

test('how far was looked is kept by forge, and claims do not pile up', async () => {
  await using store = await openTestStore();
  expect(await store.redeliveries.until(github.id)).toBeNull();
  await store.repositories.ensureForge(github);
  expect(await store.redeliveries.until(github.id)).toBeNull();
  const until = new Date('2026-11-20T10:00:00.123Z');
  await store.redeliveries.lookedUntil(github.id, until);
  await store.repositories.ensureForge(github);
  expect(await store.redeliveries.until(github.id)).toEqual(until);
  await store.redeliveries.claim(github.id, 'old');
  await store.redeliveries.claim(github.id, 'new');
  await aged(store.database.url, 'old');
  expect(await store.redeliveries.sweep()).toBe(1);
  expect(await store.redeliveries.claim(github.id, 'new')).toBe(false);
});

async function aged(url: string, delivery: string): Promise<void> {
  const client = new pg.Client(url);
  await client.connect();
  await client.query(`update mayfly.redeliveries set asked_at = now() - interval '8 days' where delivery = $1`, [delivery]);
  await client.end();
}

test('whoever only looks can change nothing, and neither migrates nor reads another version’s', async () => {
  await using store = await openTestStore();
  await store.keepsakes.ensure('instance', () => 'ours');
  await using looking = await openAgain(store.database, { beside: 'to look' });
  expect(await looking.keepsakes.find('instance')).toBe('ours');
  expect(await looking.keepsakes.find('other')).toBeUndefined();
  await expect(looking.keepsakes.ensure('other', () => 'x')).rejects.toThrow('read-only transaction');
  await expect(looking.redeliveries.claim(github.id, 'd-1')).rejects.toThrow('read-only transaction');
  const client = new pg.Client(store.database.url);
  await client.connect();
  await client.query(`delete from mayfly.migrations where name = '0003-redeliveries'`);
  await client.end();
  await expect(openAgain(store.database, { beside: 'to look' })).rejects.toThrow('written by an older Mayfly (it lacks 0003-redeliveries)');
});
