/** A Dockerfile's instructions, in the stages that they make up. */
export type Instruction = {
  readonly line: number;
  readonly name: string;
  readonly flags: Readonly<Record<string, string>>;
  /** Of the JSON form; null where it is text. */
  readonly words: readonly string[] | null;
  readonly text: string;
};
export type Stage = { readonly name: string; readonly from: string; readonly instructions: readonly Instruction[] };
export type Dockerfile = { readonly args: readonly Instruction[]; readonly stages: readonly Stage[] };

/** What BuildKit itself would refuse, in its words. */
export class DockerfileError extends Error {}
/** What BuildKit knows and the stand-in does not. */
export class Uninterpreted extends Error {}

const KNOWN = [
  'FROM',
  'RUN',
  'COPY',
  'ADD',
  'WORKDIR',
  'ENV',
  'ARG',
  'EXPOSE',
  'CMD',
  'ENTRYPOINT',
  'USER',
  'LABEL',
  'STOPSIGNAL',
  'HEALTHCHECK',
];
const REAL = [...KNOWN, 'VOLUME', 'ONBUILD', 'SHELL', 'MAINTAINER'];

/** @throws DockerfileError or Uninterpreted */
export function parseDockerfile(text: string): Dockerfile {
  const args: Instruction[] = [];
  const stages: { name: string; from: string; instructions: Instruction[] }[] = [];
  for (const instruction of instructionsOf(text)) {
    const stage = stages.at(-1);
    if (instruction.name === 'FROM') {
      const [, from = '', name] = /^(\S+)(?:\s+as\s+(\S+))?$/i.exec(instruction.text) ?? [];
      if (from === '')
        throw new DockerfileError(`dockerfile parse error on line ${instruction.line}: FROM requires either one or three arguments`);
      stages.push({ name: name ?? `stage-${stages.length}`, from, instructions: [] });
    } else if (stage) stage.instructions.push(instruction);
    else if (instruction.name === 'ARG') args.push(instruction);
    else throw new DockerfileError('dockerfile parse error: no build stage in current context');
  }
  if (stages.length === 0) throw new DockerfileError('file with no instructions');
  return { args, stages };
}

function instructionsOf(text: string): readonly Instruction[] {
  const found: Instruction[] = [];
  const lines = text.split(/\r?\n/);
  for (let at = 0; at < lines.length; at += 1) {
    const line = at + 1;
    if (/^\s*(#|$)/.test(lines[at] ?? '')) continue;
    let whole = lines[at] ?? '';
    while (/\\\s*$/.test(whole) && at + 1 < lines.length) {
      at += 1;
      if (!/^\s*#/.test(lines[at] ?? '')) whole = `${whole.replace(/\\\s*$/, '')}${lines[at]}`;
    }
    found.push(instructionOf(whole.trim(), line));
  }
  return found;
}

function instructionOf(whole: string, line: number): Instruction {
  const [, name = '', after = ''] = /^(\S+)\s*(.*)$/s.exec(whole) ?? [];
  const upper = name.toUpperCase();
  if (!REAL.includes(upper)) throw new DockerfileError(`dockerfile parse error on line ${line}: unknown instruction: ${name}`);
  if (!KNOWN.includes(upper)) throw new Uninterpreted(`the instruction ${upper}`);
  const flags: Record<string, string> = {};
  let text = after;
  for (let flag = FLAG.exec(text); flag && upper !== 'CMD'; flag = FLAG.exec(text)) {
    flags[flag[1] ?? ''] = flag[2] ?? '';
    text = text.slice(flag[0].length);
  }
  if (/<<-?["']?\w/.test(text)) throw new Uninterpreted('a here-document');
  return { line, name: upper, flags, words: wordsOf(text), text };
}
const FLAG = /^--([\w-]+)(?:=(\S+))?\s+/;

function wordsOf(text: string): readonly string[] | null {
  if (!text.startsWith('[')) return null;
  try {
    const words: unknown = JSON.parse(text);
    return Array.isArray(words) && words.every((word) => typeof word === 'string') ? words : null;
  } catch {
    // Then it is a shell's text, as BuildKit takes it.
    return null;
  }
}

/** `$NAME`, `${NAME}` and `${NAME:-other}` by their values; `\$` is a dollar. */
export function substituted(text: string, values: Readonly<Record<string, string>>): string {
  return text.replace(
    /\\\$|\$(\w+)|\$\{(\w+)(?::([-+])([^}]*))?\}/g,
    (all, plain?: string, braced?: string, sign?: string, other?: string) => {
      if (all === '\\$') return '$';
      const value = values[plain ?? braced ?? ''] ?? '';
      if (sign === '-') return value === '' ? (other ?? '') : value;
      return sign === '+' ? (value === '' ? '' : (other ?? '')) : value;
    },
  );
}

/** Words apart, as a shell has them, without their quotes. */
export function splitWords(text: string): readonly string[] {
  const words = text.match(/(?:[^\s"']|"(?:[^"\\]|\\.)*"|'[^']*')+/g) ?? [];
  return words.map((word) =>
    word.replace(
      /"((?:[^"\\]|\\.)*)"|'([^']*)'/g,
      (_, double?: string, single?: string) => double?.replace(/\\(["\\$])/g, '$1') ?? single ?? '',
    ),
  );
}

/** `NAME=value …`, or `NAME value`. */
export function pairsOf(text: string): readonly (readonly [string, string])[] {
  const old = /^(\w+)\s+([^=]*)$/.exec(text);
  if (old) return [[old[1] ?? '', old[2] ?? '']];
  return splitWords(text).map((word) => [word.split('=')[0] ?? '', word.slice(word.indexOf('=') + 1)] as const);
}
