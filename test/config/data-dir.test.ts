import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ConfigError } from '../../src/config.ts';
import { checkPassphrase, checkSecretKey, ensureInstance, openDataDir } from '../../src/data-dir.ts';
import { openTestStore } from '../store/open.ts';

async function createFolder(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'mayfly-data-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}
const modeOf = async (path: string): Promise<string> => ((await stat(path)).mode & 0o777).toString(8);

test('the data dir has one owner at a time', async () => {
  await using folder = await createFolder();
  {
    await using _first = await openDataDir(folder.path);
    await expect(openDataDir(folder.path)).rejects.toThrow(`is in use by process ${process.pid};`);
  }
  await using _next = await openDataDir(folder.path);
});

test('a killed owner holds nothing', async () => {
  await using folder = await createFolder();
  const script = `import('${join(import.meta.dirname, '../../src/data-dir.ts')}').then(async ({ openDataDir }) => {
    globalThis.kept = await openDataDir(process.argv[1]); console.log('mine'); setInterval(() => {}, 1e6) })`;
  const owner = spawn(process.execPath, ['-e', script, folder.path], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(owner.stdout, 'data');
  await expect(openDataDir(folder.path)).rejects.toThrow(`is in use by process ${owner.pid};`);
  owner.kill('SIGKILL');
  await once(owner, 'exit');
  await using _next = await openDataDir(folder.path);
});

test('the secret key is made once and is for nobody else to read', async () => {
  await using folder = await createFolder();
  await using dir = await openDataDir(folder.path);
  const key = await dir.ensureSecretKey();
  expect(key).toHaveLength(32);
  expect(await dir.ensureSecretKey()).toEqual(key);
  expect(await modeOf(join(folder.path, 'secret-key'))).toBe('600');
  expect(await modeOf(dir.folder('logs'))).toBe('700');
  expect(await modeOf(dir.folder('artefacts'))).toBe('711');
});

test('sockets get a short folder when the data dir lies deep', async () => {
  await using folder = await createFolder();
  await using dir = await openDataDir(join(folder.path, 'a'.repeat(80)));
  expect(dir.runFolder.length).toBeLessThan(51);
  await rm(dir.runFolder, { recursive: true });
});

test('a database remembers its secret key and its instance', async () => {
  await using store = await openTestStore();
  await checkSecretKey(store.keepsakes, Buffer.alloc(32, 1));
  await checkSecretKey(store.keepsakes, Buffer.alloc(32, 1));
  await expect(checkSecretKey(store.keepsakes, Buffer.alloc(32, 2))).rejects.toThrow(ConfigError);
  const instance = await ensureInstance(store.keepsakes, null);
  expect(await ensureInstance(store.keepsakes, null)).toBe(instance);
  expect(await ensureInstance(store.keepsakes, 'team-a')).toBe('team-a');
});

test('a database remembers the passphrase of the sites’ state, and tells nothing of it', async () => {
  await using store = await openTestStore();
  const secretKey = Buffer.alloc(32, 1);
  const check = (passphrase: string, secretsProvider?: string): Promise<void> =>
    checkPassphrase(store.keepsakes, { passphrase, secretsProvider, secretKey });
  // Nothing was ever encrypted with it.
  await check('of nothing at all', 'gcpkms://x');
  await check('correct horse battery');
  await check('correct horse battery');
  await check('correct horse battery', 'gcpkms://x');
  await expect(check('another horse battery')).rejects.toThrow(ConfigError);
  await expect(check('another horse battery', 'gcpkms://x')).rejects.toThrow(ConfigError);
  const elsewhere = { passphrase: 'correct horse battery', secretsProvider: undefined, secretKey: Buffer.alloc(32, 2) };
  await expect(checkPassphrase(store.keepsakes, elsewhere)).rejects.toThrow(ConfigError);
});
