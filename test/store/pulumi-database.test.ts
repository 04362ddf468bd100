import pg from 'pg';
import { expect, inject, test } from 'vitest';
import { openPulumiDatabase } from '../../src/store/pulumi-database.ts';
import { createDatabase, onDatabase } from '../postgres.ts';
import { silent } from './open.ts';

const password = 'a secret of its own';
async function ask(url: string, statement: string): Promise<pg.QueryResult> {
  const client = new pg.Client(url);
  await client.connect();
  try {
    return await client.query(statement);
  } finally {
    await client.end();
  }
}

test('Pulumi gets a database and a role that reaches no other', async () => {
  await using database = await createDatabase(inject('postgresUrl'));
  const options = { adminUrl: database.url, password, sessionName: 'mayfly:1', log: silent };
  const [url, again] = await Promise.all([openPulumiDatabase(options), openPulumiDatabase(options)]);
  expect(again).toBe(url);
  const { rows } = await ask(url, `create table state (id int); select 1`).then(() => ask(url, 'show application_name'));
  expect(rows).toEqual([{ application_name: 'mayfly:1' }]);
  await expect(ask(onDatabase(url, database.name), 'select 1')).rejects.toThrow(/permission denied for database/);
  await expect(ask(onDatabase(url, 'postgres'), 'select 1')).rejects.toThrow(/permission denied for database/);
});

test('a server that does not let us says what to set instead', async () => {
  await using database = await createDatabase(inject('postgresUrl'));
  const role = `${database.name}_pulumi`;
  await ask(inject('postgresUrl'), `create role ${role} login password 'pw'; grant connect on database ${database.name} to ${role}`);
  const poor = new URL(database.url);
  [poor.username, poor.password] = [role, 'pw'];
  const opening = openPulumiDatabase({ adminUrl: poor.href, password, sessionName: 'mayfly:1', log: silent });
  await expect(opening).rejects.toThrow(/set PULUMI_BACKEND_URL/);
});
