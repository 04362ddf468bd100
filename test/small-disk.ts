import { execFile } from 'node:child_process';
import { mkdtemp, rm, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const MIB = 1024 * 1024;

/** More than anything writes between a look at the disk and its new size, which the kernel refuses when it is less than what is on it. */
const SPARE = 64 * MIB;

export type SmallDisk = AsyncDisposable & {
  readonly path: string;
  /** Leaves room for so much more than is on it now; for nothing at all when that is 0. */
  leave(mb: number): Promise<void>;
};

/** A file system of its own, in memory. Its size costs nothing until it is written. */
export async function mountSmallDisk(mb: number): Promise<SmallDisk> {
  await using opening = new AsyncDisposableStack();
  const path = opening.adopt(await mkdtemp(join(tmpdir(), 'mayfly-disk-')), (made) => rm(made, { recursive: true, force: true }));
  await run('mount', ['-t', 'tmpfs', '-o', `size=${mb}m,mode=711`, 'mayfly-test', path]);
  // Lazily: whoever still has a file open there must not keep the test from ending.
  opening.defer(async () => void (await run('umount', ['--lazy', path])));
  const opened = opening.move();
  const filler = join(path, '.filler');
  return {
    path,
    async leave(mb) {
      await rm(filler, { force: true });
      const { blocks, bfree, bsize } = await statfs(path);
      await run('mount', ['-o', `remount,size=${(blocks - bfree) * bsize + mb * MIB + SPARE}`, path]);
      await fill(filler, mb === 0 ? 2 * SPARE : SPARE);
    },
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

/** Writes so many bytes, or all that there is room for. */
async function fill(file: string, bytes: number): Promise<void> {
  try {
    await writeFile(file, Buffer.alloc(bytes));
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) throw error;
  }
}
