import { GoogleError } from './faults.ts';

type Test<T> = (one: T) => boolean;
/** A field of what is looked through: one that has several values is met by any of them. */
export type Read<T> = { readonly of: (one: T) => readonly string[]; readonly as: 'text' | 'time' | 'severity' };
/** The field of that name; undefined where there is none. */
export type Reader<T> = (field: string) => Read<T> | undefined;

const SEVERITIES = ['DEFAULT', 'DEBUG', 'INFO', 'NOTICE', 'WARNING', 'ERROR', 'CRITICAL', 'ALERT', 'EMERGENCY'];
const TOKEN = /\s*(?:(--[^\n]*)|("(?:[^"\\]|\\.)*")|(>=|<=|!=|=~|!~|[=<>:()])|((?:[^\s"=<>:()!]|"(?:[^"\\]|\\.)*")+))/y;

/**
 * Filters as Google's lists take them (https://google.aip.dev/160 and Logging's own language), as far as anybody here asks.
 * @throws GoogleError where Google cannot read it, Error where only we can't
 */
export function parseFilter<T>(filter: string, reader: Reader<T>): Test<T> {
  const tokens = tokensOf(filter);
  if (tokens.length === 0) return () => true;
  const left = { tokens, at: 0, reader };
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

type Left<T> = { readonly tokens: readonly string[]; readonly reader: Reader<T>; at: number };
const next = <T>(left: Left<T>): string => left.tokens[left.at] ?? '';
const take = <T>(left: Left<T>, token: string): boolean => {
  if (next(left) !== token) return false;
  left.at += 1;
  return true;
};

function anyOf<T>(left: Left<T>): Test<T> {
  const tests = [allOf(left)];
  while (take(left, 'OR')) tests.push(allOf(left));
  return (entry) => tests.some((test) => test(entry));
}

/** What stands side by side, or on lines of its own, holds together. */
function allOf<T>(left: Left<T>): Test<T> {
  const tests = [one(left)];
  while (left.at < left.tokens.length && next(left) !== 'OR' && next(left) !== ')') {
    take(left, 'AND');
    tests.push(one(left));
  }
  return (entry) => tests.every((test) => test(entry));
}

function one<T>(left: Left<T>): Test<T> {
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
  const read = left.reader(field.replaceAll('"', ''));
  if (!read) throw new Error(`the stand-in knows no field ${field}`);
  if (!take(left, '(')) return comparison(read, operator, value(left));
  const tests: Test<T>[] = [];
  do tests.push(comparison(read, operator, value(left)));
  while (take(left, 'OR'));
  if (!take(left, ')')) throw unreadable(next(left));
  return (entry) => tests.some((test) => test(entry));
}

function value<T>(left: Left<T>): string {
  const token = next(left);
  if (token === '' || /^[()=<>:]/.test(token)) throw unreadable(token);
  left.at += 1;
  return token.startsWith('"') ? unquoted(token) : token;
}
const unquoted = (text: string): string => text.slice(1, -1).replace(/\\(.)/g, '$1');

function comparison<T>({ of, as }: Read<T>, operator: string, wanted: string): Test<T> {
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
  return (one) => of(one).some((own) => tests[operator]?.(own) ?? false);
}

/** As texts of one length, which sort as the times do: a number would lose the last digits. */
function nanoseconds(time: string): string {
  const fraction = /\.(\d+)/.exec(time)?.[1] ?? '';
  return `${Math.floor(Date.parse(time) / 1000)}.${fraction.padEnd(9, '0')}`;
}
