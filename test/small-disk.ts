import { execFile } from 'node:child_process';
import { mkdtemp, rm, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const MIB = 1024 * 1024;

export type SmallDisk = AsyncDisposable & {
  readonly path: string;
  /** Makes it as large as what is on it and so much more. */
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
  return {
    path,
    async leave(mb) {
      const { blocks, bfree, bsize } = await statfs(path);
      await run('mount', ['-o', `remount,size=${(blocks - bfree) * bsize + mb * MIB}`, path]);
    },
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}
