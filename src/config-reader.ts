import { parseDuration } from './site/deadline.ts';
import { nearest } from './site/nearest.ts';

export type Environment = Readonly<Record<string, string | undefined>>;
/** One setting that is wrong: in `wrong` no secret is ever quoted. */
export type ConfigProblem = { readonly name: string; readonly wrong: string; readonly example: string };

/** What is read of one variable: its name, an example for whoever got it wrong, and what it is when unset or empty. */
export type Field<Value> = { readonly name: string; readonly example: string; readonly fallback: Value };
export type Parsed<Value> = { readonly value: Value } | { readonly wrong: string };

/** What nobody has to guess. */
const GIVEN_AWAY = ['development', 'secret', 'changeme', 'password'];

/** Reads one environment and gathers every problem in it; what is wrong reads as its fallback. */
export type Reader = {
  readonly problems: readonly ConfigProblem[];
  /** The variable's text without surrounding space; undefined when unset or empty. */
  text(name: string): string | undefined;
  /** Whether it is set, if only to nothing. */
  isSet(name: string): boolean;
  problem(problem: ConfigProblem): void;
  parsed<Value>(field: Field<Value>, parse: (text: string) => Parsed<Value>): Value;
  oneOf<Word extends string>(field: Field<Word>, words: readonly Word[]): Word;
  integer(field: Field<number>, range: { readonly from: number; readonly to: number }): number;
  duration(field: Field<number>, range: { readonly from: number; readonly to: number }): number;
  /** A secret: set but empty, well known or shorter than `atLeast` characters is a problem. */
  secret(field: Omit<Field<null>, 'fallback'>, atLeast: number): string | null;
  list(name: string): readonly string[] | undefined;
};

export function openReader(environment: Environment): Reader {
  const problems: ConfigProblem[] = [];
  const text: Reader['text'] = (name) => environment[name]?.trim() || undefined;
  const parsed: Reader['parsed'] = ({ name, example, fallback }, parse) => {
    const set = text(name);
    if (set === undefined) return fallback;
    const result = parse(set);
    if ('value' in result) return result.value;
    problems.push({ name, wrong: result.wrong, example });
    return fallback;
  };
  return {
    problems,
    text,
    isSet: (name) => environment[name] !== undefined,
    problem: (problem) => void problems.push(problem),
    parsed,
    oneOf: (field, words) =>
      parsed(field, (set) => {
        const value = words.find((word) => word === set);
        return value === undefined ? { wrong: `${quoted(set)} is not one of ${words.join(', ')}${meant(set, words)}` } : { value };
      }),
    integer: (field, { from, to }) =>
      parsed(field, (set) => {
        const value = /^[0-9]{1,15}$/.test(set) ? Number(set) : Number.NaN;
        return value >= from && value <= to ? { value } : { wrong: `${quoted(set)} is not a whole number from ${from} to ${to}` };
      }),
    duration: (field, { from, to }) =>
      parsed(field, (set) => {
        const value = parseDuration(set);
        if (value === undefined) return { wrong: `${quoted(set)} is not a duration: digits and one of s, m, h, d, w` };
        return value >= from && value <= to ? { value } : { wrong: `${quoted(set)} is not between ${span(from)} and ${span(to)}` };
      }),
    secret({ name, example }, atLeast) {
      const raw = environment[name];
      if (raw === undefined) return null;
      const value = raw.trim();
      const wrong = weakness(value, atLeast);
      if (wrong === undefined) return value;
      problems.push({ name, wrong, example });
      return null;
    },
    list: (name) =>
      text(name)
        ?.split(',')
        .map((word) => word.trim())
        .filter((word) => word !== ''),
  };
}

function weakness(value: string, atLeast: number): string | undefined {
  if (value === '') return 'is set but empty';
  if (GIVEN_AWAY.includes(value.toLowerCase())) return 'is a word that everybody knows; make a secret of your own';
  if (value.length < atLeast) return `has ${value.length} characters; at least ${atLeast} are needed`;
  return undefined;
}

/** A setting's text as it is shown: one line, not too long. */
export const quoted = (text: string): string => JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);
export function meant(word: string, words: readonly string[]): string {
  const near = nearest(word, words);
  return near === undefined ? '' : `; did you mean ${near}?`;
}

function span(ms: number): string {
  const units = [
    ['d', 86_400_000],
    ['h', 3_600_000],
    ['m', 60_000],
  ] as const;
  const unit = units.find(([, size]) => ms % size === 0);
  return unit ? `${ms / unit[1]}${unit[0]}` : `${ms / 1_000}s`;
}

/** An `http(s)` address without credentials, query or fragment; `path: 'none'` also without a path. The value is never quoted. */
export function parseWebUrl(text: string, path: 'none' | 'any'): Parsed<URL> {
  const url = URL.parse(text);
  if (!url || !['http:', 'https:'].includes(url.protocol)) return { wrong: 'is not an http:// or https:// address' };
  if (url.username || url.password) return { wrong: 'holds credentials; they have no place here' };
  if (url.search || url.hash) return { wrong: 'has a query or a fragment; leave it out' };
  if (path === 'none' && url.pathname !== '/') return { wrong: 'has a path; only protocol, host and port are wanted' };
  return { value: url };
}

/** An address of a server, or `unix:///` and the path of its socket. It may hold credentials, so it is never quoted. */
export function parseServerUrl(text: string, protocols: readonly string[]): Parsed<string> {
  const url = URL.parse(text);
  const wanted = protocols.map((protocol) => `${protocol}//…`).join(' or ');
  const isPlace =
    url?.protocol === 'unix:' ? url.hostname === '' && url.pathname.length > 1 : url?.hostname || url?.searchParams.has('host');
  if (!url || !protocols.includes(url.protocol) || !isPlace) {
    return { wrong: `is not an address that starts with ${wanted}` };
  }
  return { value: text };
}
