import { CONFIG_EXIT_CODE, ConfigError, loadConfig } from './config.ts';
import { secretsOf } from './config-secrets.ts';
import { renderDone, renderPlan } from './expiry/table.ts';
import { createScrubber, openLog } from './log.ts';
import { planReconcile, reconcileOnce } from './open-reconcile.ts';

/** EX_USAGE of sysexits.h. */
const USAGE_EXIT_CODE = 64;
const USAGE = `usage: npm run reconcile [-- --dry-run]

Compares what should exist with what does, on the forges and on this machine, once, and puts right what differs.
  --dry-run   changes nothing, and prints what would be done
`;

type Wish = 'dry run' | 'for real' | 'usage' | 'mistake';

function wishOf(args: readonly string[]): Wish {
  if (args.some((arg) => arg === '--help' || arg === '-h')) return 'usage';
  if (args.some((arg) => arg !== '--dry-run')) return 'mistake';
  return args.length > 0 ? 'dry run' : 'for real';
}

/** The table goes to standard output, all else to standard error. @returns the exit code */
async function run(wish: 'dry run' | 'for real'): Promise<number> {
  const config = loadConfig();
  const scrubber = createScrubber(secretsOf(config));
  const write = (line: string): void => void process.stderr.write(line);
  // People read the table; what is merely told stays away from it unless it is asked for.
  const level = config.logLevel === 'info' ? 'warn' : config.logLevel;
  const log = openLog({ level, scrubber, write, readable: process.stderr.isTTY === true });
  if (wish === 'dry run') {
    process.stdout.write(renderPlan(await planReconcile(config, log)));
    return 0;
  }
  const done = await reconcileOnce(config, log);
  process.stdout.write(renderDone(done));
  return done.some(({ outcome }) => outcome === 'failed') ? 1 : 0;
}

async function main(args: readonly string[]): Promise<number> {
  const wish = wishOf(args);
  if (wish === 'usage') process.stdout.write(USAGE);
  if (wish === 'mistake') process.stderr.write(USAGE);
  if (wish === 'usage' || wish === 'mistake') return wish === 'usage' ? 0 : USAGE_EXIT_CODE;
  try {
    return await run(wish);
  } catch (error) {
    process.stderr.write(`${textOf(error)}\n`);
    return error instanceof ConfigError ? CONFIG_EXIT_CODE : 1;
  }
}

/** Node's own error for a server that cannot be reached on any of its addresses has a code and no message. */
function textOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.message || ('code' in error ? String(error.code) : error.name);
}

process.exitCode = await main(process.argv.slice(2));
