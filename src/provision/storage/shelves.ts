import { execFile } from 'node:child_process';
import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { namesIn } from '../names-in.ts';

const run = promisify(execFile);
const GIB = 1024 ** 3;

/** What goes together or stays together. */
export type Kept = {
  readonly paths: readonly string[];
  /** When any of it was last used, in milliseconds since 1970. */
  readonly usedAt: number;
  /** How many newer ones of the same site there are; 0 where sites don't matter. */
  readonly newer: number;
};

/** Where what is only kept to be faster, or for a while, lies in the data dir, and what may go of it. */
export const SHELVES: readonly Shelf[] = [
  // An archive goes with its spare.
  { name: 'dependencies', list: (folder) => listed(folder, (name) => name.replace(/\.(?:tar|spare)$/, '')) },
  { name: 'sources', list: (folder) => listed(folder) },
  { name: 'seeds', list: (folder) => listed(folder) },
  { name: 'logs', list: launchLogs },
];
type Shelf = { readonly name: ShelfName; readonly list: (folder: string) => Promise<readonly Kept[]> };
type ShelfName = 'dependencies' | 'sources' | 'seeds' | 'logs';

export type Bound = {
  /** All of it together. */
  readonly bytes: number;
  /** One of them. */
  readonly each?: number;
  /** Of one site, by number. */
  readonly perSite?: number;
};
export type Bounds = Readonly<Record<ShelfName, Bound>>;

/** The bounds on a disk of so many bytes: a share of it, since disks differ, and on a large one no more than is of use. */
export function boundsFor(disk: number): Bounds {
  const atMost = (share: number, gib: number): number => Math.min(disk * share, gib * GIB);
  return {
    // About 40 lock files: an app with 300 packages weighs 250 MiB, and as much again for its spare.
    dependencies: { bytes: atMost(0.1, 20) },
    // Each commit that was fetched stays; one repository that is pushed to all day must not push out all the others.
    sources: { bytes: atMost(0.1, 20), each: atMost(0.025, 5) },
    // At most 64 MiB each, and of no use once the database's template is made.
    seeds: { bytes: atMost(0.01, 1) },
    // At most 10 MiB each, mostly a few KiB; the end of each is in the database as well.
    logs: { bytes: atMost(0.02, 2), perSite: 20 },
  };
}

/** What is in a folder, by the key that `keyOf` makes of its name. Names that begin with a dot are being made or on their way out. */
async function listed(folder: string, keyOf: (name: string) => string = (name) => name): Promise<readonly Kept[]> {
  const kept = new Map<string, Kept>();
  for (const name of (await namesIn(folder)).filter((one) => !one.startsWith('.'))) {
    const usedAt = await usedAtOf(join(folder, name));
    const { paths = [], usedAt: before = 0 } = kept.get(keyOf(name)) ?? {};
    kept.set(keyOf(name), { paths: [...paths, join(folder, name)], usedAt: Math.max(before, usedAt), newer: 0 });
  }
  return [...kept.values()];
}

/** Named by the launch's id, a ULID, whose order is that of time; an app's own log and the visitors' are bounded where they are written. */
const LAUNCH_LOG = /^[0-9A-HJKMNP-TV-Z]{26}\.log$/;

async function launchLogs(folder: string): Promise<readonly Kept[]> {
  const kept: Kept[] = [];
  for (const site of await namesIn(folder)) {
    const names = (await namesIn(join(folder, site))).filter((name) => LAUNCH_LOG.test(name));
    // The newest stays: it may be written at this moment, and it is the one that people ask for.
    for (const [newer, name] of names.toReversed().entries()) {
      const path = join(folder, site, name);
      if (newer > 0) kept.push({ paths: [path], usedAt: await usedAtOf(path), newer });
    }
  }
  return kept;
}

/** Bytes on disk by path, down to the second level below `folder`. */
export async function measured(folder: string, signal: AbortSignal): Promise<ReadonlyMap<string, number>> {
  const args = ['-n', '19', 'du', '-0xa', '-B1', '--max-depth=2', '--', folder];
  const options = { env: { PATH: '/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C' }, maxBuffer: 256 * 1024 * 1024, signal };
  const { stdout } = await run('nice', args, options).catch((error: unknown) => {
    signal.throwIfAborted();
    // It complains about what goes while it counts, and counts on.
    if (error instanceof Error && 'stdout' in error && error.stdout !== '') return { stdout: String(error.stdout) };
    throw error;
  });
  const lines = stdout.split('\0').filter((line) => line !== '');
  return new Map(lines.map((line) => [line.slice(line.indexOf('\t') + 1), Number(line.slice(0, line.indexOf('\t')))]));
}

/** Something that is gone by now was used never. */
const usedAtOf = (path: string): Promise<number> =>
  lstat(path).then(
    ({ mtimeMs }) => mtimeMs,
    () => 0,
  );
