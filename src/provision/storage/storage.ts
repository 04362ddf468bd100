import { renameSync, statSync, unlinkSync } from 'node:fs';
import { rm, statfs } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { Fault } from '../../site/problem.ts';
import type { ArtefactUsers } from '../artefact-users.ts';
import { oneAtATime } from '../one-at-a-time.ts';
import { ENOUGH, freeMb, isDiskFull, KEEP_FREE_MB, LITTLE, refuseIfFull } from './disk.ts';
import { type Bound, type Bounds, boundsFor, type Kept, measured, SHELVES } from './shelves.ts';

export type StorageOptions = {
  readonly dataDir: string;
  readonly users: Pick<ArtefactUsers, 'removeUnused'>;
  /** What may be kept on a disk of so many bytes; `boundsFor` unless given. */
  readonly bounds?: (disk: number) => Bounds;
  /** No launch begins with less; `KEEP_FREE_MB` unless given. */
  readonly keepFreeMb?: number;
};

export type Swept = { readonly removed: number; readonly freeMb: number; readonly isLow: boolean };

/**
 * The disk that launches share. What lies there only to be faster the next time, or to be read for a while, is bounded and goes when room
 * is needed, what was used longest ago first; what an unfinished launch has used since it began stays.
 */
export interface Storage {
  /**
   * Runs a launch. With little space left, room is made first. Throws Fault `disk-full` when there still is too little, and for whatever
   * goes wrong because the disk is full.
   */
  during<T>(launch: () => Promise<T>): Promise<T>;
  /** Removes what is beyond its bounds, and artefacts that nobody uses. */
  sweep(signal: AbortSignal): Promise<Swept>;
  /** With little space left, removes what is within its bounds as well, until there is enough. */
  makeRoom(): Promise<Swept>;
}

/** Some file systems note times by the second, and clocks are put right. */
const SLACK_MS = 60_000;

export function openStorage({ dataDir, users, bounds = boundsFor, keepFreeMb = KEEP_FREE_MB }: StorageOptions): Storage {
  const inTurn = oneAtATime();
  const beginnings = new Set<{ readonly at: number }>();
  const inUseSince = (): number => Math.min(...[...beginnings].map(({ at }) => at)) - SLACK_MS;
  const disk: Disk = { dataDir, users, bounds, keepFreeMb, inUseSince };
  const swept = async (removed: number): Promise<Swept> => {
    const free = await freeMb(dataDir);
    return { removed, freeMb: free, isLow: free < LITTLE * keepFreeMb };
  };
  const makeRoom = async (): Promise<Swept> => {
    const now = await swept(0);
    // Not in turn: a launch must not wait for a sweep to end when there is room.
    return now.isLow ? inTurn(async () => swept(await removeOldest(disk))) : now;
  };
  return {
    async during(launch) {
      await makeRoom();
      await refuseIfFull(dataDir, keepFreeMb);
      const beginning = { at: Date.now() };
      beginnings.add(beginning);
      try {
        return await launch();
      } catch (error) {
        // Not all say that it was the disk: a PostgreSQL that can't write its log just ends.
        const isUnexplained = !(error instanceof Fault) || error.code === 'deploy-failed';
        if (isDiskFull(error) || (isUnexplained && (await freeMb(dataDir)) < keepFreeMb)) throw new Fault('disk-full', { cause: error });
        throw error;
      } finally {
        beginnings.delete(beginning);
      }
    },
    makeRoom,
    sweep: (signal) => inTurn(async () => swept(await removeBeyond(disk, signal))),
  };
}

/** Makes room before anything is opened, which may need some itself: nothing but artefacts is in use then, and those stay. */
export const makeRoomIn = (dataDir: string): Promise<Swept> => openStorage({ dataDir, users: { removeUnused: async () => 0 } }).makeRoom();

type Disk = Required<StorageOptions> & {
  /** What was used since then stays. */
  readonly inUseSince: () => number;
};

/** @returns how much was removed */
async function removeBeyond({ dataDir, users, bounds, inUseSince }: Disk, signal: AbortSignal): Promise<number> {
  let removed = await users.removeUnused();
  const { blocks, bsize } = await statfs(dataDir);
  const bound = bounds(blocks * bsize);
  for (const { name, list } of SHELVES) {
    const kept = await list(join(dataDir, name));
    const over = kept.length === 0 ? [] : beyond(kept, bound[name], await measured(join(dataDir, name), signal));
    for (const one of over) if (await remove(one, inUseSince())) removed += 1;
  }
  return removed;
}

async function removeOldest({ dataDir, users, keepFreeMb, inUseSince }: Disk): Promise<number> {
  let removed = await users.removeUnused();
  const kept = (await Promise.all(SHELVES.map(({ name, list }) => list(join(dataDir, name))))).flat();
  for (const oldest of kept.sort(byUse)) {
    if ((await freeMb(dataDir)) >= ENOUGH * keepFreeMb) break;
    if (await remove(oldest, inUseSince())) removed += 1;
  }
  return removed;
}

const byUse = (one: Kept, other: Kept): number => one.usedAt - other.usedAt;

/** What is too large, too many, or no longer fits beside what was used later; the oldest first. */
function beyond(
  kept: readonly Kept[],
  { bytes, each = bytes, perSite = Number.POSITIVE_INFINITY }: Bound,
  sizes: ReadonlyMap<string, number>,
) {
  let sum = 0;
  const over: Kept[] = [];
  for (const one of [...kept].sort(byUse).reverse()) {
    const size = one.paths.reduce((total, path) => total + (sizes.get(path) ?? 0), 0);
    if (size > each || one.newer >= perSite || sum + size > bytes) over.push(one);
    else sum += size;
  }
  return over.reverse();
}

/** @returns false when an unfinished launch has used it, or when it is gone already */
async function remove({ paths }: Kept, inUseSince: number): Promise<boolean> {
  // All in one go: whoever has noted a use before this keeps it, whoever comes after finds nothing.
  const there = paths.flatMap((path) => {
    const stat = statSync(path, { throwIfNoEntry: false });
    return stat === undefined ? [] : [{ path, stat }];
  });
  if (there.length === 0 || there.some(({ stat }) => stat.mtimeMs >= inUseSince)) return false;
  const folders: string[] = [];
  for (const { path, stat } of there) {
    if (!stat.isDirectory()) {
      unlinkSync(path);
      continue;
    }
    const aside = join(dirname(path), `.gone-${basename(path)}-${performance.now()}`);
    renameSync(path, aside);
    folders.push(aside);
  }
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
  return true;
}
