import { execFile } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { orDiskFull } from './storage/disk.ts';

const run = promisify(execFile);
const ENV = { PATH: '/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C' };

/** Copies a folder as it is (links stay links), sharing blocks where the file system can. `to` must not exist; its parent may not. */
export async function copyFolder(from: string, to: string, signal?: AbortSignal): Promise<void> {
  await mkdir(dirname(to), { recursive: true });
  await orDiskFull(() => run('cp', ['-a', '--reflink=auto', '--', from, to], { env: ENV, ...(signal ? { signal } : {}) }));
}
