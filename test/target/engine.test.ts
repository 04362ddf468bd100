import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { credentials } from '@grpc/grpc-js';
import providerGrpc from '@pulumi/pulumi/proto/provider_grpc_pb.js';
import providerPb from '@pulumi/pulumi/proto/provider_pb.js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { stackName } from '../../infra/labels.ts';
import { resourceKinds } from '../../src/provision/targets/local/resources.ts';
import { serveProvider } from '../../src/provision/targets/provider.ts';
import type { DeployOrder, Held } from '../../src/site/ports.ts';
import { Fault } from '../../src/site/problem.ts';
import { answering, nextRevision, watching } from '../contract/target.ts';
import { mountSmallDisk } from '../small-disk.ts';
import { hold, type LocalWorld, openLocalWorld, orderOf, until, visit } from './local.ts';

let w: LocalWorld;
const lost = new Set<Held>();
beforeAll(async () => {
  w = await openLocalWorld({
    check: async (held) => {
      if (lost.has(held)) throw new Fault('lease-lost');
    },
  });
});
afterAll(() => w[Symbol.asyncDispose]());

const HANGS = 'console.log("up"); setInterval(() => {}, 1000)';
const databasesOf = async ({ site }: DeployOrder) => (await w.databases.list()).filter((it) => it.site === site).map(({ name }) => name);

/** Command lines of this machine that name the stack. */
async function processesOf(stack: string): Promise<readonly string[]> {
  const found: string[] = [];
  for (const pid of await readdir('/proc')) {
    if (!/^[0-9]+$/.test(pid)) continue;
    // A process that ends while we look is one that is not there.
    const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    if (line.includes(stack)) found.push(line.replaceAll('\0', ' '));
  }
  return found;
}

test('T-F01, T-F03, T-F06: a child killed in the middle leaves no Pulumi process, and the next launch gets past its stale lock', async () => {
  const order = orderOf({ artefact: await w.artefact({ 'server.js': HANGS }) });
  const stack = stackName('local', { instance: w.instance, site: order.site });
  let isKilled = false;
  const failed = expect(
    w.target.deploy(
      hold(),
      order,
      watching({
        log: async () => {
          if (isKilled) return;
          isKilled = true;
          const { pid } = JSON.parse(await readFile(join(w.folder, 'pulumi/running', stack), 'utf8'));
          expect(await processesOf(stack)).not.toEqual([]);
          process.kill(pid, 'SIGKILL');
        },
      }),
    ),
  ).rejects.toThrow('deploy-failed');
  await failed;
  await until('every process of the engine to be gone', async () => (await processesOf(stack)).length === 0);
  const next = nextRevision(order, { artefact: await w.artefact({ 'server.js': answering('past it') }) });
  expect(await visit(w, await w.target.deploy(hold(), next, watching()))).toBe('past it');
});

test('T-F06: a lock that a person made is never broken, and the log says whose it is', async () => {
  const order = orderOf({ artefact: await w.artefact({ 'index.html': 'x' }, { kind: 'static', output: '.' }) });
  await w.target.deploy(hold(), order, watching());
  const stack = stackName('local', { instance: w.instance, site: order.site });
  const lock = { pid: 4711, username: 'alice', hostname: 'laptop', timestamp: '2026-01-02T03:04:05Z' };
  const state = new URL(w.backendUrl).pathname.slice(1);
  const [kept] = await w.sql(state, `select key from pulumi_state where key like '%/stacks/%/${stack}.json'`);
  const key = String(kept?.key).replace('/stacks/', '/locks/organization/').replace('.json', '/alice.json');
  const data = JSON.stringify({ data: Buffer.from(JSON.stringify(lock)).toString('base64') });
  await w.sql(state, `insert into pulumi_state (key, data) values ('${key}', '${data}')`);
  const failure = await w.target.deploy(hold(), nextRevision(order, {}), watching()).catch((error: unknown) => error);
  expect(failure).toMatchObject({ code: 'deploy-failed', cause: { message: expect.stringContaining('alice@laptop (process 4711') } });
  await expect(w.target.destroy(hold(), order.site, watching())).rejects.toMatchObject({ code: 'deploy-failed' });
  expect(await w.sql(state, `select key from pulumi_state where key = '${key}'`)).toHaveLength(1);
  await w.sql(state, `delete from pulumi_state where key = '${key}'`);
  await w.target.destroy(hold(), order.site, watching());
  expect((await w.target.survey()).filter(({ site }) => site === order.site)).toEqual([]);
});

test('T-F02: a lease that is lost changes nothing any more', async () => {
  const held = hold();
  lost.add(held);
  const order = orderOf({ artefact: await w.artefact({ 'server.js': answering('never') }) });
  await expect(w.target.deploy(held, order, watching())).rejects.toThrow('lease-lost');
  await expect(w.target.settle(held, order.site, null)).rejects.toThrow('lease-lost');
  expect((await w.supervisor.list()).filter(({ site }) => site === order.site)).toEqual([]);
});

test('the provider does nothing for a connection that has not shown the token', async () => {
  const kinds = resourceKinds({ supervisor: w.supervisor, databases: w.databases, watch: watching() });
  await using provider = await serveProvider({ verb: 'up', kinds, guard: async () => undefined });
  const client = new providerGrpc.ResourceProviderClient(`127.0.0.1:${provider.port}`, credentials.createInsecure());
  const request = new providerPb.CreateRequest().setUrn('urn:pulumi:s::p::mayfly:local:Service::site');
  const refused = await new Promise((resolve) => client.create(request, (error) => resolve(error)));
  client.close();
  expect(refused).toMatchObject({ code: 16, details: 'not this operation' });
});

test('data survives a push; a changed seed makes a new database, and the old one goes with the old revision', async () => {
  const artefact = await w.artefact({ 'server.js': answering('x') });
  const order = orderOf({ artefact, database: await w.seed('create table kept (n int)') });
  await w.target.deploy(hold(), order, watching());
  const [first = ''] = await databasesOf(order);
  await w.sql(first, 'insert into kept values (7)');
  const pushed = nextRevision(order, {});
  await w.target.deploy(hold(), pushed, watching());
  await w.target.settle(hold(), order.site, pushed.revision);
  expect(await w.sql(first, 'select n from kept')).toEqual([{ n: 7 }]);
  const reseeded = nextRevision(pushed, { database: await w.seed('create table other (n int)') });
  await w.target.deploy(hold(), reseeded, watching());
  expect(await databasesOf(order)).toHaveLength(2);
  await w.target.settle(hold(), order.site, reseeded.revision);
  expect(await databasesOf(order)).toHaveLength(1);
  expect(await databasesOf(order)).not.toContain(first);
});

test('refresh sees that a database is gone; the next launch makes it anew', async () => {
  const artefact = await w.artefact({ 'server.js': answering('x') });
  const order = orderOf({ artefact, database: await w.seed('create table t (n int)') });
  await w.target.deploy(hold(), order, watching());
  const [name = ''] = await databasesOf(order);
  const state = `select from pulumi_state where key like '%stacks/%${stackName('local', { instance: w.instance, site: order.site })}%' and key not like '%.bak' and convert_from(decode(data->>'data', 'base64'), 'utf8') like '%${name}%'`;
  await w.databases.drop(name);
  const kinds = resourceKinds({ supervisor: w.supervisor, databases: w.databases, watch: watching() });
  await using provider = await serveProvider({ verb: 'refresh', kinds, guard: async () => undefined });
  const plan = { labels: { instance: w.instance, site: order.site }, token: provider.token, database: null, served: null };
  const run = { program: { name: 'local', plan }, attach: `mayfly:${provider.port}`, signal: new AbortController().signal } as const;
  expect(await w.sql(new URL(w.backendUrl).pathname.slice(1), state)).toHaveLength(1);
  await w.stacks.refresh(hold(), stackName('local', { instance: w.instance, site: order.site }), run);
  expect(await w.sql(new URL(w.backendUrl).pathname.slice(1), state)).toEqual([]);
  await w.target.deploy(hold(), nextRevision(order, {}), watching());
  expect(await databasesOf(order)).toEqual([name]);
});

test('T-F09: a state that was lost is no reason to leave anything behind', async () => {
  const artefact = await w.artefact({ 'server.js': answering('x') });
  const order = orderOf({ artefact, database: await w.seed('create table t (n int)') });
  await w.target.deploy(hold(), order, watching());
  await w.sql(
    new URL(w.backendUrl).pathname.slice(1),
    `delete from pulumi_state where key like '%${stackName('local', { instance: w.instance, site: order.site })}%'`,
  );
  await w.target.destroy(hold(), order.site, watching());
  expect((await w.target.survey()).filter(({ site }) => site === order.site)).toEqual([]);
});

test('a site that ends before its first deploy leaves nothing, at the first try', async () => {
  const order = orderOf({ artefact: await w.artefact({ 'index.html': 'x' }, { kind: 'static', output: '.' }) });
  await w.target.prepare(hold(), order.site, watching());
  expect((await w.target.survey()).filter(({ site }) => site === order.site)).toMatchObject([{ kind: 'stack' }]);
  await w.target.destroy(hold(), order.site, watching());
  expect((await w.target.survey()).filter(({ site }) => site === order.site)).toEqual([]);
});

test('a site that ended leaves not a line in the engine’s state', async () => {
  const order = orderOf({ artefact: await w.artefact({ 'index.html': 'x' }, { kind: 'static', output: '.' }) });
  await w.target.deploy(hold(), order, watching());
  await w.target.destroy(hold(), order.site, watching());
  const left = `select key from pulumi_state where key like '%${stackName('local', { instance: w.instance, site: order.site })}%'`;
  expect(await w.sql(new URL(w.backendUrl).pathname.slice(1), left)).toEqual([]);
});

test('an engine without room for a mark, or for its working folder, says so, and goes on once there is some', async () => {
  await using disk = await mountSmallDisk(512);
  await using small = await openLocalWorld({ folder: disk.path });
  const order = orderOf({ artefact: await small.artefact({ 'index.html': 'x' }, { kind: 'static', output: '.' }) });
  // A block is enough for the mark of who works on the stack.
  for (const mb of [0, 4 / 1024]) {
    await disk.leave(mb);
    await expect(small.target.deploy(hold(), order, watching())).rejects.toMatchObject({ code: 'disk-full' });
  }
  await disk.leave(64);
  await small.target.deploy(hold(), order, watching());
  await small.target.destroy(hold(), order.site, watching());
});
