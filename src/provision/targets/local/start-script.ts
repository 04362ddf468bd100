import { lstat, readFile } from 'node:fs/promises';
import { join, normalize } from 'node:path';
import { z } from 'zod';

const START = /^(?:npm|pnpm|yarn) (?:run )?start$/;
const MAX_BYTES = 1024 * 1024;
/** What a package manager would do beyond running the script: only it knows how. */
const BEYOND = ['prestart', 'poststart'];
/** Variables that we do not set. */
const UNKNOWN = /npm_(?:config|execpath|node_execpath|package_(?!name|version|json))/;
/** The manager's own settings may change how scripts run; yarn 2 and later bring a loader of their own. */
const SETTINGS = ['.npmrc', '.yarnrc', '.yarnrc.yml', '.pnp.cjs', '.pnp.js', 'pnpm-workspace.yaml'];

const Package = z.object({
  name: z.string().catch(''),
  version: z.string().catch(''),
  /** Would become variables. */
  config: z.undefined().optional(),
  scripts: z.record(z.string(), z.unknown()),
});

/**
 * `npm start` and its like, without the package manager: it takes half a second of a processor at each start and 60 MB for as long as
 * the app runs, only to run one line. The script gets the PATH and the variables that it would have had.
 * @param at the artefact's folder and the app's own below it
 * @returns what `sh -c` runs in the app's folder in place of `command`; `command` itself where only the manager would do the same
 */
export async function startScript(command: string, { folder, cwd }: { readonly folder: string; readonly cwd: string }): Promise<string> {
  if (!START.test(command)) return command;
  const depth = normalize(cwd)
    .split('/')
    .filter((part) => part !== '.' && part !== '').length;
  const ups = Array.from({ length: depth + 1 }, (_, up) => '/..'.repeat(up));
  for (const up of ups) for (const name of SETTINGS) if (await isThere(join(folder, cwd, up, name))) return command;
  const own = await readPackage(join(folder, cwd, 'package.json'));
  const script = own?.scripts.start;
  if (own === undefined || typeof script !== 'string' || script.trim() === '' || UNKNOWN.test(script)) return command;
  if (BEYOND.some((name) => own.scripts[name] !== undefined)) return command;
  const variables = {
    npm_lifecycle_event: 'start',
    npm_lifecycle_script: script,
    npm_package_name: own.name,
    npm_package_version: own.version,
  };
  const exported = Object.entries(variables).map(([name, value]) => `${name}=${quoted(value)}`);
  const path = ups.map((up) => `$PWD${up}/node_modules/.bin:`).join('');
  return `export ${exported.join(' ')} npm_package_json="$PWD/package.json" INIT_CWD="$PWD" PATH="${path}$PATH"\n${script}`;
}

const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

/** A link counts as well: whatever it leads to, the manager would follow it. */
const isThere = (path: string): Promise<boolean> =>
  lstat(path).then(
    () => true,
    () => false,
  );

async function readPackage(file: string): Promise<z.infer<typeof Package> | undefined> {
  const stat = await lstat(file).catch(() => undefined);
  // A link could lead anywhere on this machine, and we read outside the sandbox.
  if (!stat?.isFile() || stat.size > MAX_BYTES) return undefined;
  try {
    return Package.safeParse(JSON.parse((await readFile(file, 'utf8')).replace(/^\ufeff/, ''))).data;
  } catch {
    // Not JSON: the manager says so better than we could.
    return undefined;
  }
}
