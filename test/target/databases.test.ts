import { join } from 'node:path';
import pg from 'pg';
import { pino } from 'pino';
import { ulid } from 'ulid';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { isDiskFull } from '../../src/provision/storage/disk.ts';
import { alone } from '../../src/provision/targets/database-turns.ts';
import { type Admin, dropDatabase } from '../../src/provision/targets/databases.ts';
import { toSiteId } from '../../src/site/identity.ts';
import { openEmbeddedPostgres } from '../../src/store/embedded.ts';
import { mountSmallDisk } from '../small-disk.ts';
import { type DatabaseWorld, openDatabaseWorld } from './local.ts';

let w: DatabaseWorld;
beforeAll(async () => {
  w = await openDatabaseWorld();
});
afterAll(() => w[Symbol.asyncDispose]());

const site = () => toSiteId(ulid());
const never = new AbortController().signal;

/** As the app signs in, though on the port that the server has outside. */
async function asApp<T>(url: string, deed: (client: pg.Client) => Promise<T>): Promise<T> {
  const address = new URL(url);
  const { hostname, port } = new URL(inject('postgresUrl'));
  address.host = `${hostname}:${port}`;
  const client = new pg.Client(address.href);
  await client.connect();
  try {
    return await deed(client);
  } finally {
    await client.end();
  }
}

/** How many sessions of that name are at work. */
async function sessions(name: string): Promise<unknown> {
  await using admin = await openAdmin();
  const { rows } = await admin.db.query(
    `select count(*)::int as n from pg_stat_activity where application_name = $1 and state = 'active'`,
    [name],
  );
  return rows[0]?.n;
}

test('two pulls that open the same seed at once: it is run once, and each has its own copy', async () => {
  const seed = await w.seed(`create table visits (n int); insert into visits values (1); create view seen as select * from visits`);
  const [one, two] = await Promise.all([w.databases.ensure(site(), seed, never), w.databases.ensure(site(), seed, never)]);
  await asApp(one.url, (client) => client.query('insert into visits values (2)'));
  expect((await asApp(two.url, (client) => client.query('select n from seen'))).rows).toEqual([{ n: 1 }]);
  expect(await w.templates()).toHaveLength(1);
  // Owned by the site: an app that migrates its own tables may.
  await asApp(one.url, (client) => client.query('alter table visits add column at timestamptz; drop view seen'));
});

test('a site reaches no other database, and can make or become nothing on the server', async () => {
  const mine = await w.databases.ensure(site(), null, never);
  const other = await w.databases.ensure(site(), null, never);
  const elsewhere = (database: string) => asApp(mine.url.replace(/[^/]+$/, database), (client) => client.query('select 1'));
  await expect(elsewhere(other.name)).rejects.toThrow('permission denied for database');
  await expect(elsewhere('postgres')).rejects.toThrow('permission denied for database');
  for (const sql of [
    `copy (select 1) to program 'id'`,
    'create role r',
    'create database d',
    `select pg_read_file('/etc/passwd')`,
    `set role ${other.name}`,
  ]) {
    await expect(asApp(mine.url, (client) => client.query(sql))).rejects.toThrow(/permission denied/);
  }
});

test('a hostile seed cannot leave its own database', async () => {
  const hostile = await w.seed(`reset role; reset session authorization; copy (select 1) to program 'id'`);
  await expect(w.databases.ensure(site(), hostile, never)).rejects.toMatchObject({ code: 'seed-failed' });
  expect((await w.databases.list()).filter(({ name }) => name.startsWith('mft_'))).toEqual([]);
});

const BEGIN = 'create table visits (n int);\n';
test.each([
  ['a line', `${BEGIN}select 1;\nnonsense;`, 'syntax error at or near "nonsense" (line 3)'],
  ['a byte order mark', `\uFEFF${BEGIN}nonsense;`, 'syntax error at or near "nonsense" (line 2)'],
  ['characters of more than one byte', `${BEGIN}select 'žluťoučký 🦀🦀🦀';\n\nselect nothing`, 'column "nothing" does not exist (line 4)'],
  // More than is sent at a time.
  [
    'a million characters before',
    `${BEGIN}select '${'é\n'.repeat(500_000)}';\nnonsense`,
    'syntax error at or near "nonsense" (line 500003)',
  ],
  ['what is not UTF-8', Buffer.from(`${BEGIN}select 'caf\xe9'`, 'latin1'), 'invalid byte sequence for encoding "UTF8": 0xe9 0x27'],
  ['a zero', `${BEGIN}\0select 1`, 'invalid message format'],
  ['what would be read from us', `${BEGIN}copy visits from stdin;`, 'COPY from stdin failed: No source stream defined'],
])('a seed with a mistake is told with its line: %s', async (_, sql, cause) => {
  const seed = await w.seed(sql);
  await expect(w.databases.ensure(site(), seed, never)).rejects.toMatchObject({ code: 'seed-failed', details: { cause } });
});

test('a seed is run whole, an empty one too, whatever it selects', async () => {
  const sql = `\uFEFF${BEGIN}${'insert into visits values (1);\n'.repeat(20_000)}select * from visits`;
  const { url } = await w.databases.ensure(site(), await w.seed(sql), never);
  expect((await asApp(url, (client) => client.query('select count(*)::int as n from visits'))).rows).toEqual([{ n: 20_000 }]);
  await w.databases.ensure(site(), await w.seed(''), never);
});

test('a seed that selects without end costs us no memory', async () => {
  const before = process.memoryUsage().rss;
  let most = 0;
  const looking = setInterval(() => {
    most = Math.max(most, process.memoryUsage().rss - before);
  }, 20);
  try {
    await w.databases.ensure(site(), await w.seed(`select repeat('x', 100000) from generate_series(1, 6000)`), never);
  } finally {
    clearInterval(looking);
  }
  expect(most / 1024 / 1024).toBeLessThan(300);
});

test('a seed is given up in the middle', async () => {
  const abort = new AbortController();
  const mine = site();
  const made = w.databases.ensure(mine, await w.seed('select pg_sleep(100)'), abort.signal).catch((error: unknown) => error);
  await expect.poll(() => sessions('mayfly-seed'), { timeout: 20_000 }).toBe(1);
  abort.abort(new Error('overtaken'));
  expect(await made).toMatchObject({ message: 'overtaken' });
});

test('a database that is found again keeps its data and its password; once dropped, its role is gone too', async () => {
  const mine = site();
  const first = await w.databases.ensure(mine, null, never);
  await asApp(first.url, (client) => client.query('create table kept (n int)'));
  const again = await w.databases.ensure(mine, null, never);
  expect(again).toEqual(first);
  await asApp(again.url, (client) => client.query('select * from kept'));
  await w.databases.drop(first.name);
  expect((await w.databases.list()).filter((database) => database.site === mine)).toEqual([]);
});

test('one that is dropped from two sides at once is gone for both', async () => {
  const { name } = await w.databases.ensure(site(), null, never);
  await Promise.all([w.databases.drop(name), w.databases.drop(name), w.databases.drop(name)]);
  expect(await w.databases.exists(name)).toBe(false);
});

test('templates beyond the number, or the size together, that is kept are dropped, the least recently used first', async () => {
  const sql = (n: number) => `create table seeded as select ${n} as n`;
  for (const kept of [
    { count: 2, bytes: Number.MAX_SAFE_INTEGER },
    // An empty database has 7 MB: two fit, three do not.
    { count: 20, bytes: 20 * 1024 * 1024 },
  ]) {
    await using few = await openDatabaseWorld({ kept });
    const [one, two, three] = [await few.seed(sql(1)), await few.seed(sql(2)), await few.seed(sql(3))];
    for (const seed of [one, two, one, three]) await few.databases.ensure(site(), seed, never);
    const left = (await few.templates()).map((name) => name.split('_').at(-1)).sort();
    expect(left).toEqual([one, three].map(({ sha256 }) => sha256.slice(0, 32)).sort());
  }
});

/** A role of the server's that is not its superuser. */
async function openRole(rights: string): Promise<AsyncDisposable & { readonly url: string }> {
  const client = new pg.Client(inject('postgresUrl'));
  await client.connect();
  const name = `admin_${ulid().toLowerCase()}`;
  await client.query(`create role ${name} login ${rights} password 'p'`);
  // Tests before this one closed the server's own database to everybody, as Mayfly does.
  await client.query(`grant connect on database postgres to ${name}`);
  const url = new URL(inject('postgresUrl'));
  url.username = name;
  url.password = 'p';
  return {
    url: url.href,
    async [Symbol.asyncDispose]() {
      await client.query(`reassign owned by ${name} to current_user; drop owned by ${name}; drop role ${name}`);
      await client.end();
    },
  };
}

test('an administrator that is no superuser makes, fills, finds and drops databases', async () => {
  await using role = await openRole('createdb createrole');
  await using modest = await openDatabaseWorld({ as: role.url });
  const seed = await modest.seed('create table visits (n int); insert into visits values (1)');
  const mine = site();
  const { url, name } = await modest.databases.ensure(mine, seed, never);
  await asApp(url, (client) => client.query('alter table visits add column at int'));
  expect((await asApp(url, (client) => client.query('select n from visits'))).rows).toEqual([{ n: 1 }]);
  expect(await modest.databases.ensure(mine, seed, never)).toEqual({ url, name });
  await modest.databases.drop(name);
  expect(await modest.databases.list()).toEqual([]);
});

test('one that may not make databases stops the start, and the setting is named', async () => {
  await using role = await openRole('');
  await expect(openDatabaseWorld({ as: role.url })).rejects.toThrow(/MAYFLY_PREVIEW_DATABASE_URL may not .* CREATEDB CREATEROLE/);
});

test('a seed or a copy that the disk has no room for says so, and leaves room for the next one', async () => {
  await using disk = await mountSmallDisk(512);
  const log = pino({ level: 'silent' });
  await using server = await openEmbeddedPostgres({ folder: join(disk.path, 'postgres'), name: 'small', log, settings: { fsync: 'off' } });
  await using small = await openDatabaseWorld({ as: server.url('postgres') });
  const large = await small.seed(`create table large as select repeat(md5(n::text), 50) from generate_series(1, 1000000) n`);
  await disk.leave(48);
  await expect(small.databases.ensure(site(), large, never)).rejects.toMatchObject({ code: 'disk-full' });
  const seed = await small.seed('create table visits (n int)');
  await small.databases.ensure(site(), seed, never);
  await disk.leave(1);
  await expect(small.databases.ensure(site(), seed, never)).rejects.toSatisfy(isDiskFull);
});

/** The server as who has turns on it sees it. */
async function openAdmin(): Promise<Admin & AsyncDisposable> {
  const adminUrl = inject('postgresUrl');
  const db = new pg.Client(adminUrl);
  await db.connect();
  const rights = { isSuperuser: true, limitsFiles: true };
  return { db, adminUrl, tag: '', rights, password: () => '', [Symbol.asyncDispose]: () => db.end() };
}

/** How many wait for their turn. */
async function waitingFor({ db }: Admin, name: string): Promise<unknown> {
  const { rows } = await db.query(
    `select count(*)::int as waiting from pg_locks where locktype = 'advisory' and not granted
     and (classid::bigint << 32 | objid::bigint) = hashtextextended('mayfly ' || $1, 0)`,
    [name],
  );
  return rows[0]?.waiting;
}

test('one that is given up while it waits for its template is not made', async () => {
  await using few = await openDatabaseWorld();
  const seed = await few.seed('create table visits (n int)');
  await few.databases.ensure(site(), seed, never);
  const [template = ''] = await few.templates();
  await using admin = await openAdmin();
  const abort = new AbortController();
  const mine = site();
  const ensuring = await alone(admin, { name: template, others: 'awaited' }, async () => {
    const made = few.databases.ensure(mine, seed, abort.signal).catch((error: unknown) => error);
    await expect.poll(() => waitingFor(admin, template), { timeout: 20_000 }).toBe(1);
    abort.abort(new Error('overtaken'));
    return { made };
  });
  expect(await ensuring.made).toMatchObject({ message: 'overtaken' });
  expect((await few.databases.list()).filter((database) => database.site === mine)).toEqual([]);
});

test('T-F02: one who froze over a site’s database is no longer in its successor’s way, and changes nothing once it thaws', async () => {
  await using admin = await openAdmin();
  const mine = site();
  const { url, name } = await w.databases.ensure(mine, null, never);
  await asApp(url, (client) => client.query('create table kept (n int)'));
  const { promise: frozen, resolve: thaw } = Promise.withResolvers<void>();
  const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
  const older = alone(admin, { name, others: 'ended' }, async ({ db }) => {
    begin();
    await frozen;
    await dropDatabase(db, name);
  }).catch((error: unknown) => error);
  await begun;
  const again = await w.databases.ensure(mine, null, never);
  thaw();
  expect(await older).toBeInstanceOf(Error);
  await asApp(again.url, (client) => client.query('select * from kept'));
});
