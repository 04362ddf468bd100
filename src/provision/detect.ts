import { lstat, readFile, realpath } from 'node:fs/promises';
import { dirname, join, normalize } from 'node:path';
import { z } from 'zod';
import { Fault } from '../site/problem.ts';
import type { RepoConfig } from '../site/repo-config.ts';

export type Manager = 'npm' | 'pnpm' | 'yarn' | 'berry';

/** What of the dependencies is installed, and where: folders are relative to the checkout. */
export type Install = {
  readonly manager: Manager;
  readonly command: string;
  readonly cwd: string;
  /** Null without a lock file: then nothing is cached. */
  readonly lockFile: string | null;
  /** Scripts of the package itself that its manager runs after an install; they depend on more than the lock file. */
  readonly ownScripts: readonly string[];
};

export type Plan = {
  readonly install: Install | null;
  readonly build: string | null;
  /** `outputs`: the first that exists after the build is served. */
  readonly runtime:
    | { readonly kind: 'process'; readonly command: string }
    | { readonly kind: 'static'; readonly outputs: readonly string[] };
  /** For people: `npm, \`npm run build\`, \`npm start\``. */
  readonly detected: string;
};

const OUTPUTS = ['dist', 'build', 'out', 'public', '_site'];
const MAX_BYTES = 1024 * 1024;
const LIFECYCLE = ['preinstall', 'install', 'postinstall', 'prepublish', 'preprepare', 'prepare', 'postprepare'];

const Names = z.record(z.string(), z.unknown()).catch({});
const Package = z.object({
  scripts: z.record(z.string(), z.unknown()).catch({}),
  dependencies: Names,
  devDependencies: Names,
  optionalDependencies: Names,
  peerDependencies: Names,
  packageManager: z.string().catch(''),
  workspaces: z.unknown().optional(),
});
type Package = z.infer<typeof Package>;

/**
 * Finds out how a checkout is installed, built and run; what the settings say goes first.
 * @param folder the checkout, with the repository's own layout
 * @throws Fault `root-missing` or `nothing-detected`
 */
export async function detect(folder: string, config: Pick<RepoConfig, 'root' | 'build' | 'start' | 'output'>): Promise<Plan> {
  const root = join(folder, config.root);
  if (!(await isOwnFolder(folder, config.root))) throw new Fault('root-missing', { details: { root: config.root } });
  const own = await readPackage(root);
  const install = own === undefined ? null : await installOf(folder, config.root, own);
  const run = { npm: 'npm', pnpm: 'pnpm', yarn: 'yarn', berry: 'yarn' }[install?.manager ?? 'npm'];
  const build = config.build ?? (hasScript(own, 'build') ? `${run} run build` : null);
  const runtime = await runtimeOf(root, config, { own, run });
  const needed = install !== null && (hasDependencies(own) || install.ownScripts.length > 0) ? install : null;
  return { install: needed, build, runtime, detected: told(needed, build, runtime) };
}

/**
 * Whether `path` in the checkout is a folder, with no link on the way: it could lead anywhere on this machine, and we read and write
 * outside the sandbox. To be asked again after each command of a build, which may have put a link there.
 */
export async function isOwnFolder(checkout: string, path: string): Promise<boolean> {
  const place = join(checkout, path);
  const real = await realpath(place).catch(() => undefined);
  return real === join(await realpath(checkout), path) && (await kindOf(place)) === 'folder';
}

async function runtimeOf(
  root: string,
  config: Pick<RepoConfig, 'root' | 'build' | 'start' | 'output'>,
  { own, run }: { readonly own: Package | undefined; readonly run: string },
): Promise<Plan['runtime']> {
  if (config.start !== null) return { kind: 'process', command: config.start };
  if (config.output !== null) return { kind: 'static', outputs: [config.output] };
  if (hasScript(own, 'start')) return { kind: 'process', command: `${run} start` };
  const plain = (await kindOf(join(root, 'index.html'))) === 'file' ? ['.'] : [];
  if (own !== undefined && (hasScript(own, 'build') || config.build !== null)) return { kind: 'static', outputs: [...OUTPUTS, ...plain] };
  const existing = own === undefined ? [] : await present(root, OUTPUTS);
  if (existing.length > 0) return { kind: 'static', outputs: existing };
  const web = /^web:[ \t]*(\S.*)$/m.exec((await readText(join(root, 'Procfile'))) ?? '')?.[1];
  if (web !== undefined) return { kind: 'process', command: web.trim() };
  if (plain.length > 0) return { kind: 'static', outputs: plain };
  if (config.build !== null) return { kind: 'static', outputs: OUTPUTS };
  const looked = own === undefined ? 'package.json, Procfile, index.html' : 'a start or build script in package.json, Procfile, index.html';
  const docker = (await kindOf(join(root, 'Dockerfile'))) === 'file' ? ' (a Dockerfile is there, but this target does not build it)' : '';
  const where = config.root === '.' ? 'the root of the repository' : config.root;
  throw new Fault('nothing-detected', { details: { folder: where, looked: `${looked}${docker}` } });
}

async function present(root: string, names: readonly string[]): Promise<readonly string[]> {
  const kinds = await Promise.all(names.map((name) => kindOf(join(root, name))));
  return names.filter((_, index) => kinds[index] === 'folder');
}

/** In a workspace the lock file is above the package, where the checkout has it at all. */
async function installOf(folder: string, root: string, own: Package): Promise<Install> {
  const ownScripts = LIFECYCLE.filter((name) => hasScript(own, name));
  for (let at = normalize(root); ; at = dirname(at)) {
    const found = await lockIn(join(folder, at), at === normalize(root) ? own : ((await readPackage(join(folder, at))) ?? own));
    if (found !== undefined) return { ...found, cwd: at, lockFile: join(at, found.lockFile), ownScripts };
    if (at === '.' || at === '/') break;
  }
  const manager = named(own) ?? 'npm';
  return { manager, command: `${manager === 'berry' ? 'yarn' : manager} install`, cwd: normalize(root), lockFile: null, ownScripts };
}

type Lock = { readonly manager: Manager; readonly lockFile: string; readonly command: string };

async function lockIn(folder: string, own: Package): Promise<Lock | undefined> {
  const berry = /^__metadata:/m.test((await readText(join(folder, 'yarn.lock'), 64 * MAX_BYTES)) ?? '');
  const kinds: readonly Lock[] = [
    { manager: 'npm', lockFile: 'package-lock.json', command: 'npm ci' },
    { manager: 'npm', lockFile: 'npm-shrinkwrap.json', command: 'npm ci' },
    { manager: 'pnpm', lockFile: 'pnpm-lock.yaml', command: 'pnpm install --frozen-lockfile' },
    berry
      ? { manager: 'berry', lockFile: 'yarn.lock', command: 'yarn install --immutable' }
      : { manager: 'yarn', lockFile: 'yarn.lock', command: 'yarn install --frozen-lockfile' },
  ];
  const there: Lock[] = [];
  for (const kind of kinds) if ((await kindOf(join(folder, kind.lockFile))) === 'file') there.push(kind);
  const wanted = named(own);
  return there.find((kind) => kind.manager === wanted || (wanted === 'berry' && kind.manager === 'yarn')) ?? there[0];
}

function named(own: Package): Manager | undefined {
  const [, name, major] = /^(npm|pnpm|yarn)@(\d+)/.exec(own.packageManager) ?? [];
  if (name === 'yarn') return Number(major) >= 2 ? 'berry' : 'yarn';
  return name === 'npm' || name === 'pnpm' ? name : undefined;
}

const hasScript = (own: Package | undefined, name: string): boolean => own !== undefined && typeof own.scripts[name] === 'string';

function hasDependencies(own: Package | undefined): boolean {
  if (own === undefined) return false;
  const lists = [own.dependencies, own.devDependencies, own.optionalDependencies, own.peerDependencies];
  return own.workspaces !== undefined || lists.some((list) => Object.keys(list).length > 0);
}

function told(install: Install | null, build: string | null, runtime: Plan['runtime']): string {
  const parts: string[] = install === null ? [] : [install.manager === 'berry' ? 'yarn' : install.manager];
  if (build !== null) parts.push(`\`${build}\``);
  parts.push(runtime.kind === 'process' ? `\`${runtime.command}\`` : 'static files');
  return parts.join(', ');
}

async function readPackage(folder: string): Promise<Package | undefined> {
  const text = await readText(join(folder, 'package.json'));
  if (text === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(text.replace(/^\ufeff/, ''));
    return Package.safeParse(value).data;
  } catch {
    // Not JSON: npm will say so better than we could, if anything is to be installed at all.
    return undefined;
  }
}

async function readText(file: string, maxBytes = MAX_BYTES): Promise<string | undefined> {
  const stat = await lstat(file).catch(() => undefined);
  // A link could lead anywhere on this machine, and we read outside the sandbox.
  return stat?.isFile() && stat.size <= maxBytes ? await readFile(file, 'utf8') : undefined;
}

async function kindOf(path: string): Promise<'file' | 'folder' | undefined> {
  const stat = await lstat(path).catch(() => undefined);
  if (stat?.isDirectory()) return 'folder';
  return stat?.isFile() ? 'file' : undefined;
}
