import { constants } from 'node:fs';
import { chmod, copyFile, lstat, mkdir, readdir, realpath } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { Fault } from '../site/problem.ts';

/** Files and bytes that a published folder may have, and how deep it may go. */
export const OUTPUT_LIMITS = { files: 50_000, bytes: 1024 * 1024 * 1024, depth: 64 };
type Limits = typeof OUTPUT_LIMITS;

type Walk = {
  readonly top: string;
  readonly log: (line: string) => void;
  readonly limits: Limits;
  files: number;
  bytes: number;
  readonly skipped: string[];
};

/**
 * Copies what may be published: plain files, and links that stay inside as the files that they name. Left out, and told in the log:
 * dotfiles but `.well-known`, links that leave, pipes, sockets, devices, and names that differ from another one in case only.
 * @throws Fault `output-limit`
 */
export async function publish(
  from: string,
  to: string,
  options: { readonly log: (line: string) => void; readonly limits?: Limits },
): Promise<void> {
  const walk: Walk = {
    top: await realpath(from),
    log: options.log,
    limits: options.limits ?? OUTPUT_LIMITS,
    files: 0,
    bytes: 0,
    skipped: [],
  };
  await copyInto(walk, [walk.top, to], 0);
  if (walk.skipped.length === 0) return;
  const more = walk.skipped.length > 10 ? ` and ${walk.skipped.length - 10} more` : '';
  options.log(`Not published: ${walk.skipped.slice(0, 10).join(', ')}${more}\n`);
}

async function copyInto(walk: Walk, [from, to]: readonly [string, string], depth: number): Promise<void> {
  if (depth > walk.limits.depth) throw tooLarge(`${walk.limits.depth} folders deep`);
  await mkdir(to, { recursive: true, mode: 0o755 });
  const taken = new Set<string>();
  for (const name of (await readdir(from)).sort()) {
    const source = join(from, name);
    const why = await reason(walk, source, name, taken);
    if (why !== null) {
      walk.skipped.push(`${JSON.stringify(relative(walk.top, source))} (${why})`);
      continue;
    }
    taken.add(folded(name));
    const real = await realpath(source);
    const stat = await lstat(real);
    if (stat.isDirectory()) {
      await copyInto(walk, [real, join(to, name)], depth + 1);
      continue;
    }
    walk.files += 1;
    walk.bytes += stat.size;
    if (walk.files > walk.limits.files) throw tooLarge(`${walk.limits.files} files`);
    if (walk.bytes > walk.limits.bytes) throw tooLarge(`${Math.round(walk.limits.bytes / 1024 / 1024)} MiB`);
    await copyFile(real, join(to, name), constants.COPYFILE_FICLONE);
    await chmod(join(to, name), 0o644);
  }
}

const tooLarge = (limit: string): Fault => new Fault('output-limit', { details: { limit } });
const folded = (name: string): string => name.normalize('NFC').toLowerCase();

/** Why an entry is not published; null when it is. */
async function reason(walk: Walk, source: string, name: string, taken: ReadonlySet<string>): Promise<string | null> {
  if (name.startsWith('.') && name !== '.well-known') return 'hidden';
  if (taken.has(folded(name))) return 'same name as another but for its case';
  const link = await lstat(source);
  if (!link.isSymbolicLink()) return link.isFile() || link.isDirectory() ? null : 'neither a file nor a folder';
  const real = await realpath(source).catch(() => undefined);
  if (real === undefined) return 'leads nowhere';
  const way = relative(walk.top, real);
  if (way === '..' || way.startsWith(`..${sep}`)) return 'leaves the folder';
  if (way.split(sep).some((part) => part.startsWith('.') && part !== '.well-known')) return 'hidden';
  return (await lstat(real)).isFile() ? null : 'a link to a folder';
}
