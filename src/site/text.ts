// Text from outside, made safe to show. What a forge renders after Markdown (mentions, issue numbers, emoji names, bare links) is defused with
// an invisible word joiner, so that it reads the same and does nothing; Markdown and HTML themselves are escaped.

/** U+2060: no width, no line break. An entity would not do: forges look for mentions in the text that entities have become. */
const JOINER = '\u2060';
/** Controls (C0, DEL, C1) but tab and line feed; marks that reorder text; zero-width space and marks; BOM; invisible tag letters. */
const INVISIBLE =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]/gu;

/** One line without anything invisible, lone surrogates replaced, runs of white space made one space. */
export function plainLine(text: string): string {
  return text
    .toWellFormed()
    .replace(/[\s\u0085\u2028\u2029]+/g, ' ')
    .replace(INVISIBLE, '')
    .trim();
}

/** At most `max` characters, the last of them `…` when something was cut; never half a surrogate pair. */
export function clip(text: string, max: number): string {
  if (text.length <= max) return text;
  return `${text
    .slice(0, max - 1)
    .toWellFormed()
    .replace(/\ufffd$/, '')
    .trimEnd()}…`;
}

/** Any text as one line of Markdown that shows exactly that text: in a sentence, a list item or a table's cell. */
export function escapeText(text: string, max = 300): string {
  return clip(plainLine(text), max)
    .replace(/[\\`*_[\]|~$^{}()!]/g, '\\$&')
    .replace(/&/g, '&amp;')
    .replace(/</g, '&lt;')
    .replace(/>/g, '&gt;')
    .replace(/@/g, `@${JOINER}`)
    .replace(/(?:#|&amp;)(?=[0-9])|%(?=[\w"])|\bG[HL]-(?=[0-9])/gi, (match) => `${match}${JOINER}`)
    .replace(/:(?=\/\/|[a-z0-9_+\\-]+:)/gi, `:${JOINER}`)
    .replace(/\bwww(?=\.)/gi, (match) => `${match}${JOINER}`)
    .replace(/^(?=[-+#=]|[0-9]+[.)])/, JOINER);
}

/** Any text as one line of code: nothing inside is Markdown, a mention or a link. Not for a table's cell when it may hold `|`. */
export function codeSpan(text: string, max = 300): string {
  const line = clip(plainLine(text), max);
  if (line === '') return '` `';
  const ticks = '`'.repeat(longestRun(line) + 1);
  const pad = line.startsWith('`') || line.endsWith('`') ? ' ' : '';
  return `${ticks}${pad}${line}${pad}${ticks}`;
}

/** Lines of text as a code block whose fence is longer than any run of backticks inside. */
export function fence(text: string): string {
  const ticks = '`'.repeat(Math.max(3, longestRun(text) + 1));
  return `${ticks}text\n${text.replace(/\n+$/, '')}\n${ticks}`;
}

function longestRun(text: string): number {
  let longest = 0;
  for (const run of text.match(/`+/g) ?? []) longest = Math.max(longest, run.length);
  return longest;
}

/** `ESC ]` … (titles, links, the clipboard) and its kin with their text, ended or not; then `ESC [` …; then any other escape. */
const STRINGS = /(?:\u001b[\]PX^_]|[\u009d\u0090\u0098\u009e\u009f])[^\u0007\u001b\u009c\n]*(?:\u0007|\u001b\\|\u009c)?/g;
const SEQUENCES = /(?:\u001b\[|\u009b)[0-?]*[ -/]*[@-~]?/g;
const ESCAPES = /\u001b[ -/]*[0-~]?/g;

/**
 * A log as plain lines: no escape sequences, control characters or reordering marks; of a line that was rewritten with `\r` what a
 * terminal would show at its end; of a line longer than `maxLine` characters its tail. Linear in the text's length.
 */
export function cleanLog(text: string, maxLine = 500): string {
  return text
    .toWellFormed()
    .replace(STRINGS, '')
    .replace(SEQUENCES, '')
    .replace(ESCAPES, '')
    .split(/\r*\n/)
    .map((line) => cleanLine(line, maxLine))
    .join('\n');
}

function cleanLine(line: string, maxLine: number): string {
  const end = line.replace(/\r+$/, '');
  const shown = end
    .slice(end.lastIndexOf('\r') + 1)
    .replace(INVISIBLE, '')
    .trimEnd();
  return shown.length <= maxLine
    ? shown
    : `…${shown
        .slice(1 - maxLine)
        .toWellFormed()
        .replace(/^\ufffd/, '')}`;
}

/** After its reason npm prints how it is used, which is longer than what we show of a log; and names a log file that is gone by then. */
const NPM_USAGE = /^npm error [^\n]*\nnpm error\nnpm error Usage:\n(?:npm error[^\n]*\n)*?npm error Run "npm help [^\n]*\n?/gm;
const NPM_LOG_FILE = /^npm error A complete log of this run can be found in: [^\n]*\n?/gm;

/** A cleaned log without what tools say of themselves in place of what went wrong. */
export const withoutManuals = (log: string): string => log.replace(NPM_USAGE, '').replace(NPM_LOG_FILE, '');

/** The last `count` lines, without empty ones at the end. */
export function lastLines(text: string, count: number): readonly string[] {
  const lines = text.replace(/\s+$/, '').split('\n');
  return lines.length === 1 && lines[0] === '' ? [] : lines.slice(-count);
}

/** Text in which backticks mark code, made safe: `npm, \`npm start\`` shows the same, whatever else is in it. */
export function markUp(text: string, max = 300): string {
  const parts = clip(plainLine(text), max).split('`');
  // An odd backtick has no partner: it is text.
  const whole = parts.length % 2 === 1 ? parts : [...parts.slice(0, -2), parts.slice(-2).join('`')];
  return whole.map((part, index) => (index % 2 === 1 ? codeSpan(part) : escapePart(part))).join('');
}

/** `escapeText` for a part of a sentence: a space at its ends stays. */
export function escapePart(part: string): string {
  return `${part.startsWith(' ') ? ' ' : ''}${escapeText(part)}${part.length > 1 && part.endsWith(' ') ? ' ' : ''}`;
}
