import type { Logger } from 'pino';
import { CONFIG_EXIT_CODE, type Config, ConfigError } from './config.ts';
import { secretsOf } from './config-secrets.ts';
import { createScrubber, openLog, type Scrubber } from './log.ts';

/** EX_USAGE of sysexits.h. */
const USAGE_EXIT_CODE = 64;

/** A command that runs once and ends. `wrong` is what is said before the usage; it may be nothing. */
export type CommandLine<Wish> = {
  readonly usage: string;
  readonly wishOf: (args: readonly string[]) => { readonly wish: Wish } | { readonly wrong: string };
  /** @returns the exit code */
  readonly run: (wish: Wish) => Promise<number>;
};

/** What the command came to as an exit code; whatever keeps it from running is told in a sentence. */
export async function runCommand<Wish>(args: readonly string[], { usage, wishOf, run }: CommandLine<Wish>): Promise<number> {
  if (args.some((arg) => arg === '--help' || arg === '-h')) {
    process.stdout.write(usage);
    return 0;
  }
  const parsed = wishOf(args);
  if ('wrong' in parsed) {
    process.stderr.write(parsed.wrong === '' ? usage : `${parsed.wrong}\n\n${usage}`);
    return USAGE_EXIT_CODE;
  }
  try {
    return await run(parsed.wish);
  } catch (error) {
    process.stderr.write(`${textOf(error)}\n`);
    return error instanceof ConfigError ? CONFIG_EXIT_CODE : 1;
  }
}

/** The log of a command, on standard error: people read its output, and what is merely told stays away unless it is asked for. */
export function openCommandLog(config: Config): { readonly log: Logger; readonly scrubber: Scrubber } {
  const scrubber = createScrubber(secretsOf(config));
  const write = (line: string): void => void process.stderr.write(line);
  const level = config.logLevel === 'info' ? 'warn' : config.logLevel;
  return { log: openLog({ level, scrubber, write, readable: process.stderr.isTTY === true }), scrubber };
}

/** Node's own error for a server that cannot be reached on any of its addresses has a code and no message. */
function textOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.message || ('code' in error ? String(error.code) : error.name);
}
