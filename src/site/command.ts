import { parseDuration } from './deadline.ts';
import { nearest } from './nearest.ts';

/** The commands that are one word. */
type Lone = 'deploy' | 'rebuild' | 'status' | 'keep' | 'stop' | 'sleep' | 'wake' | 'help' | 'ping';

/** What a person asked for in a comment. */
export type Command =
  | { readonly type: Lone }
  | { readonly type: 'extend'; readonly byMs: number }
  /** The first 7 to 64 digits of the commit; null for the pull's head when the comment was written. */
  | { readonly type: 'approve'; readonly sha: string | null }
  | { readonly type: 'logs'; readonly of: 'build' | 'app'; readonly lines: number }
  /** What was typed, which may be no region. */
  | { readonly type: 'region'; readonly name: string };

/**
 * A line that was meant as a command. `typed` is text from outside; `meant` is the command, or a plain sentence that says what is wrong
 * with it and quotes nothing of it.
 */
export type TypedLine = { readonly typed: string; readonly meant: Command | string };

/** More commands in one comment are not looked at. */
export const MAX_COMMANDS = 5;
const MAX_LOG_LINES = 200;
const DEFAULT_LOG_LINES = 30;
/** No command is longer; what is, is prose. */
const MAX_LINE = 300;

/**
 * The commands of a new comment, in order, and the lines that were meant as ones but are none. A command is a line of its own that
 * starts with `word`, outside quotes, code blocks and HTML comments. Linear in the comment's length.
 */
export function parseCommands(comment: string, word = '/preview'): readonly TypedLine[] {
  // Nearly every comment is none of ours; `toLowerCase` may find too much here, never too little.
  if (!comment.toLowerCase().includes(word.toLowerCase())) return [];
  const found: TypedLine[] = [];
  for (const line of spokenLines(comment)) {
    const words = wordsAfter(line, word);
    if (words === undefined) continue;
    if (found.length === MAX_COMMANDS) {
      found.push({ typed: line.trim(), meant: `Only the first ${MAX_COMMANDS} commands of a comment are looked at.` });
      break;
    }
    found.push({ typed: line.trim(), meant: parseWords(words, word) });
  }
  return found;
}

/** The words after the command word; undefined when the line does not start with it. */
function wordsAfter(line: string, word: string): readonly string[] | undefined {
  if (line.length > MAX_LINE) return undefined;
  const words = line.split(/[ \t]+/).filter((part) => part !== '');
  return words[0] !== undefined && asciiLower(words[0]) === asciiLower(word) ? words.slice(1) : undefined;
}

/** `toLowerCase` would take the Kelvin sign for a `k`. */
const asciiLower = (text: string): string => text.replace(/[A-Z]/g, (letter) => letter.toLowerCase());

type Grammar = (words: readonly string[], line: { readonly word: string; readonly verb: string }) => Command | string;

const alone =
  (type: Lone): Grammar =>
  (words, { word, verb }) =>
    words.length === 0 ? { type } : `\`${word} ${verb}\` takes nothing after it.`;

const GRAMMAR: Readonly<Record<string, Grammar>> = {
  deploy: alone('deploy'),
  rebuild: alone('rebuild'),
  status: alone('status'),
  extend: (words, { word }) => {
    const byMs = words.length === 1 ? parseDuration(words[0] ?? '') : undefined;
    return byMs === undefined ? `Say for how long: \`${word} extend 3d\` (90s, 15m, 36h, 3d, 2w).` : { type: 'extend', byMs };
  },
  keep: alone('keep'),
  stop: alone('stop'),
  delete: alone('stop'),
  sleep: alone('sleep'),
  wake: alone('wake'),
  approve: (words, { word }) => {
    const [sha] = words;
    if (sha === undefined) return { type: 'approve', sha: null };
    const isSha = words.length === 1 && /^[0-9a-f]{7,64}$/i.test(sha);
    return isSha ? { type: 'approve', sha: sha.toLowerCase() } : `Name one commit by 7 or more of its digits: \`${word} approve 3f2a9c1\`.`;
  },
  logs: (words, { word }) => {
    const rest = [...words];
    const named = rest[0] === 'build' || rest[0] === 'app' ? rest.shift() : undefined;
    const lines = rest.length === 0 ? DEFAULT_LOG_LINES : /^[1-9][0-9]{0,2}$/.test(rest[0] ?? '') ? Number(rest[0]) : 0;
    if (rest.length > 1 || lines === 0 || lines > MAX_LOG_LINES)
      return `Write \`${word} logs\`, \`${word} logs build 50\` or \`${word} logs app 50\`, at most ${MAX_LOG_LINES} lines.`;
    return { type: 'logs', of: named === 'app' ? 'app' : 'build', lines };
  },
  region: (words, { word }) => {
    const [name] = words;
    if (name === undefined || words.length > 1) return `Name one region: \`${word} region eu-frankfurt\`.`;
    return { type: 'region', name: name.toLowerCase() };
  },
  help: alone('help'),
  ping: alone('ping'),
};

function parseWords(words: readonly string[], word: string): Command | string {
  const [first, ...rest] = words;
  if (first === undefined) return { type: 'deploy' };
  const verb = asciiLower(first);
  const grammar = Object.hasOwn(GRAMMAR, verb) ? GRAMMAR[verb] : undefined;
  if (grammar) return grammar(rest, { word, verb });
  const near = nearest(verb, Object.keys(GRAMMAR));
  const hint = near === undefined ? `\`${word} help\` lists what there is.` : `Did you mean \`${word} ${near}\`?`;
  return `There is no such command. ${hint}`;
}

/** HTML whose content is shown as code, as a quote, or not at all, up to its closing tag. */
const OPAQUE = /^<(pre|script|style|textarea|blockquote|code)(?=[\s>/]|$)/i;

/** The lines that a person says in their own voice, as Markdown shows the comment. When in doubt a line is left out. */
function* spokenLines(comment: string): Generator<string> {
  /** The text that ends what we are inside of. */
  let until: { readonly kind: 'fence'; readonly mark: string } | { readonly kind: 'html'; readonly end: string } | undefined;
  for (const line of comment.split(/\r\n?|\n/)) {
    if (until?.kind === 'fence') {
      if (closesFence(line, until.mark)) until = undefined;
      continue;
    }
    if (until?.kind === 'html') {
      if (line.toLowerCase().includes(until.end)) until = undefined;
      continue;
    }
    if (line.trim() === '') continue;
    if (/^(?: {4}| {0,3}\t)/.test(line) || /^ {0,3}>/.test(line)) continue;
    const mark = opensFence(line);
    if (mark !== undefined) {
      until = { kind: 'fence', mark };
      continue;
    }
    const end = opensHtml(line);
    if (end !== undefined) until = { kind: 'html', end };
    else yield line;
  }
}

/** The run of backticks or tildes that opens a code block on this line, also as the first thing of a list's item. */
function opensFence(line: string): string | undefined {
  if (!line.includes('```') && !line.includes('~~~')) return undefined;
  const found = /^(?: {0,3}(?:[-*+]|[0-9]{1,9}[.)])(?= ))* {0,3}(`{3,}|~{3,})(.*)$/.exec(line);
  return found?.[1]?.startsWith('`') && found[2]?.includes('`') ? undefined : found?.[1];
}

/** At least as many of the same character, and nothing else. */
function closesFence(line: string, mark: string): boolean {
  const trimmed = line.trim();
  return trimmed.length >= mark.length && trimmed === mark.charAt(0).repeat(trimmed.length);
}

/** What has to come before anything is spoken again; undefined when the line leaves nothing open. */
function opensHtml(line: string): string | undefined {
  const shown = line.trimStart();
  const element = OPAQUE.exec(shown)?.[1]?.toLowerCase();
  if (element !== undefined) return shown.toLowerCase().includes(`</${element}>`) ? undefined : `</${element}>`;
  const outsideCode = shown.replace(/`[^`]*`/g, '');
  const opened = outsideCode.lastIndexOf('<!--');
  return opened >= 0 && !outsideCode.includes('-->', opened) ? '-->' : undefined;
}
