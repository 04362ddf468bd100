import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { expect, test } from 'vitest';
import { openInbox } from '../../src/store/inbox.ts';
import type { Database } from '../../src/store/schema.ts';
import { github, headOf, headSeen, openAgain, openTestStore, placeOf, sha } from './open.ts';

const delivery = { id: 'd-1', forge: github.id, event: { type: 'pullChanged', title: 'a \0 and \ud800' }, digest: 'x' };

test('one hundred puts of a delivery store it once', async () => {
  await using store = await openTestStore();
  const answers = await Promise.all(Array.from({ length: 100 }, () => store.inbox.put(delivery)));
  expect(answers.filter((answer) => answer === 'stored')).toHaveLength(1);
  expect(answers.filter((answer) => answer === 'again')).toHaveLength(99);
  expect((await store.inbox.get('d-1'))?.event).toEqual(delivery.event);
});

const burst = (length: number): readonly (typeof delivery)[] => Array.from({ length }, (_, index) => ({ ...delivery, id: `d-${index}` }));

test('one that PostgreSQL does not take keeps none of its burst out', async () => {
  await using store = await openTestStore();
  const broken = { ...delivery, id: 'd-\0' };
  const ends = await Promise.allSettled([...burst(8), broken, ...burst(8)].map(store.inbox.put));
  expect(ends.filter(({ status }) => status === 'rejected')).toEqual([ends[8]]);
});

/** Of as many as are under way at once, so that the next ones go together. */
const first = (of: string): readonly (typeof delivery)[] => burst(4).map((one) => ({ ...one, id: `${of}-${one.id}` }));

test('two processes that are given the same burst, each in its own order, do not lock each other up', async () => {
  await using store = await openTestStore();
  await using other = await openAgain(store.database);
  const all = burst(100);
  const between = new pg.Client(store.database.url);
  await between.connect();
  const waiting = async (): Promise<unknown> => {
    const sql = `select count(*)::int as it from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
    return (await between.query<{ it: number }>(sql)).rows[0]?.it;
  };
  // Each is in the middle of its burst: what comes first in either order is taken already.
  await between.query(`begin; insert into mayfly.deliveries (id, forge, event, digest) values ('d-50', 'github', '{}', '')`);
  const puts = [...first('one').map(store.inbox.put), ...all.map(store.inbox.put)];
  puts.push(...first('other').map(other.inbox.put), ...all.toReversed().map(other.inbox.put));
  await expect.poll(waiting, { timeout: 20_000 }).toBe(2);
  await between.query('rollback');
  await between.end();
  const answers = await Promise.all(puts);
  expect(answers.filter((answer) => answer === 'stored')).toHaveLength(108);
  expect(answers.filter((answer) => answer === 'again')).toHaveLength(100);
});

test('a burst whose connection is lost in the middle of it is stored', async () => {
  await using store = await openTestStore();
  const between = new pg.Client(store.database.url);
  await between.connect();
  const blocked = `from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
  const ended: unknown[] = [];
  await between.query(`begin; insert into mayfly.deliveries (id, forge, event, digest) values ('d-50', 'github', '{}', '')`);
  const puts = [...first('one'), ...burst(100)].map(store.inbox.put);
  const endOne = async (): Promise<unknown> => {
    ended.push(...(await between.query(`select pg_terminate_backend(pid) ${blocked}`)).rows);
    return ended.length;
  };
  const settled = Promise.allSettled(puts);
  await expect.poll(endOne, { timeout: 20_000 }).toBe(1);
  await between.query('rollback');
  await between.end();
  expect(await settled).toEqual(puts.map(() => ({ status: 'fulfilled', value: 'stored' })));
});

test('a burst is not asked for one by one while the database is away', async () => {
  let asked = 0;
  await using server = createServer((socket) => {
    asked++;
    socket.destroy();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const pool = new pg.Pool({ host: '127.0.0.1', port: (server.address() as AddressInfo).port });
  const inbox = openInbox({ db: new Kysely<Database>({ dialect: new PostgresDialect({ pool }) }), pool });
  const ends = await Promise.allSettled(burst(1_000).map(inbox.put));
  expect(ends.every(({ status }) => status === 'rejected')).toBe(true);
  // Four at once alone, the rest by the hundred, each twice.
  expect(asked).toBe(28);
  await pool.end();
});

test('the same id with another body is a conflict, and the first stays', async () => {
  await using store = await openTestStore();
  await store.inbox.put(delivery);
  expect(await store.inbox.put({ ...delivery, event: {}, digest: 'y' })).toBe('conflict');
  expect((await store.inbox.get('d-1'))?.event).toEqual(delivery.event);
});

test('what was stored and never handled is found, and is processed again when it comes again', async () => {
  await using store = await openTestStore();
  await store.inbox.put(delivery);
  expect(await store.inbox.put(delivery)).toBe('again');
  expect(await store.inbox.attempted('d-1')).toBe(1);
  expect(await store.inbox.pending(0, 10)).toEqual(['d-1']);
  expect(await store.inbox.pending(60_000, 10)).toEqual([]);
  await store.inbox.handled('d-1');
  expect(await store.inbox.put(delivery)).toBe('handled');
  expect(await store.inbox.pending(0, 10)).toEqual([]);
});

test('a dead delivery is kept with its reason and not found again', async () => {
  await using store = await openTestStore();
  await store.inbox.put(delivery);
  await store.inbox.dead('d-1', 'TypeError\0');
  expect(await store.inbox.pending(0, 10)).toEqual([]);
  expect(await store.inbox.put(delivery)).toBe('handled');
});

test('a delivery is handled in the transaction that changes the site, or not at all', async () => {
  await using store = await openTestStore();
  await store.inbox.put(delivery);
  const held = { name: 'site:1', holder: 'nobody', epoch: 1, signal: new AbortController().signal };
  const news = headSeen(1, headOf(sha('a')));
  await expect(store.applyToPull(placeOf(1), news, { delivery: 'd-1', held })).rejects.toThrow('lease-lost');
  expect((await store.inbox.get('d-1'))?.handledAt).toBeNull();
  await store.applyToPull(placeOf(1), news, { delivery: 'd-1' });
  expect((await store.inbox.get('d-1'))?.handledAt).toBeInstanceOf(Date);
});

test('of a burst each delivery is stored as it came, and of two with one id the first', async () => {
  await using store = await openTestStore();
  const burst = Array.from({ length: 50 }, (_, n) => ({ ...delivery, id: `b-${n < 45 ? n : n - 5}`, event: { n }, digest: String(n) }));
  const answers = await Promise.all(burst.map((one) => store.inbox.put(one)));
  expect(answers).toEqual(burst.map((_, n) => (n < 45 ? 'stored' : 'conflict')));
  for (let n = 0; n < 45; n++) expect((await store.inbox.get(`b-${n}`))?.event).toEqual({ n });
});
