import { createHash, randomUUID } from 'node:crypto';
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { DatabaseWish } from '../site/ports.ts';
import { Fault } from '../site/problem.ts';
import { chunksOf } from './chunks.ts';
import type { Snapshot } from './snapshot.ts';
import { orDiskFull, touch } from './storage/disk.ts';

/** A seed is run as one text, which PostgreSQL holds in memory. */
const MAX_MIB = 64;
export const SEED_MAX_BYTES = MAX_MIB * 1024 * 1024;
export const seedTooLarge = (seed: string): Fault =>
  new Fault('seed-failed', { details: { seed, cause: `it is larger than ${MAX_MIB} MiB` } });
/** Seeds whose hash is remembered; then all are forgotten, and each is hashed once more. */
const MOST_KNOWN = 1_000;

type Seed = NonNullable<DatabaseWish['seed']>;
export type SeedOrder = {
  readonly snapshot: Pick<Snapshot, 'tree' | 'save'>;
  /** The repository's identity, e.g. `github-123`. */
  readonly repository: string;
  readonly path: string;
};

/** What databases are filled with, in `<dataDir>/seeds`, each file named for the hash of its content. */
export interface Seeds {
  /** The file at a path of a commit; the same content is the same file. Throws Fault `seed-missing`, `seed-failed` or `disk-full`. */
  keep(order: SeedOrder): Promise<Seed>;
}

/** Opens the seeds; what a crash left half-made is removed. */
export async function openSeeds(dataDir: string): Promise<Seeds> {
  const root = join(dataDir, 'seeds');
  await mkdir(root, { recursive: true, mode: 0o700 });
  for (const name of await readdir(root)) if (name.startsWith('.')) await rm(join(root, name), { force: true });
  const fileOf = (hash: string): string => join(root, `${hash}.sql`);
  /** Hashes by repository and git's id of the file: most launches have the seed of the one before. */
  const known = new Map<string, string>();
  return {
    async keep({ snapshot, repository, path }) {
      const id = `${repository} ${await snapshot.tree(path)}`;
      const before = known.get(id);
      // Before it is used: from here on nobody who makes room takes it.
      if (before !== undefined && (await touch(fileOf(before)))) return { name: path, file: fileOf(before), sha256: before };
      const half = join(root, `.${randomUUID()}`);
      try {
        const hash = await orDiskFull(() => saveHashed(snapshot, path, half));
        await rename(half, fileOf(hash));
        if (known.size >= MOST_KNOWN) known.clear();
        known.set(id, hash);
        return { name: path, file: fileOf(hash), sha256: hash };
      } finally {
        await rm(half, { force: true });
      }
    },
  };
}

async function saveHashed(snapshot: SeedOrder['snapshot'], path: string, file: string): Promise<string> {
  const saved = await snapshot.save(path, file, SEED_MAX_BYTES);
  if (saved === undefined) throw new Fault('seed-missing', { details: { seed: path } });
  if (saved === 'too-large') throw seedTooLarge(path);
  await using content = await open(file);
  const hash = createHash('sha256');
  for await (const chunk of chunksOf(content)) hash.update(chunk);
  return hash.digest('hex');
}
