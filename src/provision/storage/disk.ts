import { statfs, utimes } from 'node:fs/promises';
import { Fault } from '../../site/problem.ts';

/** No launch begins with less than this, and a build is stopped that would leave less, MiB: databases and logs of what runs need it. */
export const KEEP_FREE_MB = 512;
/** In shares of that: with less than so much left, what is only kept for later is not made any more, and what was kept goes… */
export const LITTLE = 2;
/** …until there is so much. */
export const ENOUGH = 4;
/**
 * What each file that may still be made counts for, since a disk that runs out of inodes is as full as one without bytes: twice what file
 * systems reckon with when they lay theirs out, so that only those that are really short of them count.
 */
const BYTES_PER_FILE = 32 * 1024;
const MIB = 1024 * 1024;

/** MiB that may still be written in the file system that `folder` is in. */
export async function freeMb(folder: string): Promise<number> {
  const { bavail, bsize, files, ffree } = await statfs(folder);
  // No number of files at all: they are made as they are needed.
  const byFiles = files === 0 ? Number.POSITIVE_INFINITY : ffree * BYTES_PER_FILE;
  return Math.floor(Math.min(bavail * bsize, byFiles) / MIB);
}

/** Throws Fault `disk-full` with less than `keptMb` left, whose cause tells the operator where. */
export async function refuseIfFull(folder: string, keptMb: number = KEEP_FREE_MB): Promise<void> {
  const free = await freeMb(folder);
  if (free < keptMb) throw new Fault('disk-full', { cause: new Error(`${free} MiB are left for ${folder}, less than ${keptMb} MiB`) });
}

/** Runs what writes to disk; a full disk becomes Fault `disk-full`, whichever program met it. */
export async function orDiskFull<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (isDiskFull(error)) throw new Fault('disk-full', { cause: error });
    throw error;
  }
}

/** PostgreSQL's 53100 is disk_full. */
const CODES: readonly unknown[] = ['ENOSPC', 'EDQUOT', '53100'];

/**
 * What PostgreSQL 18 says instead when a write failed among others that it copies a database with: tidying up after that comes before it
 * forgets what it was at (`createdb_failure_callback`, `pgaio_error_cleanup`), and fails in its turn. On a disk that works it is full.
 */
const LOST = 'starting batch while batch already in progress';

export function isDiskFull(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (('code' in error && CODES.includes(error.code)) || error.message === LOST) return true;
  return 'stderr' in error && saysDiskFull(String(error.stderr));
}

/** The C library's words for ENOSPC and EDQUOT, which Go has in lower case; git's own; and tar's, for a file of which only the beginning fits. */
const WORDS = /No space left on device|Disk quota exceeded|Out of diskspace|Wrote only \d+ of \d+ bytes/i;

/** Whether what a program said, run with LC_ALL=C, tells of a full disk. */
export const saysDiskFull = (said: string): boolean => WORDS.test(said);

/** Notes that a file or folder is used now; what was used longest ago goes first when room is made. @returns whether it is there */
export async function touch(path: string): Promise<boolean> {
  const now = new Date();
  return utimes(path, now, now).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return false;
      throw error;
    },
  );
}
