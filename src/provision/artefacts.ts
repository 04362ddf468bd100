import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { FolderArtefact } from '../site/ports.ts';
import type { RepoConfig } from '../site/repo-config.ts';
import type { Trust } from '../site/site.ts';
import { namesIn } from './names-in.ts';
import type { Snapshot } from './snapshot.ts';
import { orDiskFull } from './storage/disk.ts';

/** Bumped when builds of this Mayfly are no longer the same as those before. */
const FORMAT = 1;

const Marker = z.object({
  runtime: z.union([
    z.object({ kind: z.literal('process'), command: z.string(), cwd: z.string() }),
    z.object({ kind: z.literal('static'), output: z.string() }),
  ]),
  detected: z.string(),
});
export type Made = z.infer<typeof Marker>;
export type BuildConfig = Pick<RepoConfig, 'root' | 'include' | 'build' | 'start' | 'output' | 'env'>;

/** Hash over everything that a build depends on: the trees, the settings, the Node version, whose code it is. */
export async function artefactKey(
  snapshot: Snapshot,
  config: BuildConfig,
  of: { readonly repository: string; readonly trust: Trust },
): Promise<string> {
  const { root, include, build, start, output, env } = config;
  const trees = await Promise.all([root, ...include].map(async (path) => [path, (await snapshot.tree(path)) ?? null]));
  const settings = { build, start, output, env: Object.entries(env).sort(([one], [other]) => (one < other ? -1 : 1)) };
  return sha256(JSON.stringify([FORMAT, of.repository, of.trust, process.version, process.arch, trees, settings]));
}

export const sha256 = (content: string | Buffer): string => createHash('sha256').update(content).digest('hex');

/** What builds made, in `<dataDir>/artefacts/<key>`: owned by us, only read from then on. */
export interface Artefacts {
  /** Every key; what is only half made has none. */
  keys(): Promise<readonly string[]>;
  find(key: string): Promise<FolderArtefact | undefined>;
  /** Takes `folder` (on the same file system) as the artefact's. When another build was faster, its artefact stays and is returned. */
  keep(key: string, folder: string, made: Made): Promise<FolderArtefact>;
  remove(key: string): Promise<void>;
}

/** Opens `<dataDir>/artefacts`; what a crash left half-made is removed. */
export async function openArtefacts(dataDir: string): Promise<Artefacts> {
  const root = join(dataDir, 'artefacts');
  await mkdir(root, { recursive: true, mode: 0o700 });
  for (const name of await readdir(root)) if (name.startsWith('.')) await rm(join(root, name), { recursive: true, force: true });
  const find = async (key: string): Promise<FolderArtefact | undefined> => {
    const home = join(root, key);
    // Written last, so a half-made artefact has none.
    const text = await readFile(join(home, 'artefact.json'), 'utf8').catch(() => undefined);
    const marker = text === undefined ? undefined : Marker.safeParse(JSON.parse(text)).data;
    return marker && { key, folder: join(home, 'files'), ...marker };
  };
  return {
    keys: () => artefactKeys(dataDir),
    find,
    async keep(key, folder, made) {
      const half = join(root, `.${key}.${process.pid}.${sha256(folder).slice(0, 8)}`);
      await rm(half, { recursive: true, force: true });
      await orDiskFull(async () => {
        await mkdir(half);
        await rename(folder, join(half, 'files'));
        await writeFile(join(half, 'artefact.json'), JSON.stringify(made));
      });
      // A folder without a marker is what a crash left.
      if ((await find(key)) === undefined) await rm(join(root, key), { recursive: true, force: true });
      await rename(half, join(root, key)).catch(() => rm(half, { recursive: true, force: true }));
      const kept = await find(key);
      if (kept === undefined) throw new Error(`artefact ${key} vanished while it was kept`);
      return kept;
    },
    remove: (key) => rm(join(root, key), { recursive: true, force: true }),
  };
}

/** Keys of the artefacts in a data dir, whoever has it. */
export const artefactKeys = async (dataDir: string): Promise<readonly string[]> =>
  (await namesIn(join(dataDir, 'artefacts'))).filter((name) => !name.startsWith('.'));
