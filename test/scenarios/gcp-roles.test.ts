import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { pino } from 'pino';
import { expect, inject, test } from 'vitest';
import { loadConfig } from '../../src/config.ts';
import { gatePassword } from '../../src/derived.ts';
import { startMayfly } from '../../src/main.ts';
import { receipts } from '../doubles/stage.ts';
import { GATE_SETTINGS } from '../gate-settings.ts';
import { createDatabase } from '../postgres.ts';
import { createWorld, get, until, type World } from '../world.ts';
import { nodeApp } from './apps.ts';

const KEY = randomBytes(32);
const WEB = { MAYFLY_ROLES: 'web', MAYFLY_SECRET_KEY: KEY.toString('base64'), MAYFLY_PREVIEW_DATABASE_URL: '' };

/** Another process of this Mayfly, on a host of its own, with this environment alone. */
async function startOn(w: World, environment: Readonly<Record<string, string | undefined>>, opening: AsyncDisposableStack) {
  if (w.google === null) throw new Error('no Google Cloud');
  const folder = await mkdtemp(join(tmpdir(), 'mayfly-host-'));
  const dataDir = opening.adopt(folder, (path) => rm(path, { recursive: true, force: true }));
  const google = { endpoint: w.google.endpoint, provider: w.google.provider.attach };
  const troubles: string[] = [];
  const log = pino({ level: 'warn' }, { write: (line) => troubles.push(line) });
  const config = loadConfig({ ...environment, MAYFLY_DATA_DIR: dataDir });
  return { troubles, ...opening.use(await startMayfly(config, { log, google })) };
}

const workerSettings = (w: World): Readonly<Record<string, string | undefined>> => {
  const own = { MAYFLY_ROLES: 'worker,clock', MAYFLY_API_TOKEN: undefined, MAYFLY_PREVIEW_DATABASE_URL: inject('postgresUrl') };
  return { ...w.environment, ...own };
};

/** What the platform gives the gate, and nothing else. */
function gateSettings(w: World): Readonly<Record<string, string | undefined>> {
  const url = new URL(w.database.url);
  [url.username, url.password] = [`${w.database.name}_gate`, gatePassword(KEY)];
  const given: Readonly<Record<string, string>> = { ...w.environment, MAYFLY_ROLES: 'gate', DATABASE_URL: url.href };
  return Object.fromEntries(GATE_SETTINGS.map((name) => [name, given[name]]));
}

async function change(url: string, ...statements: readonly string[]): Promise<void> {
  const client = new pg.Client(url);
  await client.connect();
  for (const statement of statements) await client.query(statement);
  await client.end();
}

test('on Google Cloud web, gate and worker are on hosts of their own: a site is put up, speaks, sleeps, wakes and ends', async () => {
  await using w = await createWorld(WEB, { target: 'gcp' });
  await using opening = new AsyncDisposableStack();
  const worker = await startOn(w, workerSettings(w), opening);
  const wrong = { ...workerSettings(w), PULUMI_CONFIG_PASSPHRASE: 'that of another worker' };
  await expect(startOn(w, wrong, opening)).rejects.toThrow(
    'PULUMI_CONFIG_PASSPHRASE is not what it was when the state of the sites was encrypted, and nothing else can read that; set what was set then, or nothing if nothing was. docs/google-cloud.md says what to do when it is lost',
  );
  const gate = await startOn(w, gateSettings(w), opening);
  expect([w.mayfly.target, worker.gateUrl, gate.webUrl, gate.target]).toEqual([null, '', '', null]);
  const visit = (label: string) => get(gate.gateUrl, { path: '/', headers: { host: `${label}.preview.acme.test` } });
  expect(await visit('pr-1-shop-nobody')).toMatchObject({ status: 404 });

  const repo = await w.forge.createRepository({ name: 'acme/shop', files: nodeApp('main') });
  w.forge.setPermission(repo, 'dev', 'write');
  const app = nodeApp('from three hosts');
  const files = { ...app, 'server.js': `console.log('the shop is open');\n${app['server.js']}` };
  const pull = await w.forge.openPull(repo, { files });
  const site = await w.reaches(pull, 'ready');
  const here = { status: 200, body: 'from three hosts' };
  expect(await visit(site.host)).toMatchObject(here);
  for (const service of w.google?.cloud.services.keys() ?? []) await w.google?.runner.scaleDown(service);
  expect(w.google?.runner.awake()).toEqual([]);
  expect(await visit(site.host)).toMatchObject(here);

  await w.forge.comment(pull, 'dev', '/preview logs app');
  await until('what the app has said', () => w.comment(pull).includes('the shop is open'));
  for (const wish of ['sleep', 'wake']) {
    const asked = await w.forge.comment(pull, 'dev', `/preview ${wish}`);
    await until(`the receipt of ${wish}`, () => receipts(asked).at(-1) === '+1');
    // Neither is ours to do there.
    const told = `\`/preview ${wish}\` by dev: it sleeps by itself, some minutes after its last visitor`;
    await until(`the answer to ${wish}`, () => w.comment(pull).includes(told));
  }
  await w.forge.close(pull);
  await w.reaches(pull, 'ended');
  const ended = await visit(site.host);
  expect(ended.status).toBe(410);
  expect(ended.body).toContain(`${w.github.serverUrl}/acme/shop/pull/${pull.number}`);
  expect((await worker.target?.survey())?.filter((found) => found.site === site.id)).toEqual([]);
  await opening.disposeAsync();
  expect(gate.troubles).toEqual([]);
  expect((await w.mayfly.store.usage.of(site.id)).requests).toBe(2);
});

test('a gate by itself does not start on a database that nobody has migrated, and says what to do', async () => {
  await using w = await createWorld(WEB, { target: 'gcp' });
  await using empty = await createDatabase(inject('postgresUrl'), 'empty');
  await using opening = new AsyncDisposableStack();
  await expect(startOn(w, { ...gateSettings(w), DATABASE_URL: empty.url }, opening)).rejects.toThrow(
    'The database has never been used by Mayfly. Start Mayfly on it first.',
  );
});

test.each([
  ['is not there', '_gate', '', (role: string) => `password authentication failed for user "${role}"`],
  ['has a % in its name', '%gate', '', (role: string) => `password authentication failed for user "${role}"`],
  [
    'may do nothing there',
    '_gate',
    `login password '${gatePassword(KEY)}'`,
    (_: string, database: string) => `permission denied for database "${database}"`,
  ],
])('a gate by itself whose role %s does not start, and says what to do', async (_, suffix, made, why) => {
  await using w = await createWorld(WEB, { target: 'gcp' });
  await using other = await createDatabase(inject('postgresUrl'));
  const role = `${other.name}${suffix}`;
  await change(other.url, `revoke connect on database ${other.name} from public`, ...(made ? [`create role ${role} ${made}`] : []));
  const url = Object.assign(new URL(other.url), { username: role, password: gatePassword(KEY) });
  await using opening = new AsyncDisposableStack();
  await expect(startOn(w, { ...gateSettings(w), DATABASE_URL: url.href }, opening)).rejects.toMatchObject({
    name: 'ConfigError',
    message: `Mayfly cannot start with these settings:
  DATABASE_URL is of the role ${role}, which the database does not let in (${why(role, other.name)}). Web and worker make the role of a gate by itself, with a password from MAYFLY_SECRET_KEY, each time they start: start one of them on this database first, and read in its log whether it could
    for example: DATABASE_URL=postgres://mayfly_gate:…@db.acme.dev/mayfly`,
  });
});

test('web makes the role of a gate by itself, and nothing of what the worker alone needs', async () => {
  await using w = await createWorld(WEB, { target: 'gcp' });
  const { name, url } = w.database;
  const client = new pg.Client(url);
  await client.connect();
  const { rows } = await client.query({
    text: 'select datname from pg_database where starts_with(datname, $1) union select rolname from pg_roles where starts_with(rolname, $1) order by 1',
    values: [name],
    rowMode: 'array',
  });
  await client.end();
  expect(rows.flat()).toEqual([name, `${name}_gate`]);
});
