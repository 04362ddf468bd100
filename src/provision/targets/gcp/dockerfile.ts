import { readFileSync } from 'node:fs';
import { join, normalize } from 'node:path';
import type { BuildConfig } from '../../artefacts.ts';
import type { Plan } from '../../detect.ts';

/** Google's copy of Docker Hub, which does not count how often a project asks. */
const NODE = `mirror.gcr.io/library/node:${process.versions.node.split('.')[0]}-slim`;
const SERVER = readFileSync(join(import.meta.dirname, 'static-server.mjs'), 'utf8').replace(/^ *\/\/.*\n|^ *\/\*\*.*\*\/\n/gm, '');
const APP = '/app';
const SITE = '/site';

/** The first folder that the build left becomes the site. */
const TAKE_OUTPUT = `for folder in "$@"; do if [ -d "$folder" ]; then mkdir ${SITE} && cp -R "$folder/." ${SITE} && exit 0; fi; done; echo "There is no folder $*"; exit 1`;

/**
 * A Dockerfile that does what the plan says, with the stages `install`, `build`, `output` and the image itself, as far as there is
 * something to do in them. Commands are in the JSON form, in which nothing is a Dockerfile's syntax.
 * @param files all that an install looks at; null when it may need the whole checkout
 */
export function generated(
  { install, build, runtime }: Plan,
  { root, env }: Pick<BuildConfig, 'root' | 'env'>,
  files: readonly string[] | null,
): string {
  const lines = [`FROM ${NODE} AS source`, `WORKDIR ${APP}`, ...TOOLS];
  if (install?.manager === 'pnpm' || install?.manager === 'berry') lines.push(run(['corepack', 'enable']));
  if (install !== null && files !== null)
    lines.push(`COPY ${json([...files.map((name) => join(install.cwd, name)), install.cwd === '.' ? './' : `${install.cwd}/`])}`);
  else lines.push('COPY . .');
  if (install !== null) {
    lines.push('', 'FROM source AS install', `WORKDIR ${at(install.cwd)}`, run(['sh', '-c', install.command]));
    if (files !== null) lines.push(`WORKDIR ${APP}`, 'COPY . .');
  }
  lines.push('', `FROM ${install === null ? 'source' : 'install'} AS build`, `WORKDIR ${at(root)}`);
  if (build !== null) lines.push(...Object.keys(env).map((name) => `ARG ${name}`), run(['sh', '-c', build]));
  lines.push('');
  if (runtime.kind === 'process') lines.push('FROM build', `CMD ${json(['sh', '-c', runtime.command])}`);
  else {
    lines.push('FROM build AS output', run(['sh', '-c', TAKE_OUTPUT, 'output', ...runtime.outputs]), '');
    lines.push(`FROM ${NODE}`, `COPY --from=output ${SITE} ${SITE}`, `CMD ${json(['node', '--input-type=module', '-e', SERVER, SITE])}`);
  }
  return `${lines.join('\n')}\n`;
}

/** What npm and its kin need not say or do in a build. */
const TOOLS = [
  'ENV CI=1 COREPACK_ENABLE_DOWNLOAD_PROMPT=0 YARN_ENABLE_TELEMETRY=0',
  'ENV npm_config_audit=false npm_config_fund=false npm_config_update_notifier=false',
];

const json = (words: readonly string[]): string => JSON.stringify(words);
const run = (words: readonly string[]): string => `RUN ${json(words)}`;
const at = (folder: string): string => quoted(normalize(join(APP, folder)).replace(/\/$/, ''));
/** A folder's name as one word of a Dockerfile; `$` would be a variable's. */
const quoted = (path: string): string => (/^[\w./-]+$/.test(path) ? path : `"${path.replace(/[\\"$]/g, '\\$&')}"`);
