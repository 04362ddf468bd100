import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument, type YAMLError } from 'yaml';
import { clip } from './text.ts';

/** Where something stands in the file, both counted from one. */
export type Position = { readonly line: number; readonly column: number };
/** Something wrong in the file. The message is plain text and quotes the file: escape it before showing. */
export type Mistake = Position & { readonly message: string };

/** A file as written, before anything is believed about it. `source` is a number or truth value as it was typed. */
export type Raw = Position &
  (
    | { readonly kind: 'text'; readonly text: string }
    | { readonly kind: 'number'; readonly value: number; readonly source: string }
    | { readonly kind: 'boolean'; readonly value: boolean; readonly source: string }
    | { readonly kind: 'nothing' }
    | { readonly kind: 'list'; readonly items: readonly Raw[] }
    | { readonly kind: 'map'; readonly entries: readonly RawEntry[] }
  );
export type RawEntry = Position & { readonly key: string; readonly value: Raw };

export const MAX_BYTES = 64 * 1024;
/** The settings need three levels. The library recurses, and 200,000 open brackets kept it busy for 860 ms: deep files never reach it. */
const MAX_DEPTH = 30;
/** Characters that may begin something of their own. At 64 KiB of nothing else the library needs 600 ms; at this many, under 60 ms. */
const MAX_MARKS = 4_000;
/** More than this many mistakes help nobody. */
export const MAX_MISTAKES = 20;
const MAX_MESSAGE = 240;

export const TOO_LARGE: Mistake = { line: 1, column: 1, message: 'is larger than 64 KiB' };

type Reading = { readonly at: (offset: number) => Position; readonly mistakes: Mistake[] };

/** Reads one YAML 1.2 document that is a map, or empty (undefined). Tags, anchors and aliases are mistakes. Never throws. */
export function readYaml(text: string): { readonly root: Raw | undefined } | { readonly mistakes: readonly Mistake[] } {
  const body = text.startsWith('\ufeff') ? text.slice(1) : text;
  const unfit = unfitText(body);
  if (unfit) return { mistakes: [unfit] };
  const lines = new LineCounter();
  try {
    const document = parseDocument(body, {
      lineCounter: lines,
      prettyErrors: false,
      uniqueKeys: false,
      version: '1.2',
      logLevel: 'error',
    });
    const at = (offset: number): Position => positionOf(lines, offset);
    const reading: Reading = { at, mistakes: document.errors.map((error) => ({ ...at(error.pos[0]), message: syntaxMessage(error) })) };
    const root = reading.mistakes.length === 0 && document.contents ? toRaw(document.contents, reading) : undefined;
    const isEmpty = root === undefined || root.kind === 'nothing';
    if (!isEmpty && root.kind !== 'map') reading.mistakes.push({ ...position(root), message: 'must be settings, one "key: value" a line' });
    if (reading.mistakes.length > 0) return { mistakes: sorted(reading.mistakes) };
    return { root: isEmpty ? undefined : root };
  } catch {
    // Whatever the library makes of a file that was made to break it: the person needs to know which file, and we must not fall.
    return { mistakes: [{ line: 1, column: 1, message: 'cannot be read as YAML' }] };
  }
}

export const position = ({ line, column }: Position): Position => ({ line, column });

/** In the order of the file, no more than help, and each short however long the key is that it quotes. */
export function sorted(mistakes: readonly Mistake[]): readonly Mistake[] {
  return [...mistakes]
    .sort((a, b) => a.line - b.line || a.column - b.column)
    .slice(0, MAX_MISTAKES)
    .map((mistake) => ({ ...mistake, message: clip(mistake.message, MAX_MESSAGE) }));
}

function positionOf(lines: LineCounter, offset: number): Position {
  const { line, col } = lines.linePos(offset);
  return line === 0 ? { line: 1, column: 1 } : { line, column: col };
}

function unfitText(text: string): Mistake | undefined {
  if (text.length > MAX_BYTES || new TextEncoder().encode(text).length > MAX_BYTES) {
    return TOO_LARGE;
  }
  const broken = /[\ufffd\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]|[\ud800-\udfff]/u.exec(text);
  if (broken) {
    const message = broken[0] === '\ufffd' ? 'is not UTF-8 text from here on' : 'has a character here that is not text';
    return { ...positionIn(text, broken.index), message };
  }
  const deep = tooDeepAt(text);
  if (deep !== undefined) return { ...positionIn(text, deep), message: 'is nested too deeply here' };
  const marks = text.match(/[[\]{},:?*&!"'\n]|-[ \t]/g)?.length ?? 0;
  return marks > MAX_MARKS ? { line: 1, column: 1, message: 'holds far more than settings ever do' } : undefined;
}

function positionIn(text: string, offset: number): Position {
  const before = text.slice(0, offset).split('\n');
  return { line: before.length, column: (before.at(-1) ?? '').length + 1 };
}

/** Where brackets, or markers of lists in lists, go deeper than any settings would; text in quotes counts too, which no command reaches. */
function tooDeepAt(text: string): number | undefined {
  let open = 0;
  for (let index = 0; index < text.length; index++) {
    const character = text[index];
    if (character === '[' || character === '{') open++;
    else if (character === ']' || character === '}') open = Math.max(0, open - 1);
    if (open > MAX_DEPTH) return index;
  }
  const markers = new RegExp(`(?:[-?:][ \\t]+){${MAX_DEPTH}}`).exec(text);
  const indented = /^ {120,}\S/m.exec(text);
  return markers?.index ?? indented?.index;
}

function syntaxMessage(error: YAMLError): string {
  switch (error.code) {
    case 'TAB_AS_INDENT':
      return 'a tab cannot indent in YAML; use spaces';
    case 'MULTIPLE_DOCS':
      return 'a second document starts here; only one is read, so take out the "---"';
    case 'BAD_INDENT':
      return 'the indentation does not fit the lines above';
    case 'TAG_RESOLVE_FAILED':
      return 'tags ("!…") are not used here';
    case 'MISSING_CHAR':
    case 'BAD_SCALAR_START':
    case 'UNEXPECTED_TOKEN':
    case 'MULTILINE_IMPLICIT_KEY':
    case 'BLOCK_AS_IMPLICIT_KEY':
      return `not valid YAML: ${lowerFirst(error.message)}; text with special characters needs quotes`;
    default:
      return `not valid YAML: ${lowerFirst(error.message)}`;
  }
}

const lowerFirst = (text: string): string => text.slice(0, 1).toLowerCase() + text.slice(1).replace(/[.\n].*$/s, '');

function toRaw(node: Node, reading: Reading): Raw {
  const at = reading.at(node.range?.[0] ?? 0);
  if (isAlias(node)) return refused(reading, at, 'aliases ("*…") are not used here; write the value out');
  if (node.tag !== undefined && !isPlainTag(node.tag)) return refused(reading, at, 'tags ("!…") are not used here');
  if (isMap(node)) {
    const entries = node.items.flatMap((pair) => toEntry(pair.key, pair.value, { at, reading }));
    refuseDuplicates(entries, reading);
    return { ...at, kind: 'map', entries };
  }
  if (isSeq(node)) {
    const nothing: Raw = { ...at, kind: 'nothing' };
    return { ...at, kind: 'list', items: node.items.map((item) => (isNode(item) ? toRaw(item, reading) : nothing)) };
  }
  if (!isScalar(node)) return refused(reading, at, 'cannot be read');
  const { value, source = '' } = node;
  if (typeof value === 'string') {
    // Escapes ("\0", "\ud800") get past the look at the file itself, and no path, command or variable can hold what they make.
    if (value.includes('\0')) return refused(reading, at, 'has the character NUL in it');
    return value.isWellFormed() ? { ...at, kind: 'text', text: value } : refused(reading, at, 'has half a character in it');
  }
  if (typeof value === 'number') return { ...at, kind: 'number', value, source };
  if (typeof value === 'boolean') return { ...at, kind: 'boolean', value, source };
  return { ...at, kind: 'nothing' };
}

const PLAIN_TAGS = new Set(['map', 'seq', 'str', 'int', 'float', 'bool', 'null'].map((name) => `tag:yaml.org,2002:${name}`));
const isPlainTag = (tag: string): boolean => PLAIN_TAGS.has(tag);

const isNode = (value: unknown): value is Node => isAlias(value) || isMap(value) || isSeq(value) || isScalar(value);

function refused(reading: Reading, at: Position, message: string): Raw {
  reading.mistakes.push({ ...at, message });
  return { ...at, kind: 'nothing' };
}

function toEntry(key: unknown, value: unknown, within: { readonly at: Position; readonly reading: Reading }): readonly RawEntry[] {
  const { at: outer, reading } = within;
  const at = isNode(key) ? reading.at(key.range?.[0] ?? 0) : outer;
  if (!isScalar(key) || key.value === null) {
    refused(reading, at, 'a key must be a word');
    return [];
  }
  const name = typeof key.value === 'string' ? key.value : (key.source ?? String(key.value));
  return [{ ...at, key: name, value: isNode(value) ? toRaw(value, reading) : { ...at, kind: 'nothing' } }];
}

function refuseDuplicates(entries: readonly RawEntry[], reading: Reading): void {
  const first = new Map<string, RawEntry>();
  for (const entry of entries) {
    const earlier = first.get(entry.key);
    if (earlier) reading.mistakes.push({ ...position(entry), message: `"${entry.key}" is there twice, first on line ${earlier.line}` });
    else first.set(entry.key, entry);
  }
}
