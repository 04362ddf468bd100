import { lstat, readFile } from 'node:fs/promises';
import { join, normalize } from 'node:path';
import { Fault } from '../../../site/problem.ts';
import type { BuildConfig } from '../../artefacts.ts';
import { detect, isOwnFolder, type Plan } from '../../detect.ts';
import { generated } from './dockerfile.ts';

/** How a commit becomes an image. `detected` is for people. */
export type Recipe = { readonly detected: string } & (
  | { readonly kind: 'dockerfile' }
  /** A Dockerfile of ours, by what was detected or the settings say. */
  | { readonly kind: 'generated'; readonly plan: Plan; readonly dockerfile: string }
  /** `entrypoint`: what is run, where the settings say it. `plan`: null where only Google's buildpacks know what is done. */
  | { readonly kind: 'buildpacks'; readonly entrypoint: string | null; readonly plan: Plan | null }
);

/** What Google's buildpacks know and Mayfly itself does not. */
const FOREIGN = [
  'requirements.txt',
  'pyproject.toml',
  'go.mod',
  'pom.xml',
  'build.gradle',
  'build.gradle.kts',
  'Gemfile',
  'composer.json',
] as const;

/**
 * Finds out how a checkout is built on Google Cloud. Settings go first; then its own Dockerfile; then Google's buildpacks, but for what
 * these can't do: static files, a build command, a package with its lock file above it or with neighbours, since they see its folder alone.
 * @throws Fault `root-missing` or `nothing-detected`
 */
export async function chooseRecipe(checkout: string, config: BuildConfig): Promise<Recipe> {
  const says = config.build !== null || config.start !== null || config.output !== null;
  if (!says && (await isOwnFolder(checkout, config.root)) && (await has(checkout, config.root, 'Dockerfile'))) {
    return { kind: 'dockerfile', detected: 'Dockerfile' };
  }
  const foreign = await findForeign(checkout, config.root);
  const isNode = await has(checkout, config.root, 'package.json');
  const plan = await detect(checkout, config).catch((error: unknown) => {
    if (error instanceof Fault && error.code === 'nothing-detected') {
      if (foreign !== undefined) return undefined;
      throw new Fault('nothing-detected', { details: { ...error.details, looked: LOOKED } });
    }
    throw error;
  });
  if (plan === undefined) return { kind: 'buildpacks', entrypoint: null, plan: null, detected: `buildpacks, ${foreign}` };
  const forPack = isNode ? config.include.length === 0 && !isAbove(plan, config.root) : foreign !== undefined;
  if (plan.runtime.kind === 'process' && config.build === null && forPack) {
    const told = isNode ? plan.detected : `${foreign}, ${plan.detected}`;
    return { kind: 'buildpacks', entrypoint: config.start, plan, detected: `buildpacks, ${told}` };
  }
  const simple = await installsByItself(checkout, plan);
  return { kind: 'generated', plan, dockerfile: generated(plan, config, simple), detected: plan.detected };
}

const LOOKED = `Dockerfile, package.json, Procfile, index.html, ${FOREIGN.join(', ')}`;

const isAbove = ({ install }: Plan, root: string): boolean => install !== null && install.cwd !== normalize(root);

async function findForeign(checkout: string, root: string): Promise<string | undefined> {
  for (const name of FOREIGN) if (await has(checkout, root, name)) return name;
  return undefined;
}

/** A plain file: a link could lead anywhere. */
const has = async (checkout: string, root: string, name: string): Promise<boolean> =>
  (await lstat(join(checkout, root, name)).catch(() => undefined))?.isFile() === true;

/** What of package.json refers to other files of the repository. */
const REFERRING = /"(?:workspaces|patchedDependencies|overrides)"\s*:|"(?:file|link|portal|workspace|patch):/;

/**
 * The files that are all that an install looks at, so that its layer is kept while only the source changes; null when there may be others.
 */
async function installsByItself(checkout: string, { install }: Plan): Promise<readonly string[] | null> {
  if (install === null || install.lockFile === null || install.ownScripts.length > 0 || install.manager === 'berry') return null;
  // In what COPY names `$` and brackets would stand for something else.
  if (!/^[\w./ -]+$/.test(install.cwd)) return null;
  const own = await readFile(join(checkout, install.cwd, 'package.json'), 'utf8').catch(() => '');
  if (own === '' || REFERRING.test(own) || (await has(checkout, install.cwd, 'pnpm-workspace.yaml'))) return null;
  const names = ['package.json', install.lockFile.slice(install.lockFile.lastIndexOf('/') + 1), '.npmrc', '.yarnrc'];
  const there = await Promise.all(names.map((name) => has(checkout, install.cwd, name)));
  return names.filter((_, index) => there[index]);
}
