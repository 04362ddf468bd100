import { mkdir, readFile, rename, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import type { Trust } from '../site/site.ts';
import { sha256 } from './artefacts.ts';
import { copyFolder } from './copy.ts';
import type { Install } from './detect.ts';

/**
 * Installed `node_modules`, kept by everything they depend on. They are copied in and out, never linked: what a build writes to its own
 * copy reaches nobody else. Trust and the repository are part of the key, so that a fork can't leave anything for the next build.
 */
export interface Dependencies {
  /** @returns whether they were there */
  restore(key: string, folder: string): Promise<boolean>;
  /** Keeps `folder/node_modules` as it is now. */
  keep(key: string, folder: string): Promise<void>;
}

/** Null when the install can't be kept: no lock file, or packages spread over a workspace. */
export async function dependenciesKey(
  checkout: string,
  install: Install,
  of: { readonly repository: string; readonly trust: Trust },
): Promise<string | null> {
  if (install.lockFile === null) return null;
  const lock = await readFile(join(checkout, install.lockFile));
  const own = await readFile(join(checkout, install.cwd, 'package.json'));
  const settings = await Promise.all(
    ['.npmrc', '.yarnrc', '.yarnrc.yml', 'pnpm-workspace.yaml', '.pnpmfile.cjs'].map((name) =>
      readFile(join(checkout, install.cwd, name), 'utf8').catch(() => null),
    ),
  );
  if (/"workspaces"/.test(own.toString('utf8')) || settings[3] !== null) return null;
  const parts = [
    install.manager,
    install.command,
    process.version,
    process.arch,
    of.repository,
    of.trust,
    sha256(lock),
    sha256(own),
    settings,
  ];
  return sha256(JSON.stringify(parts));
}

export async function openDependencies(dataDir: string): Promise<Dependencies> {
  const root = join(dataDir, 'dependencies');
  await mkdir(root, { recursive: true, mode: 0o700 });
  const kept = (key: string): string => join(root, key, 'node_modules');
  const exists = (path: string): Promise<boolean> =>
    stat(path).then(
      () => true,
      () => false,
    );
  return {
    async restore(key, folder) {
      if (!(await exists(kept(key)))) return false;
      await copyFolder(kept(key), join(folder, 'node_modules'));
      const now = new Date();
      await utimes(join(root, key), now, now);
      return true;
    },
    async keep(key, folder) {
      const from = join(folder, 'node_modules');
      if (!(await exists(from)) || (await exists(kept(key)))) return;
      const half = join(root, `.${key}.${sha256(folder).slice(0, 8)}`);
      await rm(half, { recursive: true, force: true });
      await copyFolder(from, join(half, 'node_modules'));
      // Whole or not at all; another build may have been faster, and is as good.
      await rename(half, join(root, key)).catch(() => rm(half, { recursive: true, force: true }));
    },
  };
}
