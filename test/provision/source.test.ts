import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { lstat, mkdir, mkdtemp, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { openSources, type Sources } from '../../src/provision/source.ts';
import { parseRepositoryId, parseSha, type Sha, toForgeId } from '../../src/site/identity.ts';
import { createGitServer, type GitServer } from './git-server.ts';

let server: GitServer;
let dataDir: string;
let sources: Sources;
let said: string[];
const id = parseRepositoryId(7);
if (id === undefined) throw new Error('7 is no id');
const repository = { forge: toForgeId('github'), id };
const toSha = (text: string): Sha => parseSha(text) ?? expect.fail(`${text} is no commit's id`);

beforeAll(async () => {
  server = await createGitServer();
});
afterAll(() => server[Symbol.asyncDispose]());
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'mayfly-source-'));
  said = [];
  server.seen.length = 0;
  sources = await openSources({ dataDir, leash: 'bubblewrap', log: (line) => void said.push(line) });
});
afterEach(() => rm(dataDir, { recursive: true, force: true }));

function fetchCommit(sha: string, more: { readonly ref?: string; readonly signal?: AbortSignal; readonly url?: string } = {}) {
  const address = async () => ({ url: more.url ?? server.url, authorization: 'Basic Y2FuYXJ5' });
  const signal = more.signal ?? new AbortController().signal;
  return sources.fetch({ repository, address, sha: toSha(sha), signal, ...(more.ref ? { ref: more.ref } : {}) });
}
const cache = (): string => join(dataDir, 'sources', 'github-7.git');

test('a commit is fetched by its id, once, and its files are written without anything of git', async () => {
  const sha = await server.commit({ 'index.html': 'one', 'bin/run': { executable: 'x' }, 'way out': { link: '/etc/passwd' } });
  const snapshot = await fetchCommit(sha);
  await snapshot.checkout(['.'], join(dataDir, 'out'));
  expect((await readdir(join(dataDir, 'out'))).sort()).toEqual(['bin', 'index.html', 'way out']);
  expect(await readlink(join(dataDir, 'out', 'way out'))).toBe('/etc/passwd');
  expect((await lstat(join(dataDir, 'out', 'bin', 'run'))).mode & 0o111).toBeGreaterThan(0);
  const requests = server.seen.length;
  await fetchCommit(sha);
  expect(server.seen).toHaveLength(requests);
});

test('the caches of repositories that nobody knows any more go', async () => {
  const sha = await server.commit({ a: 'a' });
  await fetchCommit(sha);
  expect([await sources.keepOnly([repository]), existsSync(cache())]).toEqual([0, true]);
  expect([await sources.keepOnly([]), existsSync(cache())]).toEqual([1, false]);
  await fetchCommit(sha);
  expect(existsSync(cache())).toBe(true);
});

test('what a crash left of dropped caches goes at the next start, what it left of a fetch at the next fetch', async () => {
  const sha = await server.commit({ a: 'after the crash' });
  const gone = join(dataDir, 'sources', '.gone-github-7.git-12');
  const half = join(cache(), 'objects', 'pack', 'tmp_pack_x7');
  for (const folder of [gone, dirname(half)]) await mkdir(folder, { recursive: true });
  await writeFile(half, 'half');
  sources = await openSources({ dataDir, leash: 'bubblewrap', log: (line) => void said.push(line) });
  await fetchCommit(sha);
  expect([existsSync(gone), existsSync(half), said]).toEqual([false, false, []]);
});

test('what is fetched first is kept as it was packed; what a push brings is unpacked', async () => {
  const [first, second] = [await server.commit({ a: 'first' }), await server.commit({ a: 'second' })];
  const packs = async () => (await readdir(join(cache(), 'objects/pack'))).filter((name) => name.endsWith('.pack'));
  await fetchCommit(first);
  expect(await packs()).toHaveLength(1);
  const snapshot = await fetchCommit(second);
  expect(await packs()).toHaveLength(1);
  expect((await snapshot.read('a', 100))?.toString()).toBe('second');
});

test('only what is asked for is written, and the id of a folder is that of its content', async () => {
  const one = await server.commit({ 'app/a': '1', 'shared/b': '2', 'other/c': '3' });
  const two = await server.commit({ 'other/c': '4' }, 'refs/heads/main', [one]);
  const [before, after] = [await fetchCommit(one), await fetchCommit(two)];
  await after.checkout(['app', 'shared/b'], join(dataDir, 'out'));
  expect((await readdir(join(dataDir, 'out'))).sort()).toEqual(['app', 'shared']);
  expect(await after.tree('app')).toBe(await before.tree('./app/'));
  expect(await after.tree('.')).not.toBe(await before.tree('.'));
  expect(await after.tree('nowhere')).toBeUndefined();
});

test('the token is in a header for that server, and nowhere on disk', async () => {
  await fetchCommit(await server.commit({ a: 'token' }));
  expect(new Set(server.seen)).toEqual(new Set(['Basic Y2FuYXJ5']));
  for (const name of await readdir(cache())) {
    if ((await lstat(join(cache(), name))).isFile()) expect(await readFile(join(cache(), name), 'utf8')).not.toContain('Y2FuYXJ5');
  }
});

test('nothing that a repository brings along is run: submodules, filters, LFS, hooks', async () => {
  const mark = join(dataDir, 'was-run');
  const sha = await server.commit({
    '.gitmodules': `[submodule "evil"]\n\tpath = evil\n\turl = ext::sh -c touch% ${mark}\n\tupdate = !touch ${mark}\n`,
    evil: { submodule: 'a'.repeat(40) },
    '.gitattributes': '* filter=evil diff=evil\n*.bin filter=lfs\nhidden export-ignore\n',
    '.lfsconfig': `[lfs]\n\turl = http://127.0.0.1:1\n[filter "evil"]\n\tsmudge = touch ${mark}\n`,
    'big.bin': 'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n',
    hidden: 'seen',
    '.githooks/post-checkout': { executable: `#!/bin/sh\ntouch ${mark}\n` },
  });
  await (await fetchCommit(sha)).checkout(['.'], join(dataDir, 'out'));
  expect(existsSync(mark)).toBe(false);
  expect(await readFile(join(dataDir, 'out', 'big.bin'), 'utf8')).toContain('git-lfs');
  expect(await readFile(join(dataDir, 'out', 'hidden'), 'utf8')).toBe('seen');
  const submodule = await readdir(join(dataDir, 'out', 'evil')).catch(() => []);
  expect(submodule).toEqual([]);
});

test.each(['feat/$(id)', 'feat;id', 'a<!--b', '@everyone', 'é🦀', '--upload-pack=id', '`id`'])('a branch named %s', async (name) => {
  const sha = await server.commit({ a: name }, `refs/heads/${name.startsWith('-') ? `x${name}` : name}`);
  expect((await (await fetchCommit(sha, { ref: `refs/heads/${name}` })).read('a', 100))?.toString()).toBe(name);
});

test('a server that gives out no unnamed commits is asked by reference', async () => {
  const sha = await server.commit({ a: 'by reference' }, 'refs/pull/12/head');
  for (const what of ['AnySHA1', 'TipSHA1', 'ReachableSHA1']) await server.git(['config', `uploadpack.allow${what}InWant`, 'false']);
  try {
    await server.git(['config', 'uploadpack.hideRefs', 'refs/none']);
    const snapshot = await fetchCommit(sha, { ref: 'refs/pull/12/head' });
    expect((await snapshot.read('a', 100))?.toString()).toBe('by reference');
  } finally {
    await server.git(['config', 'uploadpack.allowAnySHA1InWant', 'true']);
  }
});

test('T-B04: nothing is fetched by a reference that leads to another commit by now', async () => {
  const later = await server.commit({ a: 'nobody approved this' }, 'refs/pull/13/head');
  const gone = '1'.repeat(40);
  await expect(fetchCommit(gone, { ref: 'refs/pull/13/head' })).rejects.toMatchObject({ code: 'commit-gone' });
  const held = await promisify(execFile)('git', ['-C', cache(), 'cat-file', '-e', later]).catch(() => 'not there');
  expect(held).toBe('not there');
});

test('files are read up to a size, links never', async () => {
  const snapshot = await fetchCommit(await server.commit({ file: '12345', link: { link: 'file' } }));
  expect((await snapshot.read('file', 5))?.toString()).toBe('12345');
  expect(await snapshot.read('file', 4)).toBe('too-large');
  expect(await snapshot.read('link', 100)).toBeUndefined();
  expect(await snapshot.read('nothing', 100)).toBeUndefined();
});

test('files are saved up to a size, links never', async () => {
  const snapshot = await fetchCommit(await server.commit({ file: '12345', link: { link: 'file' } }));
  const to = join(dataDir, 'saved');
  expect(await snapshot.save('file', to, 4)).toBe('too-large');
  expect(await snapshot.save('link', to, 100)).toBeUndefined();
  expect(await snapshot.save('nothing', to, 100)).toBeUndefined();
  expect(existsSync(to)).toBe(false);
  expect(await snapshot.save('file', to, 5)).toBe('saved');
  expect(await readFile(to, 'utf8')).toBe('12345');
});

test('locks of a git that was killed do not stand in the way', async () => {
  const first = await server.commit({ a: 'first' });
  await fetchCommit(first);
  await Promise.all(['config.lock', 'HEAD.lock', 'shallow.lock'].map((name) => writeFile(join(cache(), name), '')));
  const second = await server.commit({ a: 'second' }, 'refs/heads/main', [first]);
  expect((await (await fetchCommit(second)).read('a', 100))?.toString()).toBe('second');
});

test('a cache that is broken is made anew', async () => {
  const first = await server.commit({ a: 'first' });
  await fetchCommit(first);
  await writeFile(join(cache(), 'HEAD'), 'nonsense');
  await rm(join(cache(), 'objects'), { recursive: true });
  expect((await (await fetchCommit(first)).read('a', 100))?.toString()).toBe('first');
});

test('a forge that fails for a moment is asked again', async () => {
  const sha = await server.commit({ a: 'patience' });
  server.fail(3);
  await fetchCommit(sha);
  expect(said.join()).toContain('trying again');
});

test('a forge that cannot be reached is a fault with the cause', async () => {
  const sha = await server.commit({ a: 'unreachable' });
  await expect(fetchCommit(sha, { url: 'http://127.0.0.1:1/repo.git' })).rejects.toMatchObject({
    code: 'fetch-failed',
    details: { attempts: '3' },
  });
  await expect(fetchCommit(sha, { url: 'file:///etc' })).rejects.toMatchObject({ code: 'fetch-failed' });
});

test('a commit that is no longer there is told as such', async () => {
  await expect(fetchCommit('c'.repeat(40))).rejects.toMatchObject({ code: 'commit-gone', details: { sha: 'ccccccc' } });
});

test('a fetch ends when it is aborted, and at its limit', async () => {
  const sha = await server.commit({ a: 'abort' });
  await expect(fetchCommit(sha, { signal: AbortSignal.abort(new Error('overtaken')) })).rejects.toThrow('overtaken');
  server.fail(1_000);
  const address = async () => ({ url: server.url, authorization: null });
  const order = { repository, address, sha: toSha(sha), signal: new AbortController().signal, limitMs: 200 };
  await expect(sources.fetch(order)).rejects.toMatchObject({ code: 'fetch-timeout', details: { limit: '0 s' } });
  server.fail(0);
});
