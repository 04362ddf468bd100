import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { expect, test } from 'vitest';
import { loadConfig } from '../../src/config.ts';
import { startMayfly } from '../../src/main.ts';
import { receipts } from '../doubles/stage.ts';
import { createWorld, until } from '../world.ts';
import { nodeApp } from './apps.ts';

test('on Google Cloud gate and worker are on hosts of their own: a site is put up, speaks, sleeps, wakes and ends', async () => {
  const own = { MAYFLY_ROLES: 'web,gate,clock', MAYFLY_SECRET_KEY: randomBytes(32).toString('base64') };
  await using w = await createWorld(own, { target: 'gcp' });
  if (w.google === null) throw new Error('no Google Cloud');
  await using folders = new AsyncDisposableStack();
  const dataDir = folders.adopt(await mkdtemp(join(tmpdir(), 'mayfly-worker-')), (path) => rm(path, { recursive: true, force: true }));
  const elsewhere = { ...w.environment, MAYFLY_ROLES: 'worker', MAYFLY_DATA_DIR: dataDir };
  const google = { endpoint: w.google.endpoint, provider: w.google.provider.attach };
  await using worker = await startMayfly(loadConfig(elsewhere), { log: pino({ level: 'silent' }), google });
  expect([w.mayfly.target, worker.gateUrl]).toEqual([null, '']);
  const another = folders.adopt(await mkdtemp(join(tmpdir(), 'mayfly-worker-')), (path) => rm(path, { recursive: true, force: true }));
  const wrong = loadConfig({ ...elsewhere, MAYFLY_DATA_DIR: another, PULUMI_CONFIG_PASSPHRASE: 'that of another worker' });
  await expect(startMayfly(wrong, { log: pino({ level: 'silent' }), google })).rejects.toThrow(
    'PULUMI_CONFIG_PASSPHRASE is not what it was when the state of the sites was encrypted, and nothing else can read that; set what was set then, or nothing if nothing was. docs/google-cloud.md says what to do when it is lost',
  );

  const repo = await w.forge.createRepository({ name: 'acme/shop', files: nodeApp('main') });
  w.forge.setPermission(repo, 'dev', 'write');
  const app = nodeApp('from two hosts');
  const files = { ...app, 'server.js': `console.log('the shop is open');\n${app['server.js']}` };
  const pull = await w.forge.openPull(repo, { files });
  const site = await w.reaches(pull, 'ready');
  expect(await w.visit(pull)).toMatchObject({ status: 200, body: 'from two hosts' });

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
  expect(await w.visit(pull)).toMatchObject({ status: 410 });
  expect((await worker.target?.survey())?.filter((found) => found.site === site.id)).toEqual([]);
});
