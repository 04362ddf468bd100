import pino, { type Logger } from 'pino';
import { maskShapes } from './masking/shapes.ts';
import { Fault } from './site/problem.ts';

export type Scrubber = {
  /** The text with every known secret, and everything shaped like a credential, replaced. */
  readonly scrub: (text: string) => string;
  /** From now on this value is hidden too; too short ones are not, they would hide ordinary words. */
  readonly hide: (secret: string) => void;
};

const HIDDEN = '[hidden]';
/** Shorter values occur by chance. */
const MIN_SECRET = 8;

/** @param secrets values that must never be written; each is also found base64-, URL- and JSON-encoded, and line by line */
export function createScrubber(secrets: readonly string[]): Scrubber {
  const forms = new Set<string>();
  let known = /(?!)/g;
  const hide = (secret: string): void => {
    for (const form of formsOf(secret)) forms.add(form);
    const longestFirst = [...forms].sort((a, b) => b.length - a.length);
    if (longestFirst.length > 0) known = new RegExp(longestFirst.map((form) => escapePattern(form)).join('|'), 'g');
  };
  for (const secret of secrets) hide(secret);
  return {
    hide,
    scrub: (text) => maskShapes(text.replace(known, HIDDEN), HIDDEN),
  };
}

const escapePattern = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');

function formsOf(secret: string): readonly string[] {
  const lines = secret.includes('\n') ? secret.split('\n').filter((line) => !line.startsWith('-----')) : [];
  return [secret, ...lines]
    .map((value) => value.trim())
    .filter((value) => value.length >= MIN_SECRET)
    .flatMap((value) => [
      value,
      encodeURIComponent(value),
      JSON.stringify(value).slice(1, -1),
      Buffer.from(value).toString('base64').replace(/=+$/, ''),
      Buffer.from(value).toString('base64url'),
    ]);
}

/** Keys whose value is never worth a log line, wherever they stand. */
const SECRET_KEY =
  /^(?:authorization|cookie|set-cookie|password|passphrase|secret|token|private_?key|api_?token|secret_?key|database_?url|.*_token)$/i;
const DEEPEST = 6;

/** What an error shows of itself. Only these: adapters' errors carry whole requests, with headers and bodies. */
const ERROR_FIELDS = ['code', 'status', 'constraint', 'table', 'syscall', 'address', 'port'] as const;

function errorFields(error: unknown, depth = 0): unknown {
  if (!(error instanceof Error)) return without(error);
  const fields = ERROR_FIELDS.flatMap((field) => {
    const value: unknown = Reflect.get(error, field);
    return typeof value === 'string' || typeof value === 'number' ? [[field, value] as const] : [];
  });
  return {
    type: error.name,
    message: error.message,
    ...Object.fromEntries(fields),
    ...(error instanceof Fault ? { details: error.details } : {}),
    stack: error.stack,
    ...(error.cause === undefined || depth >= DEEPEST ? {} : { cause: errorFields(error.cause, depth + 1) }),
  };
}

/** A copy without the values of secret keys. */
function without(value: unknown, depth = 0): unknown {
  if (value instanceof Error) return errorFields(value);
  if (value === null || typeof value !== 'object' || value instanceof Date || depth >= DEEPEST) return value;
  if (Array.isArray(value)) return value.map((entry) => without(entry, depth + 1));
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, SECRET_KEY.test(key) ? HIDDEN : without(entry, depth + 1)]));
}

export type LogOptions = {
  readonly level: string;
  readonly scrubber: Scrubber;
  /** Where lines go; standard output when absent. */
  readonly write?: (line: string) => void;
  /** One readable line instead of JSON; when absent, whether standard output is a terminal. */
  readonly readable?: boolean;
};

/**
 * The log: a JSON object a line, or on a terminal a readable line. Whatever is bound or passed, secrets do not get out: by key, by
 * shape, and by value in the finished line. Children bind `delivery`, `site`, `sha`, `job`.
 */
export function openLog(options: LogOptions): Logger {
  const { scrubber } = options;
  const stdout = options.write ?? lineWriter();
  const readable = options.readable ?? (options.write === undefined && process.stdout.isTTY === true);
  const write = (line: string): void => stdout(scrubber.scrub(readable ? toReadable(line) : line));
  return pino(
    {
      level: options.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      serializers: { err: errorFields },
      formatters: {
        level: (level) => ({ level }),
        bindings: (bindings) => plainRecord(bindings),
        log: (entry) => plainRecord(entry),
      },
    },
    { write },
  );
}

function plainRecord(record: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(record).map(([key, value]) => {
      if (key === 'err') return [key, value];
      return [key, SECRET_KEY.test(key) ? HIDDEN : without(value)];
    }),
  );
}

function lineWriter(): (line: string) => void {
  // Synchronous: the last line before a crash is the one that is needed.
  const destination = pino.destination({ dest: 1, sync: true });
  return (line) => {
    destination.write(line);
  };
}

/** `14:05:02 warn  message key=value`, an error's stack below. */
function toReadable(json: string): string {
  const { time, level, msg, err, ...rest }: Record<string, unknown> = JSON.parse(json);
  const clock = typeof time === 'string' ? time.slice(11, 19) : '';
  const pairs = Object.entries(rest).map(([key, value]) => ` ${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`);
  const stack = typeof err === 'object' && err !== null && 'stack' in err ? `\n${String(err.stack)}` : '';
  return `${clock} ${String(level).padEnd(5)} ${String(msg ?? '')}${pairs.join('')}${stack}\n`;
}
