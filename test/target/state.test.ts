import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { stackName } from '../../infra/labels.ts';
import { Fault } from '../../src/site/problem.ts';
import { answering, nextRevision, watching } from '../contract/target.ts';
import { CLI_ROOT, hold, type LocalWorld, openLocalWorld, visit } from './local.ts';
import {
  damagedThenLaunched,
  damagedThenRemoved,
  freezeFirstAt,
  killedThenLaunched,
  killedThenRemoved,
  linesOf,
  onState,
  stateOf,
  wish,
} from './stacks.ts';

// One of each kind; all of them are in test/slow/state.test.ts.
let w: LocalWorld;
beforeAll(async () => {
  w = await openLocalWorld();
});
afterAll(() => w[Symbol.asyncDispose]());

test('T-F01, T-F06: killed between the deed and its record: the next launch gets past the lock and clears what is pending', () =>
  killedThenLaunched(w, 'database-made'));
test('T-F01: killed between the deed and its record: the site’s removal leaves nothing', () => killedThenRemoved(w, 'process-started'));
test('T-F09: a state that is cut off: the next launch finds what is really there; the neighbour notices nothing', () =>
  damagedThenLaunched(w, 'cut off'));
test('T-F09: a state that is lost: the site’s removal leaves nothing', () => damagedThenRemoved(w, 'lost'));

test('killed in the middle of making the stack: a lock of ours without a stack is in nobody’s way', async () => {
  const order = await wish(w, 'made');
  const folder = `${new URL(w.backendUrl).pathname.slice(1)}/.pulumi`;
  const key = `${folder}/locks/organization/mayfly-preview/${stackName('local', { instance: w.instance, site: order.site })}/dead.json`;
  const lock = { pid: 7, username: 'root', hostname: 'mayfly-pulumi', timestamp: '2026-01-02T03:04:05Z' };
  const data = JSON.stringify({ data: Buffer.from(JSON.stringify(lock)).toString('base64') });
  await onState(w, `insert into pulumi_state (key, data) values ('${key}', '${data}')`);
  expect(await visit(w, await w.target.deploy(hold(), order, watching()))).toBe('made');
});

test('T-F06: the lock of a Pulumi that is at work elsewhere is never broken; once it is over, the next launch succeeds', async () => {
  const order = await wish(w, 'locked out');
  const stack = stackName('local', { instance: w.instance, site: order.site });
  await w.target.prepare(hold(), order.site, watching());
  const laptop = ['--unshare-uts', '--hostname', 'laptop', '--die-with-parent', '--dev-bind', '/', '/', '--'];
  const person = spawn('bwrap', [...laptop, process.execPath, 'test/target/foreign-pulumi.ts', CLI_ROOT, stack], {
    env: {
      PATH: process.env.PATH ?? '',
      HOME: join(w.folder, 'laptop'),
      PULUMI_HOME: join(w.folder, 'laptop'),
      PULUMI_BACKEND_URL: `${w.backendUrl}?sslmode=disable`,
      PULUMI_CONFIG_PASSPHRASE_FILE: join(w.folder, 'passphrase'),
      PULUMI_FALLBACK_TO_STATE_SECRETS_MANAGER: 'true',
      PULUMI_SKIP_UPDATE_CHECK: 'true',
    },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = once(person, 'exit');
  for await (const line of createInterface(person.stdout)) if (line === 'at work') break;
  const failure = await w.target.deploy(hold(), order, watching()).catch((error: unknown) => error);
  expect(failure).toMatchObject({
    code: 'deploy-failed',
    cause: { message: expect.stringMatching(/locked by root@laptop \(process \d+/) },
  });
  await expect(w.target.destroy(hold(), order.site, watching())).rejects.toMatchObject({ code: 'deploy-failed' });
  expect((await linesOf(w, order)).filter(({ key }) => String(key).includes('/locks/'))).toHaveLength(1);
  person.stdin.end();
  expect(await ended).toEqual([0, null]);
  expect(await visit(w, await w.target.deploy(hold(), order, watching()))).toBe('locked out');
});

test('T-F02: a holder that is late finds its successor’s state untouched, and starts nothing any more', async () => {
  const order = await wish(w, 'older');
  const newer = nextRevision(order, { live: null, artefact: await w.artefact({ 'server.js': answering('newer') }) });
  using freeze = freezeFirstAt('process-started');
  const late = hold(1);
  const first = w.target.deploy(late, order, watching()).catch((error: unknown) => error);
  await freeze.reached;
  // A lock of ours is stale because the lease is over, whether its owner knows that or not.
  expect(await visit(w, await w.elsewhere.deploy(hold(2), newer, watching()))).toBe('newer');
  const before = await stateOf(w, order);
  freeze.thaw();
  late.lose(new Fault('lease-lost'));
  expect(await first).toMatchObject({ code: 'lease-lost' });
  expect(await stateOf(w, order)).toEqual(before);
  expect(before.resources.find(({ type }) => type === 'mayfly:local:Service')?.inputs?.name).toContain(newer.revision);
  expect((await w.supervisor.list()).filter(({ site }) => site === order.site).map(({ name }) => name)).toEqual([
    `${order.site}/${newer.revision}`,
  ]);
  await expect(w.target.deploy(hold(1), order, watching())).rejects.toThrow('lease-lost');
});
