import { execFile } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { Fault } from '../site/problem.ts';

const run = promisify(execFile);
const ENV = { PATH: '/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C' };

/** Copies a folder as it is (links stay links), sharing blocks where the file system can. `to` must not exist; its parent may not. */
export async function copyFolder(from: string, to: string, signal?: AbortSignal): Promise<void> {
  await mkdir(dirname(to), { recursive: true });
  await orDiskFull(() => run('cp', ['-a', '--reflink=auto', '--', from, to], { env: ENV, ...(signal ? { signal } : {}) }));
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

function isDiskFull(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if ('code' in error && (error.code === 'ENOSPC' || error.code === 'EDQUOT')) return true;
  const said = 'stderr' in error ? String(error.stderr) : '';
  // Programs run with LC_ALL=C say it in these words (strerror of ENOSPC and EDQUOT).
  return /No space left on device|Disk quota exceeded/.test(said);
}
