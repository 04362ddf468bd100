import { existsSync, statSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { dependenciesKey } from '../../src/provision/dependencies.ts';
import { watching } from '../contract/target.ts';
import { createBuilder, type Files } from './builder.ts';

let b: Awaited<ReturnType<typeof createBuilder>>;
beforeAll(async () => {
  b = await createBuilder({ diskMb: 200 });
});
afterAll(() => b[Symbol.asyncDispose]());

/** A repository whose build is this shell script. */
const built = (script: string, name = script): Files => ({ 'package.json': '{}', 'build.sh': script, name });
const by = { config: { build: 'sh build.sh', output: 'dist' } } as const;
const page = 'mkdir dist && echo made > dist/index.html';
const work = () => readdir(join(b.dataDir, 'work'));

test('a build makes an artefact; the same content again is that artefact, whoever asks', async () => {
  const first = await b.build(built(page), by);
  const claimed: string[] = [];
  const again = await b.build(built(page), { ...by, claim: async (key) => void claimed.push(key) });
  expect([first.cache, again.cache]).toEqual(['none', 'artefact']);
  expect(again.artefact).toEqual(first.artefact);
  expect(claimed).toEqual([first.artefact.key]);
  expect(await readFile(join(first.artefact.folder, 'index.html'), 'utf8')).toBe('made\n');
});

test('other settings, another trust and another repository are other artefacts', async () => {
  const first = await b.build(built(page), by);
  const others = [
    await b.build(built(page), { config: { ...by.config, env: { A: '1' } } }),
    await b.build(built(page), { ...by, trust: 'untrusted' }),
    await b.build(built(page), { ...by, repository: 'github-2' }),
  ];
  expect(others.map((other) => other.cache)).toEqual(['none', 'none', 'none']);
  expect(new Set([first, ...others].map((other) => other.artefact.key)).size).toBe(4);
});

test('two builds of the same content at once are one build', async () => {
  const files = built(`${page}; echo built once more`, 'twice');
  const both = await Promise.all([b.build(files, by), b.build(files, by)]);
  expect(both.map((one) => one.cache).sort()).toEqual(['artefact', 'none']);
  expect(b.said().match(/^built once more$/gm)).toHaveLength(1);
});

test('without caches it is built again, beside the artefact that may be in use, under a key that is claimed', async () => {
  const first = await b.build(built(page), by);
  const claimed: string[] = [];
  const again = await b.build(built(page), { ...by, caches: 'none', claim: async (key) => void claimed.push(key) });
  expect(again.cache).toBe('none');
  expect(claimed).toEqual([again.artefact.key]);
  expect(again.artefact.key).not.toBe(first.artefact.key);
  await b.builder.remove(again.artefact.key);
  expect([existsSync(again.artefact.folder), existsSync(first.artefact.folder)]).toEqual([false, true]);
});

test('an artefact that a crash left half-made is made anew', async () => {
  const first = await b.build(built(page, 'half'), by);
  await b.builder.remove(first.artefact.key);
  await mkdir(first.artefact.folder, { recursive: true });
  const again = await b.build(built(page, 'half'), by);
  expect([again.cache, existsSync(join(again.artefact.folder, 'index.html'))]).toEqual(['none', true]);
});

test('a build that fails says how, its log stays, nothing else does', async () => {
  await expect(b.build(built('echo why it failed >&2; exit 3'), by)).rejects.toMatchObject({
    code: 'build-failed',
    details: { command: 'sh build.sh', exit: '3' },
  });
  expect(b.said()).toContain('why it failed');
  expect((await work()).filter((name) => name.startsWith('L'))).toEqual([]);
});

test('a build without its output is told which folder was missing', async () => {
  await expect(b.build(built('true'), by)).rejects.toMatchObject({ code: 'output-missing', details: { output: 'dist' } });
  await expect(b.build(built('ln -s /etc dist'), by)).rejects.toMatchObject({ code: 'output-missing' });
});

test('a build that is aborted ends at once with what it was aborted with, and leaves nothing', async () => {
  const controller = new AbortController();
  const seen = Promise.withResolvers<void>();
  const watch = watching({ signal: controller.signal, log: (chunk) => void (chunk.includes('under way') && seen.resolve()) });
  const building = b.build(built('echo under way; sleep 300'), { ...by, watch });
  await Promise.race([seen.promise, building]);
  controller.abort(new Error('overtaken'));
  await expect(building).rejects.toThrow('overtaken');
  expect((await work()).filter((name) => name.startsWith('L'))).toEqual([]);
});

test('too many processes are told as such', async () => {
  const bomb = 'for i in $(seq 3000); do sleep 20 & done; exit 1';
  await expect(b.build(built(bomb), by)).rejects.toMatchObject({ code: 'build-limit', details: { resource: 'processes' } });
});

test('too much memory is told as such', async () => {
  const greedy = `node -e 'const a=[];for(;;)a.push(Buffer.alloc(5e7,1))'`;
  await expect(b.build(built(greedy), by)).rejects.toMatchObject({ code: 'build-limit', details: { resource: 'memory' } });
});

test('too much written is told as such', async () => {
  await expect(b.build(built('head -c 600000000 /dev/zero > big; sleep 60'), by)).rejects.toMatchObject({
    code: 'build-limit',
    details: { resource: 'disk space', limit: '200 MiB' },
  });
});

test('a build that prints for ever is stopped at its limit of time', async () => {
  await using quick = await createBuilder({ limitMs: 2_000 });
  await expect(quick.build(built('yes and no'), by)).rejects.toMatchObject({ code: 'build-timeout', details: { limit: '2 s' } });
});

test('only the root and what it includes is built, and the app runs where it was built', async () => {
  const files: Files = { 'app/package.json': '{}', 'app/build.sh': 'pwd > where; cat ../shared/x >> where', 'shared/x': 'shared' };
  const { artefact } = await b.build(files, { config: { root: 'app', include: ['shared'], build: 'sh build.sh', start: 'cat where' } });
  expect(artefact.runtime).toEqual({ kind: 'process', command: 'cat where', cwd: 'app' });
  expect(await readFile(join(artefact.folder, 'app', 'where'), 'utf8')).toBe('/work/app\nshared');
});

test('an app is ours once it is built: no pipes, nothing setuid, no file that a box may not write to its layer', async () => {
  const script = 'mkfifo pipe; cp /bin/true tool; chmod 6755 tool; mkdir closed; echo x > closed/file; chmod 000 closed';
  const { artefact } = await b.build(built(script), { config: { build: 'sh build.sh', start: 'true' } });
  expect(existsSync(join(artefact.folder, 'pipe'))).toBe(false);
  expect(statSync(join(artefact.folder, 'tool')).mode & 0o7000).toBe(0);
  expect(statSync(join(artefact.folder, 'closed', 'file')).mode & 0o666).toBe(0o666);
});

test.each(['package.json', 'package-lock.json', '.npmrc'])('a link in place of %s is not followed on this machine', async (name) => {
  const checkout = await mkdtemp(join(b.dataDir, 'links-'));
  for (const file of ['package.json', 'package-lock.json', '.npmrc']) if (file !== name) await writeFile(join(checkout, file), '{}');
  await symlink('/dev/zero', join(checkout, name));
  const install = { manager: 'npm', command: 'npm ci', cwd: '.', lockFile: 'package-lock.json', ownScripts: [] } as const;
  expect(await dependenciesKey(checkout, install, { repository: 'github-1', trust: 'trusted' })).toBeNull();
});

test('a build that puts a link in place of its folder gets nothing from this machine', async () => {
  const files: Files = { 'app/package.json': '{}', 'app/build.sh': 'cd .. && rm -r app && ln -s /etc app' };
  const built = b.build(files, { config: { root: 'app', build: 'sh build.sh', start: 'npm start' } });
  await expect(built).rejects.toMatchObject({ code: 'root-missing' });
});

test('an install that puts a link in place of its folder keeps nothing of this machine', async () => {
  const outside = await mkdtemp(join(b.dataDir, 'outside-'));
  await mkdir(join(outside, 'node_modules'));
  // The box has a /tmp of its own, in which the link leads to something else.
  const scripts = { install: `mkdir -p ${outside} && cp package*.json ${outside} && cd .. && rm -r app && ln -s ${outside} app` };
  const own = { name: 'app', version: '1.0.0', scripts };
  const lock = { ...own, scripts: undefined, lockfileVersion: 3, packages: { '': { name: 'app', version: '1.0.0' } } };
  const files: Files = { 'app/package.json': JSON.stringify(own), 'app/package-lock.json': JSON.stringify(lock) };
  await b.build(files, { config: { root: 'app', output: '.' } }).catch(() => undefined);
  expect(await readdir(join(b.dataDir, 'dependencies'))).toEqual([]);
});

test('without a sandbox builds work too, where they are', async () => {
  await using plain = await createBuilder({ mode: 'none' });
  const { artefact } = await plain.build(built(page), by);
  expect(await readFile(join(artefact.folder, 'index.html'), 'utf8')).toBe('made\n');
});
