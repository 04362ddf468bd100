import type { LogEntry } from './cloud.ts';
import { GoogleError } from './faults.ts';

/** https://cloud.google.com/logging/docs/view/logging-query-language, as far as anybody here asks. */
type Test = (entry: LogEntry) => boolean;

const SEVERITIES = ['DEFAULT', 'DEBUG', 'INFO', 'NOTICE', 'WARNING', 'ERROR', 'CRITICAL', 'ALERT', 'EMERGENCY'];
const TOKEN = /\s*(?:(--[^\n]*)|("(?:[^"\\]|\\.)*")|(>=|<=|!=|=~|!~|[=<>:()])|((?:[^\s"=<>:()!]|"(?:[^"\\]|\\.)*")+))/y;

/** @throws GoogleError where Google cannot read it, Error where only we can't */
export function parseFilter(filter: string): Test {
  const tokens = tokensOf(filter);
  if (tokens.length === 0) return () => true;
  const left = { tokens, at: 0 };
  const test = anyOf(left);
  if (left.at < tokens.length) throw unreadable(tokens[left.at] ?? '');
  return test;
}

const unreadable = (token: string): GoogleError =>
  new GoogleError('INVALID_ARGUMENT', `Unparseable filter: syntax error at token '${token}'`);

function tokensOf(filter: string): readonly string[] {
  const tokens: string[] = [];
  TOKEN.lastIndex = 0;
  while (filter.slice(TOKEN.lastIndex).trim() !== '') {
    const at = TOKEN.lastIndex;
    const match = TOKEN.exec(filter);
    if (!match) throw unreadable(filter.slice(at).trim());
    if (match[1] === undefined) tokens.push(match[0].trim());
  }
  return tokens;
}

type Left = { readonly tokens: readonly string[]; at: number };
const next = (left: Left): string => left.tokens[left.at] ?? '';
const take = (left: Left, token: string): boolean => {
  if (next(left) !== token) return false;
  left.at += 1;
  return true;
};

function anyOf(left: Left): Test {
  const tests = [allOf(left)];
  while (take(left, 'OR')) tests.push(allOf(left));
  return (entry) => tests.some((test) => test(entry));
}

/** What stands side by side, or on lines of its own, holds together. */
function allOf(left: Left): Test {
  const tests = [one(left)];
  while (left.at < left.tokens.length && next(left) !== 'OR' && next(left) !== ')') {
    take(left, 'AND');
    tests.push(one(left));
  }
  return (entry) => tests.every((test) => test(entry));
}

function one(left: Left): Test {
  if (take(left, 'NOT')) {
    const test = one(left);
    return (entry) => !test(entry);
  }
  if (take(left, '(')) {
    const test = anyOf(left);
    if (!take(left, ')')) throw unreadable(next(left));
    return test;
  }
  const field = next(left);
  const operator = left.tokens[left.at + 1] ?? '';
  if (!/^(>=|<=|!=|=~|!~|[=<>:])$/.test(operator)) throw new Error(`the stand-in does not search for bare words: ${field}`);
  left.at += 2;
  const read = reader(field);
  if (!take(left, '(')) return comparison(read, operator, value(left));
  const tests: Test[] = [];
  do tests.push(comparison(read, operator, value(left)));
  while (take(left, 'OR'));
  if (!take(left, ')')) throw unreadable(next(left));
  return (entry) => tests.some((test) => test(entry));
}

function value(left: Left): string {
  const token = next(left);
  if (token === '' || /^[()=<>:]/.test(token)) throw unreadable(token);
  left.at += 1;
  return token.startsWith('"') ? unquoted(token) : token;
}
const unquoted = (text: string): string => text.slice(1, -1).replace(/\\(.)/g, '$1');

type Read = { readonly of: (entry: LogEntry) => string | undefined; readonly as: 'text' | 'time' | 'severity' };

function reader(field: string): Read {
  const label = /^(resource\.labels|labels|jsonPayload)\.(.+)$/.exec(field);
  const name = label?.[2]?.startsWith('"') ? unquoted(label[2]) : (label?.[2] ?? '');
  if (label?.[1] === 'resource.labels') return { of: ({ resource }) => resource.labels[name], as: 'text' };
  if (label?.[1] === 'labels') return { of: ({ labels }) => labels[name], as: 'text' };
  if (label?.[1] === 'jsonPayload')
    return { of: ({ jsonPayload }) => (jsonPayload?.[name] === undefined ? undefined : String(jsonPayload[name])), as: 'text' };
  if (field === 'resource.type') return { of: ({ resource }) => resource.type, as: 'text' };
  if (field === 'timestamp') return { of: ({ timestamp }) => timestamp, as: 'time' };
  if (field === 'severity') return { of: ({ severity }) => severity, as: 'severity' };
  if (field === 'logName') return { of: ({ logName }) => logName, as: 'text' };
  if (field === 'insertId') return { of: ({ insertId }) => insertId, as: 'text' };
  if (field === 'textPayload') return { of: ({ textPayload }) => textPayload, as: 'text' };
  throw new Error(`the stand-in knows no field ${field} of log entries`);
}

function comparison({ of, as }: Read, operator: string, wanted: string): Test {
  if (as === 'time' && Number.isNaN(Date.parse(wanted))) throw new GoogleError('INVALID_ARGUMENT', `Invalid timestamp: '${wanted}'`);
  const rank = (text: string): number | string => {
    if (as === 'time') return nanoseconds(text);
    return as === 'severity' ? SEVERITIES.indexOf(text) : text;
  };
  const tests: Readonly<Record<string, (own: string) => boolean>> = {
    '=': (own) => rank(own) === rank(wanted),
    '!=': (own) => rank(own) !== rank(wanted),
    '>': (own) => rank(own) > rank(wanted),
    '>=': (own) => rank(own) >= rank(wanted),
    '<': (own) => rank(own) < rank(wanted),
    '<=': (own) => rank(own) <= rank(wanted),
    // Text is contained whatever its case.
    ':': (own) => own.toLowerCase().includes(wanted.toLowerCase()),
    '=~': (own) => new RegExp(wanted).test(own),
    '!~': (own) => !new RegExp(wanted).test(own),
  };
  return (entry) => {
    const own = of(entry);
    return own !== undefined && (tests[operator]?.(own) ?? false);
  };
}

/** As texts of one length, which sort as the times do: a number would lose the last digits. */
function nanoseconds(time: string): string {
  const fraction = /\.(\d+)/.exec(time)?.[1] ?? '';
  return `${Math.floor(Date.parse(time) / 1000)}.${fraction.padEnd(9, '0')}`;
}
