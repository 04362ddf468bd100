import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { ulid } from 'ulid';
import { expect, test } from 'vitest';
import { openStore } from '../../src/store/db.ts';
import { openEmbeddedPostgres } from '../../src/store/embedded.ts';
import { headOf, headSeen, placeOf, sha, silent } from './open.ts';

const settings = { fsync: 'off' };
/** A fresh temporary folder is closed to everybody else, the server's user included: `open` lets it through. */
async function createFolder(way: 'open' | 'closed' = 'open'): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'mayfly-embedded-'));
  if (way === 'open') await chmod(path, 0o711);
  return { path: join(path, 'postgres'), [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}
/** The answer, asked again for as long as it throws. */
async function insist<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
  for (;;) {
    try {
      return await ask();
    } catch {
      // The server is away; it comes back.
      await delay(20);
    }
  }
}
async function postmasterOf(folder: string): Promise<number> {
  return Number((await readFile(join(folder, 'data', 'postmaster.pid'), 'utf8')).split('\n')[0]);
}

test('it wants its password on both ways in, and keeps it to itself', async () => {
  await using folder = await createFolder();
  await using postgres = await openEmbeddedPostgres({ folder: folder.path, name: 'own', log: silent, settings });
  for (const host of ['127.0.0.1', postgres.socketFolder]) {
    const at = { host, port: postgres.port, user: postgres.superuser, database: 'postgres' };
    const right = new pg.Client({ ...at, password: postgres.password });
    await right.connect();
    await right.end();
    await expect(new pg.Client({ ...at, password: 'wrong' }).connect()).rejects.toThrow(/password authentication failed/);
  }
  expect((await stat(join(folder.path, 'password'))).mode & 0o777).toBe(0o600);
});

test.runIf(process.getuid?.() === 0)('where its user cannot go, the cluster is elsewhere, and found again', async () => {
  await using folder = await createFolder('closed');
  const options = { folder: folder.path, name: 'own', log: silent, settings };
  const first = await openEmbeddedPostgres(options);
  const url = await first.ensureDatabase('kept');
  await first[Symbol.asyncDispose]();
  const home = await readFile(join(folder.path, 'location'), 'utf8');
  try {
    expect(home).toMatch(/^\/var\/lib\/mayfly\/[0-9a-f]{16}$/);
    await using again = await openEmbeddedPostgres(options);
    const client = new pg.Client(url.replace(/:[0-9]+\//, `:${again.port}/`));
    await client.connect();
    await client.end();
  } finally {
    await rm(home, { recursive: true });
  }
});

test('it dies with a killed owner, and the next owner finds what was committed', async () => {
  await using folder = await createFolder();
  const script = `Promise.all([import('${join(import.meta.dirname, '../../src/store/embedded.ts')}'), import('pino'), import('pg')]).then(async ([m, { pino }, { default: pg }]) => {
    const db = await m.openEmbeddedPostgres({ folder: process.argv[1], name: 'own', log: pino({ level: 'silent' }), settings: { fsync: 'off' } });
    const client = new pg.Client(db.url('postgres'));
    await client.connect();
    await client.query('create table kept as select 42 as it');
    process.kill(process.pid, 'SIGKILL');
  })`;
  const owner = spawn(process.execPath, ['-e', script, folder.path], { stdio: ['ignore', 'ignore', 'inherit'], cwd: process.cwd() });
  expect(await once(owner, 'exit')).toEqual([null, 'SIGKILL']);
  await using postgres = await openEmbeddedPostgres({ folder: folder.path, name: 'own', log: silent, settings });
  const client = new pg.Client(postgres.url('postgres'));
  await client.connect();
  expect((await client.query('select it from kept')).rows).toEqual([{ it: 42 }]);
  await client.end();
});

test('a database that goes away and comes back takes nobody down', async () => {
  await using folder = await createFolder();
  await using postgres = await openEmbeddedPostgres({ folder: folder.path, name: 'own', log: silent, settings });
  const url = await postgres.ensureDatabase('mayfly');
  await using store = await openStore({ url, applicationName: 'mayfly', log: silent, newId: ulid });
  const resynced = new Promise<void>((resolve) => store.onChange((change) => change === 'resync' && resolve()));
  await store.applyToPull(placeOf(1), headSeen(1, headOf(sha('a'))));

  process.kill(await postmasterOf(folder.path), 'SIGQUIT');

  const site = await insist(() => store.applyToPull(placeOf(1), headSeen(2, headOf(sha('b')))));
  expect(site?.site.head.sha).toBe(sha('b'));
  expect(await store.isReachable(1_000)).toBe(true);
  await resynced;
});
