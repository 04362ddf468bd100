import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { ulid } from 'ulid';
import { expect, inject, test } from 'vitest';
import { openStore } from '../../src/store/db.ts';
import { ensureGateRole } from '../../src/store/gate-role.ts';
import { openPulumiDatabase } from '../../src/store/pulumi-database.ts';
import { openAdmin } from '../../src/store/roles.ts';
import { createDatabase, onDatabase, type TestDatabase } from '../postgres.ts';
import { github, headOf, headSeen, openAgain, placeOf, repositoryId, sha, silent } from './open.ts';

const password = randomBytes(8).toString('hex');
const admit = (database: TestDatabase, its = password): Promise<void> =>
  ensureGateRole({ adminUrl: database.url, password: its, sessionName: 'mayfly:1', log: silent });

function asGate(database: TestDatabase, its = password): string {
  const url = new URL(database.url);
  [url.username, url.password] = [`${database.name}_gate`, its];
  return url.href;
}

async function ask(url: string, statement: string): Promise<readonly unknown[]> {
  const client = new pg.Client(url);
  await client.connect();
  try {
    const { rows } = await client.query<unknown[]>({ text: statement, rowMode: 'array' });
    return rows.flat();
  } finally {
    await client.end();
  }
}

test('as the gate’s role everything can be asked and written that a gate does', async () => {
  await using database = await createDatabase(inject('postgresUrl'));
  await using web = await openAgain(database);
  // Beside what closes Mayfly's database to everybody who was not invited, as when web and worker start at the same time.
  const close = () => openPulumiDatabase({ adminUrl: database.url, password, sessionName: 'mayfly:1', log: silent });
  await Promise.all([close(), ...Array.from({ length: 5 }, () => [admit(database), close()]).flat()]);
  await web.repositories.ensureForge(github);
  await web.repositories.seen({ forge: github.id, id: repositoryId(1), name: 'acme/shop', access: '1' });
  await using gate = await openStore({ url: asGate(database), applicationName: 'mayfly', beside: 'to change', log: silent, newId: ulid });
  const [listening, heard] = [Promise.withResolvers<void>(), Promise.withResolvers<unknown>()];
  // Told for the first time as soon as somebody listens.
  using _connections = gate.onConnections(listening.resolve);
  using _changes = gate.onChange(heard.resolve);
  await listening.promise;
  const place = placeOf(1);
  await web.applyToPull(place, headSeen(1, headOf(sha('a'))));
  expect(await heard.promise).toMatchObject({ host: place.host });
  const site = await web.sites.findByHost(place.host);
  if (site === undefined) throw new Error('no site');
  expect(await gate.sites.findByHost(place.host)).toEqual(site);
  expect(await gate.sites.find(site.id)).toEqual(site);
  expect(await gate.now()).toBeInstanceOf(Date);
  expect((await gate.repositories.find(github.id, repositoryId(1)))?.name).toBe('acme/shop');
  expect(await gate.repositories.forges()).toEqual([github]);
  for (const _ of [1, 2]) await gate.usage.add(new Map([[site.id, { busyMs: 5, requests: 1 }]]));
  expect(await web.usage.of(site.id)).toEqual({ busyMs: 10, requests: 2 });
});

test('the gate’s role may do nothing else, in no database', async () => {
  await using database = await createDatabase(inject('postgresUrl'));
  await openPulumiDatabase({ adminUrl: database.url, password, sessionName: 'mayfly:1', log: silent });
  await admit(database);
  const role = `${database.name}_gate`;
  const granted = `select table_schema || '.' || table_name || ': ' || string_agg(lower(privilege_type), ', ' order by privilege_type)
    from information_schema.role_table_grants where grantee = '${role}' group by table_schema, table_name order by 1`;
  expect(await ask(database.url, granted)).toEqual([
    'mayfly.forges: select',
    'mayfly.migrations: select',
    'mayfly.repositories: select',
    'mayfly.sites: select',
    'mayfly.usage: insert, select, update',
  ]);
  const able = `select rolsuper or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls from pg_roles where rolname = '${role}'`;
  expect(await ask(database.url, able)).toEqual([false]);
  expect(await ask(database.url, `select roleid from pg_auth_members where member = '${role}'::regrole`)).toEqual([]);
  const refused = [
    'select * from mayfly.connections',
    'select * from mayfly.keepsakes',
    'delete from mayfly.usage',
    `update mayfly.sites set status = 'ended'`,
    'create table mayfly.mine (id int)',
    'create table public.mine (id int)',
    'create schema mine',
    'create role mine',
  ];
  for (const statement of refused) await expect(ask(asGate(database), statement)).rejects.toThrow(/permission denied/);
  for (const other of ['postgres', `${database.name}_pulumi`]) {
    await expect(ask(onDatabase(asGate(database), other), 'select 1')).rejects.toThrow(/permission denied for database/);
  }
});

test('a gate that comes before the database is migrated is refused, and migrates nothing', async () => {
  await using database = await createDatabase(inject('postgresUrl'), 'empty');
  const options = { url: database.url, applicationName: 'mayfly', log: silent, newId: ulid } as const;
  await expect(openStore({ ...options, beside: 'to change' })).rejects.toThrow('has never been used by Mayfly. Start Mayfly on it first.');
  expect(await ask(database.url, `select to_regclass('mayfly.migrations')`)).toEqual([null]);
});

const MAY_GRANT = ['usage on schema mayfly', 'all on all tables in schema mayfly'];

/** What is told by one that may make no roles, with these rights in Mayfly's database to give away. */
async function admitPoorly(database: TestDatabase, rights = MAY_GRANT): Promise<readonly unknown[]> {
  const poor = new URL(database.url);
  [poor.username, poor.password] = [`${database.name}_pulumi`, 'pw'];
  await ask(database.url, `create role ${poor.username} login password 'pw'`);
  for (const right of [`connect on database ${database.name}`, ...rights])
    await ask(database.url, `grant ${right} to ${poor.username} with grant option`);
  const told: unknown[] = [];
  const tell = ({ role }: { readonly role: string }, text: string): unknown => told.push([role, text]);
  await ensureGateRole({ adminUrl: poor.href, password, sessionName: 'mayfly:1', log: { warn: tell, info: tell } as never });
  return told;
}

test('who may make no roles goes on without the gate’s, and is told', async () => {
  await using database = await createDatabase(inject('postgresUrl'));
  const role = `${database.name}_gate`;
  expect(await admitPoorly(database)).toEqual([
    [
      role,
      'a gate by itself has no role in the database, and the role in DATABASE_URL may not make it: give that CREATEROLE, or make this one with a password of yours, and start again',
    ],
  ]);
  expect(await ask(database.url, `select 1 from pg_roles where rolname = '${role}'`)).toEqual([]);
});

const KEEPS = 'the role of a gate by itself keeps the password that it was made with: the role in DATABASE_URL may not change it';

const LACKS = 'the role of a gate by itself lacks what that needs: the role in DATABASE_URL may not grant it';

test('who may make no roles lets in the one that somebody else has made for the gate', async () => {
  await using database = await createDatabase(inject('postgresUrl'));
  const role = `${database.name}_gate`;
  await ask(database.url, `create role ${role} login password 'an operator’s'`);
  expect(await admitPoorly(database)).toEqual([[role, KEEPS]]);
  await using gate = await openAgain({ ...database, url: asGate(database, 'an operator’s') }, { beside: 'to change' });
  expect(await gate.repositories.forges()).toEqual([]);
});

test('who may not even grant what the gate needs is told', async () => {
  await using database = await createDatabase(inject('postgresUrl'));
  const role = `${database.name}_gate`;
  await ask(database.url, `create role ${role} login password 'an operator’s'`);
  expect(await admitPoorly(database, [])).toEqual([
    [role, KEEPS],
    [role, LACKS],
  ]);
});

test('what may be granted is, whatever else may not', async () => {
  await using database = await createDatabase(inject('postgresUrl'));
  const role = `${database.name}_gate`;
  await ask(database.url, `create role ${role} login password 'an operator’s'`);
  expect(await admitPoorly(database, ['usage on schema mayfly', 'select on mayfly.sites'])).toEqual([
    [role, KEEPS],
    [role, LACKS],
  ]);
  const may = `select has_schema_privilege('${role}', 'mayfly', 'usage'), has_table_privilege('${role}', 'mayfly.sites', 'select'),
    has_table_privilege('${role}', 'mayfly.usage', 'insert')`;
  expect(await ask(database.url, may)).toEqual([true, true, false]);
});

test('a session that changes rights is ended when it stands still, and waits for no other for ever', async () => {
  await using database = await createDatabase(inject('postgresUrl'));
  const client = await openAdmin(database.url, 'mayfly:1', silent);
  const limits = ['lock_timeout', 'idle_in_transaction_session_timeout'];
  const { rows } = await client.query({ text: `select ${limits.map((name) => `current_setting('${name}')`)}`, rowMode: 'array' });
  await client.end();
  expect(rows).toEqual([['1min', '10s']]);
});

test('with another secret key the role has another password', async () => {
  await using database = await createDatabase(inject('postgresUrl'));
  await admit(database);
  await admit(database, 'another');
  await expect(ask(asGate(database), 'select 1')).rejects.toThrow(/password authentication failed/);
  expect(await ask(asGate(database, 'another'), 'select 1')).toEqual([1]);
});
