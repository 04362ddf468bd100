import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { expect, inject, test } from 'vitest';
import { MIGRATIONS, migrate } from '../../src/store/migrate.ts';
import type { Database } from '../../src/store/schema.ts';
import { createDatabase } from '../postgres.ts';
import { openAgain } from './open.ts';

const sampleOf = (name: string): string => join(import.meta.dirname, 'samples', `${name}.sql`);
const open = (url: string): Kysely<Database> =>
  new Kysely({ dialect: new PostgresDialect({ pool: new pg.Pool({ connectionString: url }) }) });

test('every migration ships sample rows', () => {
  expect(Object.keys(MIGRATIONS).filter((name) => !existsSync(sampleOf(name)))).toEqual([]);
});

test('every migration applies over the rows of those before it', async () => {
  await using database = await createDatabase(inject('postgresUrl'), 'empty');
  const db = open(database.url);
  const client = new pg.Client(database.url);
  await client.connect();
  try {
    for (const name of Object.keys(MIGRATIONS)) {
      await migrate(db, name);
      await client.query(await readFile(sampleOf(name), 'utf8'));
    }
  } finally {
    await client.end();
    await db.destroy();
  }
  await using store = await openAgain(database);
  const { sites } = await store.sites.list({ limit: 10 });
  expect(sites.map(({ status, host, live }) => [status, host, live?.served])).toEqual([
    ['ready', 'pr-12-shop-k3f9abcd', { kind: 'static', folder: '/srv/a' }],
    ['queued', 'pr-13-shop-k3f9abce', undefined],
    ['ready', 'pr-14-shop-k3f9abcf', { kind: 'remote', origin: 'https://cloud.a.run.app', region: 'europe-west3' }],
    ['ready', 'pr-15-shop-k3f9abcg', { kind: 'remote', origin: 'https://moves.a.run.app', region: 'europe-west1' }],
  ]);
});

test('processes that start at once migrate once', async () => {
  await using database = await createDatabase(inject('postgresUrl'), 'empty');
  const stores = await Promise.all(Array.from({ length: 4 }, () => openAgain(database)));
  expect(await stores[0]?.sites.list({ limit: 1 })).toEqual({ sites: [], next: null });
  for (const store of stores) await store[Symbol.asyncDispose]();
});

test('a database that a newer Mayfly has written is refused', async () => {
  await using database = await createDatabase(inject('postgresUrl'));
  const client = new pg.Client(database.url);
  await client.connect();
  await client.query("insert into mayfly.migrations (name, timestamp) values ('9999-future', '2030')");
  await client.end();
  await expect(openAgain(database)).rejects.toThrow('written by a newer Mayfly (it has 9999-future)');
});
