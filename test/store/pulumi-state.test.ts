import pg from 'pg';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import type { Held } from '../../src/site/ports.ts';
import { openPulumiState, type PulumiState, pulumiSession } from '../../src/store/pulumi-state.ts';
import { createDatabase, type TestDatabase } from '../postgres.ts';
import { silent } from './open.ts';

let database: TestDatabase;
let state: PulumiState;
beforeAll(async () => {
  database = await createDatabase(inject('postgresUrl'), 'empty');
  state = await open();
});
afterAll(async () => {
  await state[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
});

const open = () => openPulumiState({ url: database.url, project: 'previews', ourHost: 'ours', log: silent });
const held = (epoch: number): Held => ({ name: 'site:1', holder: 'HOLDER', epoch, signal: new AbortController().signal });
const keyOf = (stack: string, kind = 'stacks'): string =>
  `${database.name}/.pulumi/${kind}/previews/${stack}${kind === 'stacks' ? '.json' : '/1.json'}`;
const WRITE = `insert into pulumi_state (key, data) values ($1, '{}') on conflict (key) do update set updated_at = now()`;
const REFUSED = /the lease was lost: epoch 1 is over, 2 has the stack/;

/** A session of Pulumi's, as it works under a lease of this epoch; or a person's. */
async function session(epoch: number | null): Promise<pg.Client & AsyncDisposable> {
  const name = epoch === null ? 'psql' : pulumiSession(held(epoch));
  const client = new pg.Client({ connectionString: database.url, application_name: name });
  await client.connect();
  return Object.assign(client, { [Symbol.asyncDispose]: () => client.end() });
}

test('what works under an older lease can write nothing about the stack any more; a newer one, and a person, can', async () => {
  await state.fence(held(1), 'one');
  await using older = await session(1);
  await older.query(WRITE, [keyOf('one')]);
  await state.fence(held(2), 'one');
  await using newer = await session(2);
  await using person = await session(null);
  for (const key of [keyOf('one'), keyOf('one', 'history'), keyOf('one', 'locks/organization')]) {
    await expect(older.query(WRITE, [key])).rejects.toThrow(REFUSED);
    await newer.query(WRITE, [key]);
    await expect(older.query('delete from pulumi_state where key = $1', [key])).rejects.toThrow(REFUSED);
    await person.query('delete from pulumi_state where key = $1', [key]);
  }
  await older.query(WRITE, [keyOf('two')]);
  await expect(state.fence(held(1), 'one')).rejects.toThrow('lease-lost');
});

test('the fence goes up after what was being written, and nothing is begun behind it', async () => {
  await state.fence(held(1), 'slow');
  await using older = await session(1);
  await older.query('begin');
  await older.query(WRITE, [keyOf('slow')]);
  const raised = state.fence(held(2), 'slow');
  await using other = await session(1);
  const waits = `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
  while ((await other.query(waits)).rowCount === 0);
  await older.query('commit');
  await raised;
  await expect(other.query(WRITE, [keyOf('slow')])).rejects.toThrow(REFUSED);
});

test('stacks are listed by name, whatever is in them; backups and other projects are not', async () => {
  await using person = await session(null);
  await person.query('delete from pulumi_state');
  const others = [`${keyOf('a')}.bak`, keyOf('a', 'history'), keyOf('z').replace('previews', 'other')];
  for (const key of [keyOf('a'), `${keyOf('b')}.gz`, ...others]) await person.query(WRITE, [key]);
  expect(await state.stacks()).toEqual(['a', 'b']);
  await state.forget(held(1), 'a');
  expect((await person.query('select key from pulumi_state')).rows).toHaveLength(2);
});

test('several hosts may put it up at once', async () => {
  const opened = await Promise.all([open(), open(), open()]);
  for (const one of opened) await one[Symbol.asyncDispose]();
});
