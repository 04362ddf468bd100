import type { Position, Raw } from './config-yaml.ts';
import { parseDuration } from './deadline.ts';
import { nearest } from './nearest.ts';
import { REGION_LIST, REGION_WORDS, regionsOf } from './region.ts';

/** `.mayfly.yml` as it counts. Paths are relative to the repository and stay inside it. Null: not said, so it is found out or the operator's. */
export type RepoConfig = {
  readonly previews: 'auto' | 'label' | 'command';
  readonly label: string;
  readonly drafts: boolean;
  readonly root: string;
  readonly include: readonly string[];
  readonly build: string | null;
  readonly start: string | null;
  readonly output: string | null;
  readonly port: number;
  readonly health: string;
  readonly env: Readonly<Record<string, string>>;
  readonly database: { readonly engine: 'postgres'; readonly seed: string | null } | null;
  /** Milliseconds. */
  readonly ttl: number | null;
  /** Milliseconds. */
  readonly idle: number | null;
  readonly region: string | null;
};

/** Says what is wrong with the value at a place. */
export type Tell = (at: Position, message: string) => void;
/** One setting: its default, and how a value is read; undefined when it is wrong, which was told. */
type Field<T> = { readonly fallback: T; readonly read: (raw: Raw, tell: Tell) => T | undefined };

/** Longest shell command, and longest value of a variable, in characters. */
const MAX_TEXT = 8_192;
const MAX_VARIABLES = 100;
const MAX_INCLUDES = 100;
/** Linux's PATH_MAX is 4,096 for the whole path. */
const MAX_PATH = 1_024;

/** Every setting, with its default beside how it is read. `ttl` and `idle` are milliseconds once read. */
export const FIELDS: { readonly [K in keyof RepoConfig]: Field<RepoConfig[K]> } = {
  previews: { fallback: 'auto', read: oneOf('auto', 'label', 'command') },
  label: { fallback: 'preview', read: text({ max: 100, lines: 'one' }) },
  drafts: { fallback: true, read: truth },
  root: { fallback: '.', read: path },
  include: { fallback: [], read: paths },
  build: { fallback: null, read: text({ max: MAX_TEXT, lines: 'many' }) },
  start: { fallback: null, read: text({ max: MAX_TEXT, lines: 'many' }) },
  output: { fallback: null, read: path },
  port: { fallback: 3000, read: port },
  health: { fallback: '/', read: health },
  env: { fallback: {}, read: env },
  database: { fallback: null, read: database },
  ttl: { fallback: null, read: duration },
  idle: { fallback: null, read: duration },
  region: { fallback: null, read: region },
};

function found(raw: Raw): string {
  switch (raw.kind) {
    case 'text':
      return 'text';
    case 'number':
      return `the number ${raw.source}`;
    case 'boolean':
      return raw.source;
    case 'nothing':
      return 'nothing';
    case 'list':
      return 'a list';
    case 'map':
      return 'a map';
    default:
      return raw satisfies never;
  }
}

function oneOf<const T extends string>(...words: readonly T[]): Field<T>['read'] {
  return (raw, tell) => {
    const word = words.find((candidate) => raw.kind === 'text' && raw.text === candidate);
    if (word !== undefined) return word;
    const near = raw.kind === 'text' ? nearest(raw.text, words) : undefined;
    const hint = near === undefined ? '' : `; did you mean ${near}?`;
    tell(raw, `must be ${words.join(', ').replace(/, ([^,]*)$/, ' or $1')}${raw.kind === 'text' ? hint : `, not ${found(raw)}`}`);
    return undefined;
  };
}

function text(limits: { readonly max: number; readonly lines: 'one' | 'many' }): Field<string>['read'] {
  return (raw, tell) => {
    if (raw.kind !== 'text') return refuse(tell, raw, `must be text, not ${found(raw)}; put it in quotes`);
    const value = raw.text.trim();
    if (value === '') return refuse(tell, raw, 'is empty; leave it out instead');
    if (value.length > limits.max) return refuse(tell, raw, `is longer than ${limits.max} characters`);
    if (limits.lines === 'one' && value.includes('\n')) return refuse(tell, raw, 'must be one line');
    return value;
  };
}

function truth(raw: Raw, tell: Tell): boolean | undefined {
  return raw.kind === 'boolean' ? raw.value : refuse(tell, raw, `must be true or false, not ${found(raw)}`);
}

function path(raw: Raw, tell: Tell): string | undefined {
  if (raw.kind !== 'text') return refuse(tell, raw, `must be a path inside the repository, not ${found(raw)}`);
  const parts = raw.text.trim().split('/');
  if (raw.text.trim() === '') return refuse(tell, raw, 'is empty; "." is the whole repository');
  if (parts[0] === '') return refuse(tell, raw, 'must be relative to the repository, so it cannot start with "/"');
  if (parts.includes('..')) return refuse(tell, raw, 'must stay inside the repository, so it cannot have ".." in it');
  if (parts.some((part) => part.toLowerCase() === '.git')) return refuse(tell, raw, 'cannot be inside ".git"');
  if (raw.text.length > MAX_PATH || /[\n\r\t\\]/.test(raw.text)) return refuse(tell, raw, 'is not a path; folders are parted by "/"');
  const kept = parts.filter((part) => part !== '' && part !== '.');
  return kept.length === 0 ? '.' : kept.join('/');
}

function paths(raw: Raw, tell: Tell): readonly string[] | undefined {
  if (raw.kind !== 'list') return refuse(tell, raw, `must be a list of paths, like [packages/shared], not ${found(raw)}`);
  if (raw.items.length > MAX_INCLUDES) return refuse(tell, raw, `has more than ${MAX_INCLUDES} paths`);
  const read = raw.items.map((item) => path(item, tell));
  return [...new Set(read.filter((item) => item !== undefined))];
}

function port(raw: Raw, tell: Tell): number | undefined {
  if (raw.kind === 'number' && Number.isInteger(raw.value) && raw.value >= 1 && raw.value <= 65_535) return raw.value;
  return refuse(tell, raw, `must be a whole number from 1 to 65535, like 3000, not ${raw.kind === 'text' ? 'text in quotes' : found(raw)}`);
}

function health(raw: Raw, tell: Tell): string | undefined {
  if (raw.kind !== 'text') return refuse(tell, raw, `must be a path of the site, like /healthz, not ${found(raw)}`);
  if (/^[a-z][a-z0-9+.-]*:/i.test(raw.text) || raw.text.startsWith('//')) {
    return refuse(tell, raw, 'must be a path of the site, like /healthz, not an address: only the site itself is asked');
  }
  if (!raw.text.startsWith('/')) return refuse(tell, raw, 'must start with "/", like /healthz');
  return /^[!-"$-[\]-~]{1,1024}$/.test(raw.text) ? raw.text : refuse(tell, raw, 'must be a path as in an address: no spaces, "#" or "\\"');
}

function duration(raw: Raw, tell: Tell): number | undefined {
  const ms = raw.kind === 'text' ? parseDuration(raw.text) : undefined;
  return ms ?? refuse(tell, raw, 'must be a length of time: 90s, 15m, 36h, 3d or 2w');
}

function region(raw: Raw, tell: Tell): string | undefined {
  if (raw.kind !== 'text') return refuse(tell, raw, `must be a region, like eu-frankfurt, not ${found(raw)}`);
  if (regionsOf(raw.text).length > 0) return raw.text.trim().toLowerCase();
  const near = nearest(raw.text, REGION_WORDS);
  const hint = near === undefined ? `there are ${REGION_LIST}` : `did you mean ${near}?`;
  return refuse(tell, raw, `names a region that does not exist, "${raw.text}"; ${hint}`);
}

function database(raw: Raw, tell: Tell): RepoConfig['database'] | undefined {
  if (raw.kind !== 'map') return refuse(tell, raw, 'must be like { engine: postgres, seed: db/seed.sql }');
  const entries = new Map(raw.entries.map((entry) => [entry.key, entry]));
  for (const [key, entry] of entries) {
    if (key === 'engine' || key === 'seed') continue;
    const near = nearest(key, ['engine', 'seed']);
    tell(entry, `has no part "${key}"${near === undefined ? '; it has "engine" and "seed"' : `; did you mean "${near}"?`}`);
  }
  const engine = entries.get('engine')?.value;
  if (engine?.kind !== 'text' || engine.text !== 'postgres') tell(engine ?? raw, 'needs "engine: postgres", the one engine there is');
  const seed = entries.get('seed')?.value;
  const file = seed === undefined || seed.kind === 'nothing' ? null : path(seed, (at, message) => tell(at, `has a "seed" that ${message}`));
  if (seed && file === '.') tell(seed, 'has a "seed" that must be a file');
  return { engine: 'postgres', seed: file ?? null };
}

/** Set by Mayfly itself, so that a value from the file could only mislead. */
const TAKEN: Readonly<Record<string, string>> = {
  PORT: 'is set to the setting "port"',
  PATH: 'is set by the sandbox; name the program with its folder instead',
  HOME: 'is set by the sandbox',
  TMPDIR: 'is set by the sandbox',
};

function env(raw: Raw, tell: Tell): Readonly<Record<string, string>> | undefined {
  if (raw.kind !== 'map') return refuse(tell, raw, `must be names with values, like { NODE_ENV: preview }, not ${found(raw)}`);
  if (raw.entries.length > MAX_VARIABLES) return refuse(tell, raw, `has more than ${MAX_VARIABLES} variables`);
  const variables: [string, string][] = [];
  for (const entry of raw.entries) {
    const mistake = mistakeInName(entry.key) ?? mistakeInValue(entry.value);
    if (mistake !== undefined) tell(entry, `has "${entry.key}", which ${mistake}`);
    else variables.push([entry.key, asTyped(entry.value)]);
  }
  return Object.fromEntries(variables);
}

function mistakeInName(name: string): string | undefined {
  if (!/^[A-Za-z_][A-Za-z0-9_]{0,127}$/.test(name) || name === '__proto__') return 'is no name of a variable: letters, digits and "_" only';
  if (Object.hasOwn(TAKEN, name)) return TAKEN[name];
  return /^(LD_|MAYFLY_)/.test(name) ? 'starts with letters that are kept for the sandbox' : undefined;
}

function mistakeInValue(raw: Raw): string | undefined {
  if (raw.kind === 'list' || raw.kind === 'map') return `must be text, not ${found(raw)}`;
  return asTyped(raw).length > MAX_TEXT ? `is longer than ${MAX_TEXT} characters` : undefined;
}

/** Numbers and truth values as they were typed: `1.10` stays `1.10`. */
function asTyped(raw: Raw): string {
  if (raw.kind === 'text') return raw.text;
  return raw.kind === 'number' || raw.kind === 'boolean' ? raw.source : '';
}

function refuse(tell: Tell, at: Position, message: string): undefined {
  tell(at, message);
  return undefined;
}
