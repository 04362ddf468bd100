import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { dockerBuild, linewise, StepFailed } from './docker-build.ts';
import { DockerfileError, parseDockerfile, Uninterpreted } from './dockerfile.ts';
import { type Machine, PLACES, placeOf, type Step } from './machine.ts';
import { PackFailed, packBuild } from './pack-build.ts';
import { mayWrite, pushImage, RegistryRefusal } from './push.ts';
import { ownByBuilder, runBoxed, shellQuoted } from './workshop.ts';

const DOCKER = 'gcr.io/cloud-builders/docker';
const PACK = /^gcr\.io\/k8s-skaffold\/pack(?::[\w.-]+)?$/;

/** @returns the step's exit code */
export async function runStep(machine: Machine, step: Step): Promise<number> {
  const { workshop, say } = machine;
  try {
    if (step.script !== undefined) return await runScript(machine, step, step.script);
    const [first, second, ...rest] = step.args ?? [];
    if (step.name === DOCKER && step.entrypoint === undefined && first === 'buildx' && second === 'build')
      return await buildx(machine, step, rest);
    if (PACK.test(step.name) && (step.entrypoint ?? 'pack') === 'pack' && first === 'build')
      return await packBuild(machine, step, (step.args ?? []).slice(1));
    throw new Uninterpreted(`the step ${step.name} ${(step.args ?? []).join(' ')}`);
  } catch (error) {
    if (error instanceof Uninterpreted) workshop.cloud.unknown.push(`a build with ${error.message}`);
    else if (!(error instanceof StepFailed || error instanceof DockerfileError || error instanceof RegistryRefusal)) throw error;
    const solving = error instanceof PackFailed || error instanceof RegistryRefusal ? '' : 'failed to solve: ';
    say(`ERROR: failed to build: ${solving}${error.message}`);

    return 1;
  }
}

/** Answers what scripts ask of Docker: they may make a builder, and nothing else. */
const STUB = `#!/bin/sh
printf '%s\\n' "$*" >> /builder/asked/docker
case "$*" in
  'buildx create --driver=docker-container '*) echo mayfly ;;
  *) echo "docker: the stand-in does not know: $*" >&2; exit 125 ;;
esac
`;

async function runScript(machine: Machine, step: Step, script: string): Promise<number> {
  if (step.name !== DOCKER || step.entrypoint !== undefined || step.args !== undefined) throw new Uninterpreted(`a script in ${step.name}`);
  const asked = join(machine.folder, 'asked');
  await rm(asked, { recursive: true, force: true });
  await mkdir(join(asked, 'bin'), { recursive: true });
  await writeFile(join(asked, 'bin', 'docker'), STUB, { mode: 0o755 });
  await writeFile(join(asked, 'script'), script, { mode: 0o755 });
  await Promise.all([asked, ...Object.values(PLACES).map((name) => join(machine.folder, name))].map(ownByBuilder));
  const folders = Object.entries({ ...PLACES, '/builder/asked': 'asked' }).map(([to, name]) => ({
    from: join(machine.folder, name),
    to,
    access: 'write' as const,
  }));
  const say = linewise(machine.say);
  const env = { HOME: '/builder/home', BUILDER_OUTPUT: '/builder/outputs' };
  const command = `export HOME=/builder/home PATH=/builder/asked/bin:$PATH; exec ${shellQuoted('/builder/asked/script')}`;
  const { code } = await runBoxed(machine.workshop, {
    command,
    cwd: join('/workspace', step.dir ?? ''),
    env,
    folders,
    signal: machine.signal,
    log: say.push,
  });
  say.end();
  for (const line of (await readFile(join(asked, 'docker'), 'utf8').catch(() => '')).split('\n').filter((one) => one !== '')) {
    if (/^buildx create --driver=docker-container .*--use/.test(`${line} `)) machine.driver.name = 'docker-container';
    else throw new Uninterpreted(`docker ${line}`);
  }
  return code ?? 1;
}

type Options = { readonly flags: ReadonlyMap<string, readonly string[]>; readonly context: string };
const BUILDX = [
  'file',
  'target',
  'tag',
  'push',
  'no-cache',
  'pull',
  'cache-from',
  'cache-to',
  'build-arg',
  'output',
  'metadata-file',
  'progress',
  'provenance',
];

function optionsOf(args: readonly string[], known: readonly string[]): Options {
  const flags = new Map<string, string[]>();
  const rest: string[] = [];
  for (const arg of args) {
    const [, name, value = 'true'] = /^--([\w-]+)(?:=(.*))?$/s.exec(arg) ?? [];
    if (name === undefined) rest.push(arg);
    else if (!known.includes(name)) throw new Uninterpreted(`the option ${arg}`);
    else flags.set(name, [...(flags.get(name) ?? []), value]);
  }
  const [context] = rest;
  if (context === undefined || rest.length > 1 || context.startsWith('-'))
    throw new StepFailed(`"docker buildx build" requires 1 argument.`);
  return { flags, context };
}

const registryRef = (value: string): string => {
  const fields = new Map(value.split(',').map((part) => [part.split('=')[0] ?? '', part.slice(part.indexOf('=') + 1)] as const));
  if (fields.get('type') !== 'registry') throw new Uninterpreted(`the cache ${value}`);
  return fields.get('ref') ?? '';
};

async function buildx(machine: Machine, step: Step, args: readonly string[]): Promise<number> {
  const { workshop, layers, caches, visible, say, signal, account } = machine;
  const { flags, context } = optionsOf(args, BUILDX);
  const one = (name: string): string | undefined => flags.get(name)?.at(-1);
  const isPushed = one('push') === 'true';
  const outputs = flags.get('output') ?? [];
  if (outputs.some((output) => output !== 'type=cacheonly')) throw new Uninterpreted(`--output=${outputs}`);
  if (isPushed === outputs.length > 0) throw new Uninterpreted('a build that is neither pushed nor only kept in the cache');
  const into = (flags.get('cache-to') ?? []).map(registryRef);
  if (into.length > 0 && machine.driver.name === 'docker')
    throw new StepFailed(
      'Cache export is not supported for the docker driver.\nSwitch to a different driver, or turn on the containerd image store, and try again.',
    );
  const useCache = one('no-cache') !== 'true';
  for (const ref of (flags.get('cache-from') ?? []).map(registryRef)) borrow(machine, ref);
  const file = await placeOf(machine, step, one('file') ?? `${context}/Dockerfile`);
  const text = await readFile(file, 'utf8').catch(() => {
    throw new StepFailed(`failed to read dockerfile: open ${one('file') ?? 'Dockerfile'}: no such file or directory`);
  });
  const variables = (flags.get('build-arg') ?? []).map((pair) => [pair.split('=')[0] ?? '', pair.slice(pair.indexOf('=') + 1)] as const);
  const place = await placeOf(machine, step, context);
  const scratch = join(machine.folder, 'scratch');
  await rm(scratch, { recursive: true, force: true });
  const common = { workshop, layers, visible, signal, say, useCache, scratch, context: place };
  const built = await dockerBuild({
    ...common,
    dockerfile: parseDockerfile(text),
    args: Object.fromEntries(variables),
    target: one('target') ?? null,
  });
  for (const ref of into) {
    mayWrite(workshop.cloud, account, ref);
    caches.set(ref, new Set([...(caches.get(ref) ?? []), ...built.keys]));
  }
  if (!isPushed) return 0;
  const { layer, cwd, env, command } = built;
  const own = { account, folder: layer.folder, content: layer.id, cwd, env, command, detected: 'Dockerfile' };
  for (const ref of flags.get('tag') ?? []) {
    const digest = await pushImage(workshop.cloud, { ...own, ref });
    say(`#99 pushing manifest for ${ref}@${digest} done`);
    const metadata = { 'containerimage.digest': digest, 'image.name': ref };
    const told = one('metadata-file');
    if (told !== undefined) await writeFile(await placeOf(machine, step, told), JSON.stringify(metadata, null, 2));
  }
  return 0;
}

/** Layers of a cache image, for an account that may read it: it is the cache of its trust, or none. */
function borrow({ workshop, caches, account, visible, say }: Machine, ref: string): void {
  try {
    mayWrite(workshop.cloud, account, ref);
  } catch (error) {
    if (!(error instanceof RegistryRefusal)) throw error;
    say(
      `#4 ERROR: ${error.message.replace('uploadArtifacts', 'downloadArtifacts').replace('failed to push', 'failed to configure registry cache importer:')}`,
    );
    return;
  }
  const keys = caches.get(ref);
  if (!keys) say(`#4 ERROR: failed to configure registry cache importer: ${ref}: not found`);
  for (const key of keys ?? []) visible.add(key);
}
