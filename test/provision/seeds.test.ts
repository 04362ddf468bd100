import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openSeeds } from '../../src/provision/seeds.ts';

let dataDir: string;
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'mayfly-seeds-'));
});
afterEach(() => rm(dataDir, { recursive: true, force: true }));

const hashOf = (content: string): string => createHash('sha256').update(content).digest('hex');

/** A commit with this seed, and how often it was read. */
function commitOf(content: string) {
  const seen = { saved: 0 };
  return {
    seen,
    tree: async () => hashOf(content).slice(0, 40),
    async save(_: string, file: string) {
      seen.saved += 1;
      await writeFile(file, content, { flag: 'wx' });
      return 'saved' as const;
    },
  };
}
const of = { repository: 'github-7', path: 'db/seed.sql' };

test('a seed is a file named for its content, and the next launch with the same one does not read it again', async () => {
  const seeds = await openSeeds(dataDir);
  // More than is read at a time.
  const content = 'select 1;\n'.repeat(100_000);
  const snapshot = commitOf(content);
  const kept = await seeds.keep({ snapshot, ...of });
  expect(kept).toEqual({ name: 'db/seed.sql', file: join(dataDir, 'seeds', `${hashOf(content)}.sql`), sha256: hashOf(content) });
  expect(await readFile(kept.file, 'utf8')).toBe(content);
  expect(await seeds.keep({ snapshot, ...of })).toEqual(kept);
  expect(snapshot.seen.saved).toBe(1);
  expect(await readdir(join(dataDir, 'seeds'))).toHaveLength(1);
});

test('one that was removed to make room is made again, and what git calls the same in another repository is looked at', async () => {
  const seeds = await openSeeds(dataDir);
  const snapshot = commitOf('select 1');
  const { file } = await seeds.keep({ snapshot, ...of });
  await rm(file);
  expect((await seeds.keep({ snapshot, ...of })).file).toBe(file);
  expect(await readFile(file, 'utf8')).toBe('select 1');
  await seeds.keep({ snapshot, ...of, repository: 'github-8' });
  expect(snapshot.seen.saved).toBe(3);
});

test('one that is not there, and one that is too large, are told as such, and nothing is left', async () => {
  const seeds = await openSeeds(dataDir);
  const keep = (saved: undefined | 'too-large') =>
    seeds.keep({ snapshot: { tree: async () => undefined, save: async () => saved }, ...of });
  await expect(keep(undefined)).rejects.toMatchObject({ code: 'seed-missing', details: { seed: 'db/seed.sql' } });
  await expect(keep('too-large')).rejects.toMatchObject({
    ...{ code: 'seed-failed', details: { seed: 'db/seed.sql', cause: 'it is larger than 64 MiB' } },
  });
  expect(await readdir(join(dataDir, 'seeds'))).toEqual([]);
});

test('what a crash left half-made goes at the next start', async () => {
  await openSeeds(dataDir);
  await writeFile(join(dataDir, 'seeds', '.half'), 'half');
  await openSeeds(dataDir);
  expect(await readdir(join(dataDir, 'seeds'))).toEqual([]);
});
