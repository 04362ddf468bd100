import { mkdir, open, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Sha } from '../site/identity.ts';
import { Fault } from '../site/problem.ts';
import { must } from './git.ts';
import { orDiskFull, refuseIfFull } from './storage/disk.ts';

/** The files of one commit. Paths are relative to the repository's root, with `/`; `.` is the root itself. */
export interface Snapshot {
  readonly sha: Sha;
  /** Git's id of the folder or file at `path`; undefined when there is none. The same id is the same content. */
  tree(path: string): Promise<string | undefined>;
  /** A file's bytes; undefined when there is no plain file at `path`. */
  read(path: string, maxBytes: number): Promise<Buffer | 'too-large' | undefined>;
  /** The same into `file`, which must not exist: for what is large. */
  save(path: string, file: string, maxBytes: number): Promise<'saved' | 'too-large' | undefined>;
  /**
   * Writes the files at and below these paths into `folder`, at their places in the repository. Links stay links; submodules are empty
   * folders; LFS files their pointers; nothing that the repository configures is run.
   */
  checkout(paths: readonly string[], folder: string, signal?: AbortSignal): Promise<void>;
}

const inside = (path: string): string => (path === '.' ? '' : path.replace(/^\.\//, '').replace(/\/+$/, ''));

/** A commit that is in the cache. */
export function openSnapshot(folder: string, sha: Sha): Snapshot {
  const entry = async (path: string): Promise<{ readonly mode: string; readonly id: string } | undefined> => {
    const out = await must({ folder, args: ['ls-tree', '-z', '--full-tree', sha, '--', inside(path)] });
    const [, mode, id] = /^(\d{6}) \w+ ([0-9a-f]+)\t/.exec(out.toString('utf8')) ?? [];
    return mode === undefined || id === undefined ? undefined : { mode, id };
  };
  const plain = async (path: string, maxBytes: number): Promise<{ readonly id: string } | 'too-large' | undefined> => {
    const found = await entry(path);
    if (found === undefined || !found.mode.startsWith('100')) return undefined;
    const size = Number((await must({ folder, args: ['cat-file', '-s', found.id] })).toString('utf8'));
    return size > maxBytes ? 'too-large' : found;
  };
  return {
    sha,
    async tree(path) {
      if (inside(path) === '') return (await must({ folder, args: ['rev-parse', '--verify', `${sha}^{tree}`] })).toString('utf8').trim();
      return (await entry(path))?.id;
    },
    async read(path, maxBytes) {
      const found = await plain(path, maxBytes);
      return typeof found === 'object' ? must({ folder, args: ['cat-file', 'blob', found.id] }) : found;
    },
    async save(path, file, maxBytes) {
      const found = await plain(path, maxBytes);
      if (typeof found !== 'object') return found;
      await using output = await open(file, 'wx', 0o600);
      await must({ folder, args: ['cat-file', 'blob', found.id], output: output.fd }).catch(async (error: unknown) => {
        // git does not say why it could not be written.
        await refuseIfFull(dirname(file));
        throw error;
      });
      return 'saved';
    },
    checkout: (paths, into, signal) => orDiskFull(() => checkout({ folder, sha, paths, into, ...(signal ? { signal } : {}) })),
  };
}

type Checkout = {
  readonly folder: string;
  readonly sha: Sha;
  readonly paths: readonly string[];
  readonly into: string;
  readonly signal?: AbortSignal;
};

/** By an index of its own: `git archive` would honour the repository's `export-ignore`, a work tree would leave a `.git` behind. */
async function checkout({ folder, sha, paths, into, signal }: Checkout): Promise<void> {
  await mkdir(into, { recursive: true });
  const index = `${into}.index`;
  const aborted = signal ? { signal } : {};
  try {
    const wanted = paths.some((path) => inside(path) === '') ? [] : paths.map(inside);
    const listing = await must({ folder, args: ['ls-tree', '-r', '-z', '--full-tree', sha, '--', ...wanted], ...aborted });
    await must({ folder, args: ['update-index', '-z', '--index-info'], input: listing, index, workTree: into, ...aborted });
    await must({ folder, args: ['checkout-index', '--all', '--force', '--quiet'], index, workTree: into, ...aborted });
  } catch (error) {
    if (!signal?.aborted && !(error instanceof Fault)) {
      // git does not say why a file could not be written.
      await refuseIfFull(into);
      // Most likely the cache is damaged: it is dropped, and the next fetch makes it anew.
      await rm(folder, { recursive: true, force: true });
      throw new Fault('fetch-failed', { details: { cause: 'the source cache was damaged', attempts: '1' }, cause: error });
    }
    throw error;
  } finally {
    await rm(index, { force: true });
  }
}
