import { mkdir, rm, rmdir } from 'node:fs/promises';
import { join, normalize } from 'node:path';
import {
  type Dockerfile,
  DockerfileError,
  type Instruction,
  pairsOf,
  type Stage,
  splitWords,
  substituted,
  Uninterpreted,
} from './dockerfile.ts';
import { mountsOf } from './instance.ts';
import { contextOf, copyInto, hashOf, inside, type Layer, type Layers, sourcesOf, treeHash } from './layers.ts';
import { ownByBuilder, runBoxed, shellQuoted, type Workshop } from './workshop.ts';

export type DockerBuild = {
  readonly workshop: Workshop;
  readonly layers: Layers;
  readonly dockerfile: Dockerfile;
  /** The folder that is the build's context. */
  readonly context: string;
  /** A folder for what is only of this build. */
  readonly scratch: string;
  readonly args: Readonly<Record<string, string>>;
  readonly target: string | null;
  /** Keys of the layers that this builder has, or has been lent by a cache; new ones are added. */
  readonly visible: Set<string>;
  readonly useCache: boolean;
  readonly signal: AbortSignal;
  readonly say: (line: string) => void;
};
export type Built = {
  readonly layer: Layer;
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  readonly command: string;
  /** Keys of all layers that it is made of. */
  readonly keys: ReadonlySet<string>;
};

type State = {
  readonly layer: Layer | null;
  readonly key: string;
  readonly env: Readonly<Record<string, string>>;
  /** Declared by `ARG`: they are in a command's environment and stay out of the image. */
  readonly args: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly cmd: readonly string[];
  readonly entrypoint: readonly string[];
};
type Context = DockerBuild & { readonly files: string; readonly done: Map<string, State>; readonly keys: Set<string>; number: number };

/** Every image that Node's own is, from whichever mirror: its Node is Mayfly's, with npm, pnpm and yarn. */
const NODE = /^(?:[\w.-]+(?::\d+)?\/)*node(?::[\w.-]+)?(?:@sha256:[0-9a-f]{64})?$/;
/** Folders that the image has, and that are not the sandbox's own. */
const FOLDERS = ['home/node', 'opt', 'root', 'srv', 'var/tmp', 'media', 'mnt'];

/** A command of a Dockerfile that failed: BuildKit's words, and its exit. */
export class StepFailed extends Error {}

/**
 * Builds what a Dockerfile says: a small interpreter of `FROM node`, `COPY`, `RUN` and what only notes something. Commands run in Mayfly's
 * sandbox. A stage that nothing needs is not built.
 * @throws StepFailed, DockerfileError, Uninterpreted, or what the signal was aborted with
 */
export async function dockerBuild(build: DockerBuild): Promise<Built> {
  const files = await contextOf(build.context, join(build.scratch, 'context'));
  const context: Context = { ...build, files, done: new Map(), keys: new Set(), number: 0 };
  const { stages } = build.dockerfile;
  const wanted = build.target === null ? stages.at(-1) : stages.find(({ name }) => name === build.target);
  if (!wanted) throw new DockerfileError(`target stage "${build.target}" could not be found`);
  const state = await stageOf(context, wanted);
  if (state.layer === null) throw new DockerfileError('no build stage in current context');
  const words = [...state.entrypoint, ...state.cmd];
  if (files !== build.context) await rm(files, { recursive: true, force: true });
  return { layer: state.layer, cwd: state.cwd, env: state.env, command: words.map(shellQuoted).join(' '), keys: context.keys };
}

async function stageOf(context: Context, stage: Stage): Promise<State> {
  const known = context.done.get(stage.name);
  if (known) return known;
  let state = await baseOf(context, stage);
  for (const [index, instruction] of stage.instructions.entries()) {
    context.signal.throwIfAborted();
    state = await step(context, state, { stage, instruction, index });
  }
  context.done.set(stage.name, state);
  return state;
}

async function baseOf(context: Context, stage: Stage): Promise<State> {
  const globals = Object.fromEntries(
    context.dockerfile.args.flatMap(({ text }) => pairsOf(text)).map(([name, value]) => [name, context.args[name] ?? value]),
  );
  const from = substituted(stage.from, globals);
  const other = context.dockerfile.stages.find(({ name }) => name.toLowerCase() === from.toLowerCase() && name !== stage.name);
  // What a stage declared by ARG is its own.
  if (other) return { ...(await stageOf(context, other)), args: {} };
  if (!NODE.test(from)) throw new Uninterpreted(`the image ${from}`);
  const empty: State = { layer: null, key: hashOf('node'), env: {}, args: {}, cwd: '/', cmd: ['node'], entrypoint: [] };
  return layered(
    context,
    empty,
    `FROM ${from}`,
    { key: hashOf('base', from), label: `[${stage.name} 1/${countOf(stage.instructions) + 1}] FROM ${from}` },
    async (folder) => {
      for (const name of FOLDERS) await mkdir(join(folder, name), { recursive: true });
    },
  );
}

type Work = (folder: string) => Promise<void>;
type Naming = { readonly key: string; readonly label: string };

/** The layer that is known by the key, or the one that the work makes of a copy of what there was. */
async function layered(context: Context, state: State, what: string, { key, label }: Naming, work: Work): Promise<State> {
  context.number += 1;
  const at = `#${context.number + 4}`;
  context.say(`${at} ${label}`);
  const known = context.useCache ? context.layers.find(key, context.visible) : undefined;
  context.keys.add(key);
  if (known) {
    context.say(`${at} CACHED`);
    return { ...state, layer: known, key };
  }
  const started = performance.now();
  const layer = await context.layers
    .make(key, state.layer, async (folder) => {
      await work(folder);
      await ownByBuilder(folder);
    })
    .catch((error: unknown) => {
      context.say(`${at} ERROR: ${error instanceof Error ? error.message : what}`);
      throw error;
    });
  context.visible.add(key);
  context.say(`${at} DONE ${((performance.now() - started) / 1000).toFixed(1)}s`);
  return { ...state, layer, key };
}

type At = { readonly stage: Stage; readonly instruction: Instruction; readonly index: number };

async function step(context: Context, state: State, at: At): Promise<State> {
  const { name, text, words } = at.instruction;
  const values = { ...state.args, ...state.env };
  const plain = substituted(text, values);
  switch (name) {
    case 'RUN':
      return run(context, state, at);
    case 'COPY':
    case 'ADD':
      return copy(context, state, at);
    case 'WORKDIR': {
      const [folder = plain] = splitWords(plain);
      return folderMade(context, { ...state, cwd: folder.startsWith('/') ? normalize(folder) : join(state.cwd, folder) }, at);
    }
    case 'ENV':
      return { ...state, env: { ...state.env, ...Object.fromEntries(pairsOf(plain)) } };
    case 'ARG': {
      const given = splitWords(plain).map(
        (word) => [word.split('=')[0] ?? '', word.includes('=') ? word.slice(word.indexOf('=') + 1) : ''] as const,
      );
      return { ...state, args: { ...state.args, ...Object.fromEntries(given.map(([one, value]) => [one, context.args[one] ?? value])) } };
    }
    case 'CMD':
      return { ...state, cmd: words ?? ['/bin/sh', '-c', text] };
    case 'ENTRYPOINT':
      return { ...state, entrypoint: words ?? ['/bin/sh', '-c', text], cmd: [] };
    // Nothing of these changes what is run here.
    case 'EXPOSE':
    case 'USER':
    case 'LABEL':
    case 'STOPSIGNAL':
    case 'HEALTHCHECK':
      return state;
    default:
      throw new Uninterpreted(`the instruction ${name}`);
  }
}

/** What only notes something is not counted, as BuildKit does. */
const COUNTED = ['RUN', 'COPY', 'ADD', 'WORKDIR'];
const countOf = (instructions: readonly Instruction[]): number => instructions.filter(({ name }) => COUNTED.includes(name)).length;
const labelOf = ({ stage: { name, instructions }, instruction, index }: At): string =>
  `[${name} ${countOf(instructions.slice(0, index + 1)) + 1}/${countOf(instructions) + 1}] ${instruction.name} ${instruction.text}`;

const folderMade = (context: Context, state: State, at: At): Promise<State> =>
  layered(context, state, 'WORKDIR', { key: hashOf(state.key, 'WORKDIR', state.cwd), label: labelOf(at) }, async (folder) => {
    await mkdir(await inside(folder, state.cwd), { recursive: true });
  });

async function copy(context: Context, state: State, at: At): Promise<State> {
  const { flags, words, text, line } = at.instruction;
  const { from, chown: _, chmod: __, link: ___, ...others } = flags;
  const strange = Object.keys(others);
  if (strange.length > 0) throw new Uninterpreted(`COPY --${strange.join(', --')}`);
  const values = { ...state.args, ...state.env };
  const all = (words ?? splitWords(text)).map((word) => substituted(word, values));
  const to = all.at(-1);
  if (to === undefined || all.length < 2)
    throw new DockerfileError(`dockerfile parse error on line ${line}: COPY requires at least two arguments`);
  if (/^(?:https?|git):/.test(all[0] ?? '')) throw new Uninterpreted('ADD of an address');
  const other =
    from === undefined
      ? undefined
      : context.dockerfile.stages.find(({ name }, index) => name.toLowerCase() === from.toLowerCase() || String(index) === from);
  if (from !== undefined && !other) throw new Uninterpreted(`COPY --from=${from}`);
  const source = other ? await stageOf(context, other) : undefined;
  const root = source?.layer?.folder ?? context.files;
  const files = await sourcesOf(root, all.slice(0, -1)).catch((error: unknown) => {
    throw new StepFailed(
      `failed to compute cache key: failed to calculate checksum of ref: ${error instanceof Error ? error.message : error}`,
    );
  });
  const content = source ? source.key : await Promise.all(files.map(treeHash));
  const place = to.startsWith('/') ? to : `${state.cwd}/${to}`;
  const key = hashOf(state.key, 'COPY', all.slice(0, -1), place, content);
  return layered(context, state, 'COPY', { key, label: labelOf(at) }, (folder) => copyInto(folder, files, place));
}

/** The root of a sandbox can't be written: what a command names there is made beforehand, and `mkdir` is told not to mind. */
const AT_ROOT = /(?<![\w.$}/"'-])\/([A-Za-z][\w-]*)(?=[\s/;&|"')]|$)/g;
const LENIENT = 'mkdir() { command mkdir -p "$@"; }\n';

async function run(context: Context, state: State, at: At): Promise<State> {
  const { words, text, flags } = at.instruction;
  if (Object.keys(flags).length > 0) throw new Uninterpreted(`RUN --${Object.keys(flags).join(', --')}`);
  const command = commandOf(words ?? ['sh', '-c', text]);
  const key = hashOf(state.key, 'RUN', words ?? text, state.args, state.env, state.cwd);
  return layered(context, state, 'RUN', { key, label: labelOf(at) }, async (folder) => {
    for (const [, name = ''] of command.matchAll(AT_ROOT)) if (!RESERVED.has(name)) await mkdir(join(folder, name), { recursive: true });
    await mkdir(await inside(folder, state.cwd), { recursive: true });
    await ownByBuilder(folder);
    const started = performance.now();
    const say = linewise((line) => context.say(`#${context.number + 4} ${((performance.now() - started) / 1000).toFixed(3)} ${line}`));
    const folders = await mountsOf(folder, 'write');
    const { code, signal } = await runBoxed(context.workshop, {
      command,
      cwd: state.cwd,
      env: { ...state.args, ...state.env },
      folders,
      signal: context.signal,
      log: say.push,
    });
    say.end();
    // What nobody wrote to was not asked for.
    for (const [, name = ''] of command.matchAll(AT_ROOT)) if (!RESERVED.has(name)) await removeEmpty(join(folder, name));
    const shown = (words ?? ['/bin/sh', '-c', text]).join(' ');
    if (code !== 0) throw new StepFailed(`process "${shown}" did not complete successfully: exit code: ${code ?? signal}`);
  });
}
const RESERVED = new Set(['bin', 'dev', 'etc', 'lib', 'lib64', 'mayfly', 'proc', 'sbin', 'tmp', 'usr']);

/** Node's image has corepack; the sandbox's tools are there already. */
function commandOf(words: readonly string[]): string {
  if (words.join(' ') === 'corepack enable') return 'true';
  const [shell = '', flag = '', text = '', ...more] = words;
  const isShell = /^(?:\/bin\/)?sh$/.test(shell) && flag === '-c';
  return (isShell ? [shell, flag, `${LENIENT}${text}`, ...more] : words).map(shellQuoted).join(' ');
}

async function removeEmpty(folder: string): Promise<void> {
  // One that is not empty was wanted.
  await rmdir(folder).catch(() => undefined);
}

/** Whole lines of what comes in pieces. */
export function linewise(say: (line: string) => void) {
  let rest = '';
  return {
    push(chunk: string): void {
      const lines = `${rest}${chunk}`.split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) say(line.replace(/\r$/, ''));
    },
    end(): void {
      if (rest !== '') say(rest);
      rest = '';
    },
  };
}
