import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openArtefacts } from '../../src/provision/artefacts.ts';
import { copyFolder } from '../../src/provision/copy.ts';
import { openDependencies } from '../../src/provision/dependencies.ts';
import { openLaunchLog } from '../../src/provision/log.ts';
import { publish } from '../../src/provision/output.ts';
import { openSeeds } from '../../src/provision/seeds.ts';
import { openSources } from '../../src/provision/source.ts';
import { orDiskFull } from '../../src/provision/storage/disk.ts';
import { openAppLog } from '../../src/provision/targets/local/app-log.ts';
import { parseRepositoryId, parseSha, toForgeId, toLaunchId, toSiteId } from '../../src/site/identity.ts';
import { mountSmallDisk, type SmallDisk } from '../small-disk.ts';
import { createBuilder } from './builder.ts';
import { createGitServer } from './git-server.ts';

const FULL = { code: 'disk-full' } as const;
const MIB = 1024 * 1024;

let disk: SmallDisk;
let elsewhere: string;
beforeEach(async () => {
  disk = await mountSmallDisk(64);
  elsewhere = await mkdtemp(join(tmpdir(), 'mayfly-elsewhere-'));
});
afterEach(async () => {
  await disk[Symbol.asyncDispose]();
  await rm(elsewhere, { recursive: true, force: true });
});

/** Files that no packing makes smaller. */
const noise = (files: number, bytes: number) =>
  Object.fromEntries(Array.from({ length: files }, (_, n) => [`f${n}`, randomBytes(bytes).toString('latin1')]));

describe('source', () => {
  const id = parseRepositoryId(7) ?? expect.fail('7 is no id');

  async function openSource(files: Readonly<Record<string, string>>) {
    const server = await createGitServer();
    const sha = parseSha(await server.commit(files)) ?? expect.fail('no sha');
    const said: string[] = [];
    const sources = await openSources({ dataDir: disk.path, log: (line) => void said.push(line) });
    const address = async () => ({ url: server.url, authorization: null });
    const { signal } = new AbortController();
    return {
      said,
      fetchCommit: () => sources.fetch({ repository: { forge: toForgeId('github'), id }, address, sha, signal }),
      [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
    };
  }
  const packs = async () => (await readdir(join(disk.path, 'sources/github-7.git/objects/pack'))).filter((name) => name.startsWith('tmp_'));

  test('a fetch says it and leaves no half pack; with room it works', async () => {
    await using source = await openSource(noise(4, MIB));
    await disk.leave(2);
    await expect(source.fetchCommit()).rejects.toMatchObject(FULL);
    expect(await packs()).toEqual([]);
    await disk.leave(32);
    expect((await source.fetchCommit()).sha).toMatch(/^[0-9a-f]{40}$/);
    expect(source.said).toEqual([]);
  });

  test('a seed that can’t be kept says so', async () => {
    await using source = await openSource(noise(1, 4 * MIB));
    const snapshot = await source.fetchCommit();
    const seeds = await openSeeds(disk.path);
    const keep = () => seeds.keep({ snapshot, repository: 'github-7', path: 'f0' });
    await disk.leave(1);
    await expect(keep()).rejects.toMatchObject(FULL);
    expect(await readdir(join(disk.path, 'seeds'))).toEqual([]);
    await disk.leave(32);
    expect(await keep()).toMatchObject({ name: 'f0' });
  });

  test.each([0, 2])('a checkout with %i MiB left says it, and the cache is not taken for damaged', async (free) => {
    await using source = await openSource(noise(4, MIB));
    const snapshot = await source.fetchCommit();
    await disk.leave(free);
    await expect(snapshot.checkout(['.'], join(disk.path, 'out'))).rejects.toMatchObject(FULL);
    await rm(join(disk.path, 'out'), { recursive: true, force: true });
    await disk.leave(32);
    await snapshot.checkout(['.'], join(disk.path, 'out'));
    expect(await readdir(join(disk.path, 'out'))).toHaveLength(4);
  });
});

describe('build', () => {
  test('one that fills the disk before anybody looked says so, not how its command ended, and nothing of it stays', async () => {
    await using b = await createBuilder({ dataDir: disk.path });
    const files = { 'package.json': '{}', 'build.sh': 'mkdir dist && head -c 100000000 /dev/zero > dist/large' };
    await expect(b.build(files, { config: { build: 'sh build.sh', output: 'dist' } })).rejects.toMatchObject(FULL);
    expect(b.said()).toContain('No space left on device');
    expect((await readdir(join(disk.path, 'work'))).filter((name) => !name.startsWith('.'))).toEqual([]);
  });

  test('what a build made can’t be published, kept or copied: it says so', async () => {
    const from = join(elsewhere, 'dist');
    await mkdir(from);
    await writeFile(join(from, 'large'), randomBytes(4 * MIB));
    const artefacts = await openArtefacts(disk.path);
    await disk.leave(2);
    await expect(orDiskFull(() => publish(from, join(disk.path, 'out'), { log: () => {} }))).rejects.toMatchObject(FULL);
    await rm(join(disk.path, 'out'), { recursive: true, force: true });
    await expect(copyFolder(from, join(disk.path, 'copy'))).rejects.toMatchObject(FULL);
    await disk.leave(0);
    await mkdir(join(elsewhere, 'files'));
    await expect(
      artefacts.keep('key', join(disk.path, 'copy'), { runtime: { kind: 'static', output: '.' }, detected: '' }),
    ).rejects.toMatchObject(FULL);
  });

  test('dependencies that can’t be unpacked say so; those that can’t be kept cost the next build its time and nothing else', async () => {
    await mkdir(join(elsewhere, 'app/node_modules'), { recursive: true });
    await writeFile(join(elsewhere, 'app/node_modules/large.js'), randomBytes(4 * MIB));
    await using roomy = await openDependencies(elsewhere);
    expect(await roomy.keep('key', join(elsewhere, 'app'))).toBe(true);
    await disk.leave(2);
    await expect(roomy.restore('key', disk.path)).rejects.toMatchObject(FULL);
    await using cramped = await openDependencies(disk.path);
    expect(await cramped.keep('key', join(elsewhere, 'app'))).toBe(false);
    expect(await readdir(join(disk.path, 'dependencies'))).toEqual([]);
  });
});

describe('logs', () => {
  test.each([0, 1])('a launch’s log with %i MiB left costs its file alone: the end is still told, and it closes', async (free) => {
    await disk.leave(free);
    const log = await openLaunchLog({ dataDir: disk.path, site: toSiteId('s1'), launch: toLaunchId('l1') });
    for (let n = 0; n < 2_000; n++) log.write(`${'x'.repeat(1_000)}\n`);
    log.write('the end\n');
    expect(await log.tail({ lines: 1, maxBytes: 100 })).toBe('the end');
    await log[Symbol.asyncDispose]();
    await log[Symbol.asyncDispose]();
  });

  test('an app’s log that can’t be written closes all the same', async () => {
    await disk.leave(1);
    const log = await openAppLog(join(disk.path, 'logs/s1/app.log'));
    for (let n = 0; n < 8; n++) log.write('x'.repeat(MIB / 2));
    await log[Symbol.asyncDispose]();
    expect((await readFile(join(disk.path, 'logs/s1/app.log'))).length).toBeLessThanOrEqual(MIB);
  });
});
