import { constants } from 'node:fs';
import { type FileHandle, open, realpath } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';

/**
 * The names on the way to a file, decoded. Undefined when the path is not one of ours to serve: `..`, dotfiles but `.well-known`, backslashes, NUL and
 * other control characters, slashes in disguise, doubled slashes, broken encoding.
 * @param path without query; `folder` is true when it ends in a slash
 */
export function toNames(path: string): { readonly names: readonly string[]; readonly folder: boolean } | undefined {
  if (!path.startsWith('/')) return undefined;
  const parts = path.slice(1).split('/');
  const folder = parts.at(-1) === '';
  if (folder) parts.pop();
  const names: string[] = [];
  for (const part of parts) {
    const name = decode(part);
    if (name === undefined || name === '' || isHidden(name) || /[\u0000-\u001f\u007f/\\]/.test(name)) return undefined;
    names.push(name);
  }
  return { names, folder };
}

/** RFC 8615's folder is there to be read: `security.txt`, app links. */
const isHidden = (name: string): boolean => name.startsWith('.') && name !== '.well-known';

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    // Not UTF-8, or a lone percent sign: no file of ours has such a name.
    return undefined;
  }
}

export type Opened = {
  readonly handle: FileHandle;
  readonly size: number;
  readonly modified: Date;
  /** Differs for every content that ever was at this path. */
  readonly fingerprint: string;
};

/** A regular file below `root`, open; `folder` when there is a folder. No link leads out, and nothing that blocks is opened. */
export async function openBelow(root: string, names: readonly string[]): Promise<Opened | 'folder' | undefined> {
  const base = await existing(realpath(root));
  const real = base && (await existing(realpath(join(base, ...names))));
  if (!base || !real) return undefined;
  if (real !== base && !real.startsWith(base + sep)) return undefined;
  // A link within may still lead to what is not published.
  if (relative(base, real).split(sep).some(isHidden)) return undefined;
  // O_NONBLOCK: opening a FIFO would wait for a writer that never comes.
  const handle = await existing(open(real, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK));
  if (!handle) return undefined;
  const facts = await handle.stat({ bigint: true });
  if (facts.isFile()) {
    const fingerprint = [facts.ino, facts.size, facts.mtimeNs, facts.ctimeNs].map((fact) => fact.toString(36)).join('-');
    return { handle, size: Number(facts.size), modified: facts.mtime, fingerprint };
  }
  await handle.close();
  return facts.isDirectory() ? 'folder' : undefined;
}

const ABSENT = new Set(['ENOENT', 'ENOTDIR', 'ELOOP', 'ENAMETOOLONG', 'EACCES', 'ENXIO', 'EINVAL']);

async function existing<Result>(asked: Promise<Result>): Promise<Result | undefined> {
  try {
    return await asked;
  } catch (error) {
    // Whatever is the reason that it cannot be had, to a visitor it is not there; a failing disk is a bug to be told.
    if (error instanceof Error && 'code' in error && typeof error.code === 'string' && ABSENT.has(error.code)) return undefined;
    throw error;
  }
}
