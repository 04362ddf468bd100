import { readFileSync } from 'node:fs';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import type { Files } from '../../doubles/git/git.ts';
import type { ForgeName, StagePull } from '../../doubles/stage.ts';
import { createWorld, type TargetName, type World } from '../../world.ts';

const shop = (name: string): string => readFileSync(new URL(`../../../demo/shop/${name}`, import.meta.url), 'utf8');
/** Runs the SQL that it is asked for on its own database, or tries it on another one of the same server. */
const SQL_CONSOLE = `
  import { createServer } from 'node:http';
  import pg from 'pg';
  createServer(async (request, response) => {
    const { searchParams } = new URL(request.url, 'http://shop');
    const address = new URL(process.env.DATABASE_URL);
    if (searchParams.has('database')) address.pathname = '/' + searchParams.get('database');
    const client = new pg.Client(address.href);
    try {
      await client.connect();
      const { rows } = await client.query(searchParams.get('sql') ?? 'select 1');
      response.end(JSON.stringify(rows));
    } catch (error) {
      response.writeHead(500).end(error.message);
    } finally {
      await client.end();
    }
  }).listen(process.env.PORT);
`;
const SEED = shop('db/seed.sql');
const app = (seed = SEED): Files => ({
  'package.json': shop('package.json'),
  'package-lock.json': shop('package-lock.json'),
  'server.js': SQL_CONSOLE,
  'db/seed.sql': seed,
  '.mayfly.yml': 'database: { engine: postgres, seed: db/seed.sql }\n',
});

/** Sites with a database, on either forge. */
export function siteDatabase(forge: ForgeName, target: TargetName = 'local'): void {
  describe('an app with a database', () => {
    let w: World;
    let server: pg.Client;
    let made = 0;
    beforeAll(async () => {
      w = await createWorld({}, { forge, target });
      server = new pg.Client(inject('postgresUrl'));
      await server.connect();
    });
    afterAll(async () => {
      await server.end();
      await w[Symbol.asyncDispose]();
    });
    const repository = (files = app()) => w.forge.createRepository({ name: `data-${++made}/shop`, files });
    const query = async (pull: StagePull, sql: string, database?: string): Promise<unknown> => {
      const asked = new URLSearchParams(database === undefined ? { sql } : { sql, database });
      const { status, body } = await w.visit(pull, `/?${asked}`);
      return status === 200 ? JSON.parse(body) : body;
    };
    const databaseOf = async (pull: StagePull): Promise<string> => {
      const rows = await query(pull, 'select current_database() as it');
      return Array.isArray(rows) ? String(rows[0]?.it) : '';
    };
    /** Databases and roles on the sites' server whose name contains this. */
    const namesOnServer = async (part: string): Promise<readonly string[]> => {
      const sql = `select datname as name from pg_database where datname like $1 union all select rolname from pg_roles where rolname like $1`;
      return (await server.query<{ name: string }>(sql, [`%${part}%`])).rows.map(({ name }) => name);
    };

    test('two pulls opened at once: both have the seed, neither sees what the other writes, and both survive a push', async () => {
      const repo = await repository();
      const [one, two] = await Promise.all([
        w.forge.openPull(repo, { files: { 'note.txt': 'one' } }),
        w.forge.openPull(repo, { files: { 'note.txt': 'two' } }),
      ]);
      for (const pull of [one, two]) await w.reaches(pull, 'ready');
      const count = 'select count(*)::int as products from product';
      expect(await Promise.all([query(one, count), query(two, count)])).toEqual([[{ products: 6 }], [{ products: 6 }]]);
      await query(one, `insert into product (name, note, hue, cents) values ('One', 'of the first pull', 1, 1)`);
      await query(two, 'delete from product');
      // The app owns its tables, so that it may migrate them.
      await query(one, 'alter table product add column stock int');
      const sha = await w.forge.push(one, { 'note.txt': 'pushed' });
      await w.reaches(one, 'ready', sha);
      expect(await query(one, `${count} where stock is null`)).toEqual([{ products: 7 }]);
      expect(await query(two, count)).toEqual([{ products: 0 }]);
    });

    test('the seed is run once for all pulls that have the same', async () => {
      // A sequence of the server would show a second run; a database's own OID shows that both are copies of one template.
      const marker = `once-${Date.now()}`;
      const repo = await repository(
        app(`create table born as select clock_timestamp() as at, '${marker}' as marker, pg_backend_pid() as by`),
      );
      const pulls = await Promise.all([1, 2, 3].map((n) => w.forge.openPull(repo, { files: { 'note.txt': `${n}` } })));
      for (const pull of pulls) await w.reaches(pull, 'ready');
      const born = await Promise.all(pulls.map((pull) => query(pull, 'select * from born')));
      expect(new Set(born.map((rows) => JSON.stringify(rows))).size).toBe(1);
      expect(new Set(await Promise.all(pulls.map(databaseOf))).size).toBe(3);
    });

    test('a changed seed is a new database for the new commit, and the one before goes', async () => {
      const pull = await w.forge.openPull(await repository(), { files: { 'note.txt': 'x' } });
      await w.reaches(pull, 'ready');
      const before = await databaseOf(pull);
      await query(pull, 'delete from product');
      const sha = await w.forge.push(pull, { 'db/seed.sql': `${SEED}\ncreate table extra (n int);` });
      await w.reaches(pull, 'ready', sha);
      expect(await query(pull, 'select count(*)::int as products from product')).toEqual([{ products: 6 }]);
      expect(await query(pull, 'select * from extra')).toEqual([]);
      expect(await databaseOf(pull)).not.toBe(before);
      await expect.poll(() => namesOnServer(before), { timeout: 10_000 }).toEqual([]);
    });

    test('a seed that fails is explained with its line; what was live stays, and the mended seed is launched', async () => {
      const pull = await w.forge.openPull(await repository(), { files: { 'note.txt': 'x' } });
      await w.reaches(pull, 'ready');
      const sha = await w.forge.push(pull, {
        'db/seed.sql': 'create table a (n int);\n\ninsert into a values (1);\ninsert into b values (1);\n',
      });
      await w.reaches(pull, 'failed', sha);
      expect(w.comment(pull)).toContain(
        'The database seed `db/seed.sql` failed: relation "b" does not exist \\(line 4\\). Mend it and push.',
      );
      expect(w.comment(pull)).toContain('Visitors still get');
      expect(await query(pull, 'select count(*)::int as products from product')).toEqual([{ products: 6 }]);
      const mended = await w.forge.push(pull, { 'db/seed.sql': 'create table a (n int);' });
      await w.reaches(pull, 'ready', mended);
      expect(await query(pull, 'select * from a')).toEqual([]);
    });

    test('a seed with no line to blame says what PostgreSQL said', async () => {
      const pull = await w.forge.openPull(await repository(app('create table a (n int unique);\ninsert into a values (1), (1);\n')), {});
      await w.reaches(pull, 'failed');
      expect(w.comment(pull)).toContain('duplicate key value violates unique constraint');
    });

    test('a seed that is not there is said, and launched once the base branch names another', async () => {
      const repo = await repository({ ...app(), '.mayfly.yml': 'database: { engine: postgres, seed: db/sed.sql }\n' });
      const pull = await w.forge.openPull(repo, { files: { 'note.txt': 'x' } });
      await w.reaches(pull, 'failed');
      expect(w.comment(pull)).toContain('The seed `db/sed.sql`');
      await w.forge.pushToBranch(repo, 'main', { '.mayfly.yml': 'database: { engine: postgres, seed: db/seed.sql }\n' });
      await w.reaches(pull, 'ready');
    });

    test('a site signs in to its own database and to no other: neither its neighbour’s, nor Mayfly’s, nor the server’s own', async () => {
      const repo = await repository();
      const [one, two] = [
        await w.forge.openPull(repo, { files: { 'note.txt': 'mine' } }),
        await w.forge.openPull(repo, { files: { 'note.txt': 'theirs' } }),
      ];
      for (const pull of [one, two]) await w.reaches(pull, 'ready');
      const others = [await databaseOf(two), 'postgres', 'template1', w.database.name, `${w.database.name}_pulumi`];
      const answers = await Promise.all(others.map((database) => query(one, 'select 1', database)));
      for (const answer of answers) expect(answer).toMatch(/permission denied for database|does not exist/);
      for (const sql of [`copy (select 1) to program 'id'`, `select pg_read_file('/etc/passwd')`, 'create role r', 'create database d']) {
        expect(await query(one, sql)).toMatch(/permission denied/);
      }
    });

    test('closed: the database and its role are gone', async () => {
      const pull = await w.forge.openPull(await repository(), { files: { 'note.txt': 'x' } });
      await w.reaches(pull, 'ready');
      const name = await databaseOf(pull);
      expect(await namesOnServer(name)).toEqual([name, name]);
      await w.forge.close(pull);
      await w.reaches(pull, 'ended');
      expect(await namesOnServer(name)).toEqual([]);
    });
  });
}
