import { createHash } from 'node:crypto';
import { FIELDS, type RepoConfig } from './config-fields.ts';
import {
  MAX_MISTAKES,
  type Mistake,
  type Position,
  position,
  type Raw,
  type RawEntry,
  readYaml,
  sorted,
  TOO_LARGE,
} from './config-yaml.ts';
import type { Repository } from './identity.ts';
import { nearest } from './nearest.ts';
import type { Facts } from './ports.ts';
import { Fault } from './problem.ts';

export type { Mistake, RepoConfig };
export const CONFIG_FILE = '.mayfly.yml';
export { MAX_BYTES as CONFIG_MAX_BYTES } from './config-yaml.ts';

/** A repository's settings, or everything that is wrong with them. */
export type Settings = { readonly config: RepoConfig } | { readonly mistakes: readonly Mistake[] };

type Key = keyof RepoConfig;
const KEYS = Object.keys(FIELDS).filter(isKey);
/** What describes the commit itself, and so is taken from the commit's own file. */
const OWN_KEYS: readonly Key[] = ['build', 'start', 'output', 'port', 'health', 'env'];

function isKey(text: string): text is Key {
  return Object.hasOwn(FIELDS, text);
}

/** The text of `.mayfly.yml` as settings; undefined (no file) and an empty file are the defaults. Never throws. */
export function parseRepoConfig(text: string | undefined): Settings {
  const yaml = readYaml(text ?? '');
  if ('mistakes' in yaml) return yaml;
  const mistakes: Mistake[] = [];
  const known = entriesOf(yaml.root).filter((entry) => {
    if (!isKey(entry.key) && mistakes.length < MAX_MISTAKES) mistakes.push({ ...position(entry), message: unknownKey(entry.key) });
    return isKey(entry.key);
  });
  const config = readFields(known, mistakes);
  mistakes.push(...twoDatabases(config, known));
  return mistakes.length > 0 ? { mistakes: sorted(mistakes) } : { config };
}

/** Without a file: everything is found out from the commit itself. */
export const DEFAULT_CONFIG: RepoConfig = readFields([], []);

/** What the commit's own file changes, or what is wrong with the part of it that counts. */
export type Merged = { readonly config: RepoConfig; readonly ignored: readonly string[] } | { readonly mistakes: readonly Mistake[] };

/**
 * The base branch's settings with `build`, `start`, `output`, `port`, `health` and `env` taken from the commit's own file where it has
 * them (a key without a value there means: find out again). Every other key of that file that says something else than the base is
 * named in `ignored`, whatever its value; a mistake in it is no mistake.
 */
export function mergeOwn(base: RepoConfig, ownText: string | undefined): Merged {
  const yaml = readYaml(ownText ?? '');
  if ('mistakes' in yaml) return yaml;
  const entries = entriesOf(yaml.root);
  const mistakes: Mistake[] = [];
  const own = entries.filter((entry) => OWN_KEYS.some((key) => key === entry.key));
  const read = readFields(own, mistakes);
  mistakes.push(...twoDatabases({ ...read, database: base.database }, own));
  if (mistakes.length > 0) return { mistakes: sorted(mistakes) };
  const taken = Object.fromEntries(OWN_KEYS.filter((key) => own.some((entry) => entry.key === key)).map((key) => [key, read[key]]));
  const ignored = entries.filter((entry) => !own.includes(entry) && differs(base, entry)).map((entry) => entry.key);
  return { config: { ...base, ...taken }, ignored };
}

/** More than settings may have, so that it is their own message that says so; it only keeps a monster from being downloaded. */
const ASKED_BYTES = 1_000_000;

/** The settings on a branch as they are now. A file that the forge does not give out is a mistake like any other in it. */
export async function askSettings(facts: Pick<Facts, 'file'>, repository: Repository, branch: string): Promise<Settings> {
  try {
    return parseRepoConfig(await facts.file(repository, { ref: branch, path: CONFIG_FILE, maxBytes: ASKED_BYTES }));
  } catch (error) {
    if (!(error instanceof Fault) || error.code !== 'forge-refused') throw error;
    return { mistakes: [{ line: 1, column: 1, message: 'is larger than 64 KiB, or may not be read' }] };
  }
}

/** Stands for what the settings say: the same as long as nothing in them that counts was changed. */
export const settingsDigest = (settings: Settings): string =>
  createHash('sha256').update(JSON.stringify(settings)).digest('hex').slice(0, 16);

/** What a launch goes by, or the fault that stops it with a line of plain text for each mistake. */
export type CommitSettings =
  | { readonly config: RepoConfig; readonly ignored: readonly string[] }
  | { readonly fault: Fault; readonly lines: readonly string[] };

/**
 * The settings of one commit, from those of its base branch and the text of its own `.mayfly.yml`.
 * @param ownText undefined: it has no such file; null: the file is larger than it may be
 */
export function settingsOfCommit(base: Settings, ownText: string | undefined | null): CommitSettings {
  if ('mistakes' in base) return invalid(base.mistakes, 'on the base branch');
  if (ownText === null) return invalid([TOO_LARGE], 'in this commit');
  const merged = mergeOwn(base.config, ownText);
  return 'mistakes' in merged ? invalid(merged.mistakes, 'in this commit') : merged;
}

function invalid(mistakes: readonly Mistake[], where: string): Extract<CommitSettings, { fault: Fault }> {
  const count = `${mistakes.length === 1 ? 'a mistake' : `${mistakes.length} mistakes`} ${where}`;
  return { fault: new Fault('config-invalid', { details: { count } }), lines: mistakes.map(mistakeLine) };
}

/** `line 3, column 5: …`, plain text. */
export const mistakeLine = (mistake: Mistake): string => `line ${mistake.line}, column ${mistake.column}: ${mistake.message}`;

/** With a database of its own the site gets its address: another one in the file could only mislead. */
function twoDatabases(config: RepoConfig, entries: readonly RawEntry[]): readonly Mistake[] {
  if (config.database === null || !Object.hasOwn(config.env, 'DATABASE_URL')) return [];
  const at = entriesOf(entries.find((entry) => entry.key === 'env')?.value).find((entry) => entry.key === 'DATABASE_URL');
  return at ? [{ ...position(at), message: '"env" has "DATABASE_URL", which is set to the database of the setting "database"' }] : [];
}

const entriesOf = (root: Raw | undefined): readonly RawEntry[] => (root?.kind === 'map' ? root.entries : []);

function differs(base: RepoConfig, entry: RawEntry): boolean {
  if (!isKey(entry.key)) return true;
  const mistakes: Mistake[] = [];
  const value = readFields([entry], mistakes)[entry.key];
  return mistakes.length > 0 || JSON.stringify(value) !== JSON.stringify(base[entry.key]);
}

function unknownKey(key: string): string {
  const near = nearest(key, KEYS);
  return near === undefined ? `there is no setting "${key}"` : `there is no setting "${key}"; did you mean "${near}"?`;
}

function readFields(entries: readonly RawEntry[], mistakes: Mistake[]): RepoConfig {
  const tell = (at: Position, message: string): void => {
    mistakes.push({ ...position(at), message });
  };
  const value = <K extends Key>(key: K): RepoConfig[K] => {
    const field = FIELDS[key];
    const raw = entries.find((entry) => entry.key === key)?.value;
    if (raw === undefined || (raw.kind === 'nothing' && key !== 'database')) return field.fallback;
    return field.read(raw, (at, message) => tell(at, `"${key}" ${message}`)) ?? field.fallback;
  };
  return {
    previews: value('previews'),
    label: value('label'),
    drafts: value('drafts'),
    root: value('root'),
    include: value('include'),
    build: value('build'),
    start: value('start'),
    output: value('output'),
    port: value('port'),
    health: value('health'),
    env: value('env'),
    database: value('database'),
    ttl: value('ttl'),
    idle: value('idle'),
    region: value('region'),
  };
}
