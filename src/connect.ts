import { readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { CONNECT_PROBLEMS, forgottenWords, lostWords, outcomeWords } from './app/setup/gitlab-page.ts';
import { type CommandLine, openCommandLog, runCommand } from './command-line.ts';
import { loadConfig } from './config.ts';
import { CONNECT_USAGE, type ConnectWish, parseConnect } from './connect-words.ts';
import { type Connected, carryOutConnect, type Missing } from './open-connect.ts';
import { table } from './site/table.ts';

const MISSING: Readonly<Record<Missing['why'], string>> = {
  'not seen': 'not done: the token sees no such project',
  'no maintainer': 'not done: the token is no Maintainer of it, and only those may make webhooks',
};

const CONNECT: CommandLine<ConnectWish> = {
  usage: CONNECT_USAGE,
  wishOf: parseConnect,
  async run(wish) {
    const config = loadConfig();
    const { log, scrubber } = openCommandLog(config);
    const token = wish.do === 'connect' ? await readToken(wish.tokenFile) : '';
    scrubber.hide(token);
    return tell(await carryOutConnect(config, wish, { token, log, hide: scrubber.hide }));
  },
};

/** @throws Error that says what is wrong, without a character of what was read */
async function readToken(file: string): Promise<string> {
  const read = file === '-' ? await text(process.stdin) : await readFile(file, 'utf8').catch(cannotRead(file));
  const token = read.trim();
  if (!/^[\x21-\x7e]{1,500}$/.test(token))
    throw new Error(`There is no token in ${file === '-' ? 'standard input' : file}: one line of letters, digits and signs.`);
  return token;
}

const cannotRead =
  (file: string) =>
  (error: unknown): never => {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
    throw new Error(`${file} cannot be read (${code}).`);
  };

/** @returns the exit code */
function refuse(why: string): number {
  process.stderr.write(`${why.replaceAll('`', '')}\n`);
  return 1;
}

/** @returns the exit code */
function tell(connected: Connected): number {
  if ('problem' in connected) return refuse(CONNECT_PROBLEMS[connected.problem]);
  if ('lost' in connected) return refuse(lostWords(connected.lost));
  if ('forgotten' in connected) {
    process.stdout.write(`${forgottenWords(connected.forgotten)}\n`);
    return 0;
  }
  const rows = [
    ...connected.outcomes.map((outcome) => [outcome.name, outcomeWords(outcome)]),
    ...connected.missing.map(({ name, why }) => [name, MISSING[why]]),
  ];
  process.stdout.write(rows.length === 0 ? 'nothing to do\n' : table(['PROJECT', 'WHAT WAS DONE'], rows, 100));
  return connected.missing.length > 0 || connected.outcomes.some(({ came }) => came === 'failed') ? 1 : 0;
}

process.exitCode = await runCommand(process.argv.slice(2), CONNECT);
