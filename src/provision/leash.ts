import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Leash } from './git.ts';

const PROBE = [
  '--unshare-pid',
  '--unshare-uts',
  '--hostname',
  'probe',
  '--die-with-parent',
  '--dev-bind',
  '/',
  '/',
  '--proc',
  '/proc',
  '--',
  'true',
];

/** How our own children are held where no sandbox is opened: in a process namespace if this machine makes one. */
export const findLeash = (): Promise<Leash> =>
  promisify(execFile)('bwrap', PROBE, { timeout: 10_000 }).then(
    () => 'bubblewrap' as const,
    // Not installed, or not allowed: whichever, it is done without.
    () => 'setpriv' as const,
  );
