import { createHash, randomBytes } from 'node:crypto';
import { cp, glob, lstat, mkdir, readdir, readFile, readlink, realpath, rm } from 'node:fs/promises';
import { basename, dirname, join, matchesGlob, normalize, relative } from 'node:path';
import { copyFolder } from '../../../src/provision/copy.ts';
import { tool } from './workshop.ts';

/** One state of an image's file system, in a folder that nobody writes to any more. */
export type Layer = { readonly id: string; readonly folder: string };

/** Layers by what they were made of. Who may see which is each builder's and each cache's own. */
export interface Layers {
  find(key: string, visible: ReadonlySet<string>): Layer | undefined;
  /** A layer on top of another one, made by `work` in a copy of it. */
  make(key: string, below: Layer | null, work: (folder: string) => Promise<void>): Promise<Layer>;
}

export function openLayers(root: string): Layers {
  const known = new Map<string, Layer>();
  return {
    find: (key, visible) => (visible.has(key) ? known.get(key) : undefined),
    async make(key, below, work) {
      const id = randomBytes(8).toString('hex');
      const folder = join(root, id);
      if (below) await copyFolder(below.folder, folder);
      else await mkdir(folder, { recursive: true });
      try {
        await work(folder);
      } catch (error) {
        await rm(folder, { recursive: true, force: true });
        throw error;
      }
      const layer = { id, folder };
      known.set(key, layer);
      return layer;
    },
  };
}

export const hashOf = (...parts: readonly unknown[]): string => createHash('sha256').update(JSON.stringify(parts)).digest('hex');

/** The path below a root, of which no part may be a link that leads out of it. */
export async function inside(root: string, path: string): Promise<string> {
  const whole = join(root, normalize(`/${path}`));
  for (let at = whole; at.length > root.length; at = dirname(at)) {
    const real = await realpath(at).catch(() => undefined);
    if (real === undefined) continue;
    if (real !== root && !real.startsWith(`${await realpath(root)}/`)) throw new Error(`${path} leads out of the image`);
    break;
  }
  return whole;
}

/** Hash over names, kinds, modes and contents. */
export async function treeHash(path: string): Promise<string> {
  const stat = await lstat(path);
  if (stat.isSymbolicLink()) return hashOf('link', await readlink(path));
  if (stat.isFile())
    return hashOf(
      'file',
      stat.mode & 0o111,
      createHash('sha256')
        .update(await readFile(path))
        .digest('hex'),
    );
  if (!stat.isDirectory()) return hashOf('other');
  const names = (await readdir(path)).sort();
  return hashOf('folder', await Promise.all(names.map(async (name) => [name, await treeHash(join(path, name))])));
}

/** What of a context a build gets: all but what `.dockerignore` names. */
export async function contextOf(folder: string, copy: string): Promise<string> {
  const text = await readFile(join(folder, '.dockerignore'), 'utf8').catch(() => undefined);
  if (text === undefined) return folder;
  const patterns = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
  const isIgnored = (path: string): boolean => {
    let ignored = false;
    for (const pattern of patterns) {
      const plain = pattern.replace(/^!/, '').replace(/^\/|\/$/g, '');
      if (matchesGlob(path, plain) || matchesGlob(path, `${plain}/**`)) ignored = !pattern.startsWith('!');
    }
    return ignored;
  };
  await cp(folder, copy, {
    recursive: true,
    verbatimSymlinks: true,
    filter: (from) => from === folder || !isIgnored(relative(folder, from)),
  });
  return copy;
}

/** What `COPY` names in its context, in order; a pattern may name several. */
export async function sourcesOf(root: string, patterns: readonly string[]): Promise<readonly string[]> {
  const found: string[] = [];
  for (const pattern of patterns) {
    if (!/[*?[]/.test(pattern)) found.push(await inside(root, pattern));
    else for await (const name of glob(normalize(pattern).replace(/^\//, ''), { cwd: root })) found.push(await inside(root, name));
  }
  for (const path of found) if (!(await lstat(path).catch(() => undefined))) throw new Error(`"/${relative(root, path)}": not found`);
  return found;
}

/** Copies as `COPY` does: a folder's content, a file under its own name where the place ends in a slash or there are several. */
export async function copyInto(root: string, sources: readonly string[], to: string): Promise<void> {
  const place = await inside(root, to);
  const isFolder = to.endsWith('/') || sources.length > 1 || (await lstat(place).catch(() => undefined))?.isDirectory() === true;
  for (const source of sources) {
    if ((await lstat(source)).isDirectory()) {
      await mkdir(place, { recursive: true });
      await tool('cp', ['-a', '--remove-destination', '--reflink=auto', '--', `${source}/.`, place]);
    } else {
      const file = isFolder ? join(place, basename(source)) : place;
      await mkdir(dirname(file), { recursive: true });
      await tool('cp', ['-a', '--remove-destination', '--reflink=auto', '--', source, file]);
    }
  }
}
