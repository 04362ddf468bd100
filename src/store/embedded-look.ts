import { readFile, readlink } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { exists } from './embedded-place.ts';

/** An embedded cluster as another process sees it; `url` is of a database on it, with the superuser's password. */
export type EmbeddedSeen =
  | { readonly state: 'running'; readonly url: (database: string) => string }
  | { readonly state: 'stopped' | 'missing' };

/** Looks at the cluster of `folder`, which another process may have started. Changes nothing. */
export async function lookAtEmbedded(folder: string, superuser = 'mayfly'): Promise<EmbeddedSeen> {
  // Elsewhere only where a parent of the folder is closed to the server's user.
  const home = (await textOf(join(folder, 'location'))) ?? resolve(folder);
  const data = join(home, 'data');
  const password = await textOf(join(home, 'password'));
  if (password === undefined || !(await exists(data))) return { state: 'missing' };
  const lines = ((await textOf(join(data, 'postmaster.pid'))) ?? '').split('\n');
  // The file outlives a server that was killed. No such process, or none of ours to look at: it does not run.
  const at = await readlink(`/proc/${Number(lines[0])}/cwd`).catch(() => undefined);
  const port = Number(lines[3]);
  if (at !== data || !Number.isInteger(port) || port <= 0) return { state: 'stopped' };
  return { state: 'running', url: (database) => `postgres://${superuser}:${password}@127.0.0.1:${port}/${encodeURIComponent(database)}` };
}

/** Undefined when there is no such file. */
const textOf = (path: string): Promise<string | undefined> => readFile(path, 'utf8').catch(() => undefined);
