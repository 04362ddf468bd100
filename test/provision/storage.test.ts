import { mkdir, readdir, utimes, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type ArtefactUsers, openArtefactUsers } from '../../src/provision/artefact-users.ts';
import { openArtefacts } from '../../src/provision/artefacts.ts';
import { openDependencies } from '../../src/provision/dependencies.ts';
import { openSeeds } from '../../src/provision/seeds.ts';
import { openSources } from '../../src/provision/source.ts';
import { touch } from '../../src/provision/storage/disk.ts';
import type { Bounds } from '../../src/provision/storage/shelves.ts';
import { openStorage } from '../../src/provision/storage/storage.ts';
import { parseRepositoryId, parseSha, toForgeId, toLaunchId, toSiteId } from '../../src/site/identity.ts';
import { mountSmallDisk, type SmallDisk } from '../small-disk.ts';
import { createGitServer } from './git-server.ts';

const MIB = 1024 * 1024;
const HOUR_MS = 3_600_000;
const KEEP_FREE_MB = 2;
const none = { bytes: Number.POSITIVE_INFINITY };
const BOUNDLESS: Bounds = { dependencies: none, sources: none, seeds: none, logs: none };
const { signal } = new AbortController();

let disk: SmallDisk;
let dataDir: string;
let users: ArtefactUsers;
beforeEach(async () => {
  disk = await mountSmallDisk(64);
  dataDir = disk.path;
  for (const name of ['dependencies', 'sources', 'seeds', 'logs']) await mkdir(join(dataDir, name));
  users = await openArtefactUsers(dataDir, await openArtefacts(dataDir));
});
afterEach(() => disk[Symbol.asyncDispose]());

const open = (bounds: Partial<Bounds> = {}) =>
  openStorage({ dataDir, users, bounds: () => ({ ...BOUNDLESS, ...bounds }), keepFreeMb: KEEP_FREE_MB });

/** A file that was last used so many hours ago; its folders too. */
async function put(path: string, { hours, mb = 1 }: { readonly hours: number; readonly mb?: number }): Promise<void> {
  const file = join(dataDir, path);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, Buffer.alloc(mb * MIB));
  const then = new Date(Date.now() - hours * HOUR_MS);
  for (let at = file; dirname(at) !== dataDir; at = dirname(at)) await utimes(at, then, then);
}
const has = async (folder: string): Promise<readonly string[]> => (await readdir(join(dataDir, folder))).sort();
const launchLog = (n: number): string => `01JD${String(n).padStart(22, '0')}.log`;

describe('what is beyond its bounds goes', () => {
  test('what was used longest ago first, and an archive with its spare', async () => {
    await put('dependencies/old.tar', { hours: 9 });
    await put('dependencies/old.spare/node_modules/a/index.js', { hours: 9 });
    await put('dependencies/spare-used.tar', { hours: 8 });
    await put('dependencies/spare-used.spare/node_modules/b.js', { hours: 1 });
    await put('dependencies/new.tar', { hours: 2 });
    await put('dependencies/.half-1-0', { hours: 9 });
    expect(await open({ dependencies: { bytes: 3.5 * MIB } }).sweep(signal)).toMatchObject({ removed: 1, isLow: false });
    expect(await has('dependencies')).toEqual(['.half-1-0', 'new.tar', 'spare-used.spare', 'spare-used.tar']);
  });

  test('one that is too large goes alone, the older ones stay', async () => {
    await put('sources/github-1.git/objects/pack/a.pack', { hours: 5 });
    await put('sources/github-2.git/objects/pack/b.pack', { hours: 1, mb: 4 });
    await open({ sources: { bytes: 10 * MIB, each: 3 * MIB } }).sweep(signal);
    expect(await has('sources')).toEqual(['github-1.git']);
  });

  test('seeds, also those that were never finished', async () => {
    await put('seeds/a.sql', { hours: 3 });
    await put('seeds/b.sql.4711.12', { hours: 2 });
    await put('seeds/c.sql', { hours: 1 });
    await open({ seeds: { bytes: 1.5 * MIB } }).sweep(signal);
    expect(await has('seeds')).toEqual(['c.sql']);
  });

  test('logs of launches: the oldest of each site beyond a number, then of all beyond a size, never a site’s newest', async () => {
    for (let n = 1; n <= 5; n++) await put(`logs/busy/${launchLog(n)}`, { hours: 20 - n });
    await put(`logs/quiet/${launchLog(1)}`, { hours: 99 });
    await put('logs/quiet/app.log', { hours: 99 });
    await put('logs/quiet/access.log.1', { hours: 99 });
    const storage = open({ logs: { bytes: none.bytes, perSite: 3 } });
    await storage.sweep(signal);
    expect([await has('logs/busy'), await has('logs/quiet')]).toEqual([
      [3, 4, 5].map(launchLog),
      [launchLog(1), 'access.log.1', 'app.log'],
    ]);
    await open({ logs: { bytes: 1.5 * MIB, perSite: 3 } }).sweep(signal);
    expect([await has('logs/busy'), await has('logs/quiet')]).toEqual([[4, 5].map(launchLog), [launchLog(1), 'access.log.1', 'app.log']]);
  });

  test('artefacts that nobody uses, which a crash leaves; never one that a site or a launch uses', async () => {
    const [site, launch] = [toSiteId('S1'), toLaunchId('L1')];
    for (const key of ['used', 'unused', '.being-made']) await put(`artefacts/${key}/files/index.html`, { hours: 50 });
    await users.use(site, launch, 'used');
    expect(await open().sweep(signal)).toMatchObject({ removed: 1 });
    expect(await has('artefacts')).toEqual(['.being-made', 'used']);
    await users.useOnly(site, launch);
    await open().sweep(signal);
    expect(await has('artefacts')).toEqual(['.being-made', 'used']);
  });

  test('nothing is removed when it can’t be read who uses which artefact', async () => {
    await put('artefacts/a/files/index.html', { hours: 50 });
    await mkdir(join(dataDir, 'artefact-users', 'S1'));
    await expect(open().sweep(signal)).rejects.toMatchObject({ code: 'EISDIR' });
    expect(await has('artefacts')).toEqual(['a']);
  });
});

describe('with little space left', () => {
  /** Four of a MiB on four shelves, and so much more space. */
  const fill = async (freeMb: number): Promise<void> => {
    await put('dependencies/d.tar', { hours: 4 });
    await put('sources/s.git/objects/pack/p.pack', { hours: 3 });
    await put(`logs/busy/${launchLog(1)}`, { hours: 2 });
    await put(`logs/busy/${launchLog(2)}`, { hours: 2 });
    await put('seeds/e.sql', { hours: 1 });
    await disk.leave(freeMb);
  };
  const all = async (): Promise<readonly string[]> =>
    (await Promise.all(['dependencies', 'sources', 'logs/busy', 'seeds'].map((name) => has(name)))).flat();

  test('what is within its bounds goes, too, oldest first over all of it, until there is enough', async () => {
    await fill(5);
    expect(await open().makeRoom()).toMatchObject({ removed: 0, isLow: false });
    await disk.leave(3);
    await put('artefacts/unused/files/index.html', { hours: 0, mb: 2 });
    // 1 MiB is free; 2 of the artefact, then one each, until there are 4 × 2.
    const swept = await open().makeRoom();
    expect(swept.removed).toBe(5);
    expect(await all()).toEqual([launchLog(2)]);
  });

  test('no more goes than is needed', async () => {
    await put('dependencies/large.tar', { hours: 5, mb: 5 });
    await fill(3);
    expect(await open().makeRoom()).toMatchObject({ removed: 1, freeMb: 8, isLow: false });
    expect(await all()).toEqual(['d.tar', 's.git', launchLog(1), launchLog(2), 'e.sql']);
  });

  test('what an unfinished launch uses stays; once it is over, it may go', async () => {
    await fill(5);
    const storage = open();
    const seeds = await openSeeds(dataDir);
    const snapshot = {
      tree: async () => 'id',
      save: async (_: string, to: string) => writeFile(to, Buffer.alloc(MIB, 'x')).then(() => 'saved' as const),
    };
    const keep = () => seeds.keep({ snapshot, repository: 'github-7', path: 'seed.sql' });
    const dependencies = await openDependencies(dataDir);
    await storage.during(async () => {
      const { file } = await keep();
      await touch(join(dataDir, 'sources', 's.git'));
      // An archive that is none: it is in use from the moment that it is asked for.
      await dependencies.restore('d', dataDir).catch(() => undefined);
      const longAgo = new Date(Date.now() - 9 * HOUR_MS);
      await disk.leave(1);
      await storage.makeRoom();
      expect(await all()).toEqual(['d.tar', 's.git', launchLog(2), file.slice(join(dataDir, 'seeds').length + 1)]);
      // The same seed for another launch counts as a use, however old it is.
      await utimes(file, longAgo, longAgo);
      await keep();
      await storage.makeRoom();
      expect(await has('seeds')).toHaveLength(1);
    });
    await disk.leave(1);
    await storage.makeRoom();
    expect(await all()).toEqual([launchLog(2)]);
  });

  test('a source cache stays while a launch reads from it; dropped after that, the next fetch makes it anew', async () => {
    await using server = await createGitServer();
    const sha = parseSha(await server.commit({ 'index.html': 'kept' })) ?? expect.fail('no sha');
    const id = parseRepositoryId(7) ?? expect.fail('7 is no id');
    const sources = await openSources({ dataDir, log: expect.fail });
    const address = async () => ({ url: server.url, authorization: null });
    const storage = open();
    const read = () =>
      storage.during(async () => {
        const snapshot = await sources.fetch({ repository: { forge: toForgeId('github'), id }, address, sha, signal });
        await disk.leave(1);
        await storage.makeRoom();
        const content = await snapshot.read('index.html', 100);
        await disk.leave(32);
        return content?.toString();
      });
    expect([await read(), await has('sources')]).toEqual(['kept', ['github-7.git']]);
    const requests = server.seen.length;
    const longAgo = new Date(Date.now() - 9 * HOUR_MS);
    await utimes(join(dataDir, 'sources', 'github-7.git'), longAgo, longAgo);
    expect([await read(), server.seen.length]).toEqual(['kept', requests]);
    await disk.leave(1);
    await storage.makeRoom();
    expect(await has('sources')).toEqual([]);
    await disk.leave(32);
    expect(await read()).toBe('kept');
  });

  test('dependencies that were removed are not there, and that is no failure', async () => {
    await fill(1);
    await open().makeRoom();
    expect(await (await openDependencies(dataDir)).restore('d', dataDir)).toBe(false);
  });

  test('a launch does not begin on a disk that is full of what can’t go; room is made for it where it can', async () => {
    await put('work/somebody/elses', { hours: 1, mb: 8 });
    await disk.leave(1);
    let begun = 0;
    const launch = async (): Promise<void> => void begun++;
    await expect(open().during(launch)).rejects.toMatchObject({ code: 'disk-full', cause: { message: expect.stringContaining('1 MiB') } });
    expect(begun).toBe(0);
    await disk.leave(10);
    await put('seeds/large.sql', { hours: 1, mb: 9 });
    await open().during(launch);
    expect([begun, await has('seeds')]).toEqual([1, []]);
  });
});

test('whatever goes wrong for a full disk is told as that; everything else as what it is', async () => {
  const failing = (error: unknown) =>
    open().during(() => {
      throw error;
    });
  const said = (code: string) => Object.assign(new Error(code), { code });
  for (const code of ['ENOSPC', 'EDQUOT', '53100']) await expect(failing(said(code))).rejects.toMatchObject({ code: 'disk-full' });
  const lost = new Error('starting batch while batch already in progress');
  await expect(failing(lost)).rejects.toMatchObject({ code: 'disk-full' });
  await expect(failing(said('EACCES'))).rejects.toMatchObject({ code: 'EACCES' });
  await expect(
    open().during(async () => {
      await disk.leave(1);
      throw new Error('terminating connection because of crash of another server process');
    }),
  ).rejects.toMatchObject({ code: 'disk-full' });
});
