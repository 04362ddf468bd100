import { execFile } from 'node:child_process';
import { lstat, mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Trust } from '../site/site.ts';
import { sha256 } from './artefacts.ts';
import type { Install } from './detect.ts';
import { freeMb, isDiskFull, KEEP_FREE_MB, LITTLE, orDiskFull, touch } from './storage/disk.ts';

const run = promisify(execFile);
const ENV = { PATH: '/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C' };

/**
 * Installed `node_modules`, kept by everything they depend on, as one archive each: written and read 20 times faster than 15,000 small
 * files. A spare that is unpacked between builds makes restoring a renaming. What a build gets is never linked to what is kept: what it
 * writes reaches nobody else. Trust and the repository are part of the key, so that a fork can't leave anything for the next build.
 */
export interface Dependencies extends AsyncDisposable {
  /** Puts them at `folder/node_modules`. @returns whether they were there */
  restore(key: string, folder: string): Promise<boolean>;
  /** Keeps `folder/node_modules` as it is now. @returns false when the disk has no room for it, which is no failure of the build's */
  keep(key: string, folder: string): Promise<boolean>;
  /** Unpacks a spare behind the scenes, for the next build. */
  prepare(key: string): void;
}

const SETTINGS = ['.npmrc', '.yarnrc', '.yarnrc.yml', 'pnpm-workspace.yaml', '.pnpmfile.cjs'];

/** More than any settings or lock file has; what is larger is not kept. */
const MAX_BYTES = 64 * 1024 * 1024;

/** A link could lead anywhere on this machine, to what never ends too, and we read outside the sandbox. @returns null when nothing is there */
async function readPlain(file: string): Promise<Buffer | 'unreadable' | null> {
  const stat = await lstat(file).catch(() => undefined);
  if (stat === undefined) return null;
  return stat.isFile() && stat.size <= MAX_BYTES ? readFile(file) : 'unreadable';
}

/** Null when the install can't be kept: no lock file, packages spread over a workspace, or settings that are no plain files. */
export async function dependenciesKey(
  checkout: string,
  install: Install,
  of: { readonly repository: string; readonly trust: Trust },
): Promise<string | null> {
  if (install.lockFile === null) return null;
  const names = [install.lockFile, ...['package.json', ...SETTINGS].map((name) => join(install.cwd, name))];
  const [lock, own, ...read] = await Promise.all(names.map((name) => readPlain(join(checkout, name))));
  if (!Buffer.isBuffer(lock) || !Buffer.isBuffer(own) || read.includes('unreadable')) return null;
  const settings = read.map((content) => content?.toString('utf8') ?? null);
  if (/"workspaces"/.test(own.toString('utf8')) || settings[3] !== null) return null;
  const { manager, command } = install;
  return sha256(
    JSON.stringify([manager, command, process.version, process.arch, of.repository, of.trust, sha256(lock), sha256(own), settings]),
  );
}

/** Opens `<dataDir>/dependencies`; what a crash left half-made is removed. */
export async function openDependencies(dataDir: string): Promise<Dependencies> {
  const root = join(dataDir, 'dependencies');
  await mkdir(root, { recursive: true, mode: 0o700 });
  for (const name of await readdir(root)) if (name.startsWith('.')) await rm(join(root, name), { recursive: true, force: true });
  const archive = (key: string): string => join(root, `${key}.tar`);
  const spare = (key: string): string => join(root, `${key}.spare`);
  const preparing = new Map<string, Promise<void>>();
  const closing = new AbortController();
  let halves = 0;
  const half = (): string => join(root, `.half-${process.pid}-${halves++}`);
  return {
    async restore(key, folder) {
      const to = join(folder, 'node_modules');
      // Before it is used: from here on nobody who makes room takes it.
      if (!(await touch(archive(key)))) return false;
      const hadSpare = await rename(join(spare(key), 'node_modules'), to).then(
        () => true,
        () => false,
      );
      if (!hadSpare) await unpack(archive(key), folder);
      return true;
    },
    async keep(key, folder) {
      if (!(await exists(join(folder, 'node_modules'))) || (await exists(archive(key)))) return true;
      if ((await freeMb(root)) < LITTLE * KEEP_FREE_MB) return false;
      const file = half();
      // Nobody else's, nothing setuid: the archive is unpacked by us.
      const args = ['--create', '--file', file, '--owner=+0', '--group=+0', '--mode=u+rwX,go+rX,ug-s,o-t', '--directory', folder];
      try {
        await run('tar', [...args, 'node_modules'], { env: ENV });
        await rename(file, archive(key));
        return true;
      } catch (error) {
        await rm(file, { force: true });
        if (isDiskFull(error)) return false;
        throw error;
      }
    },
    prepare(key) {
      if (closing.signal.aborted || preparing.has(key)) return;
      const work = prepareSpare({ archive: archive(key), spare: spare(key), half: half(), signal: closing.signal });
      preparing.set(
        key,
        work.finally(() => preparing.delete(key)),
      );
    },
    async [Symbol.asyncDispose]() {
      closing.abort();
      await Promise.all(preparing.values());
    },
  };
}

type Preparing = { readonly archive: string; readonly spare: string; readonly half: string; readonly signal: AbortSignal };

async function prepareSpare({ archive, spare, half, signal }: Preparing): Promise<void> {
  if ((await exists(join(spare, 'node_modules'))) || !(await exists(archive))) return;
  try {
    if ((await freeMb(archive)) < LITTLE * KEEP_FREE_MB) return;
    await mkdir(half, { mode: 0o700 });
    await unpack(archive, half, { signal });
    await rm(spare, { recursive: true, force: true });
    await rename(half, spare);
  } catch {
    // Without a spare the next build unpacks the archive itself.
    await rm(half, { recursive: true, force: true });
  }
}

async function unpack(archive: string, folder: string, behind?: { readonly signal: AbortSignal }): Promise<void> {
  const args = ['--extract', '--file', archive, '--no-same-owner', '--preserve-permissions', '--directory', folder];
  const [program, first] = behind ? ['nice', ['-n', '19', 'tar']] : ['tar', []];
  await orDiskFull(() => run(program, [...first, ...args], { env: ENV, ...behind }));
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );
