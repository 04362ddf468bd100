import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline/promises';
import { GoogleAuth } from 'google-auth-library';
import { type CommandLine, runCommand } from './command-line.ts';
import { ConfigError, readEnvironment } from './config.ts';
import { explain } from './platform/explain.ts';
import { type PlatformSettings, parseSettings } from './platform/settings.ts';
import type { PlatformStack } from './platform/stack.ts';
import * as words from './platform/words.ts';

const DEFAULT_FILE = 'platform.yml';
/** 128 and the number of SIGINT. */
const STOPPED_EXIT_CODE = 130;
const SCOPE = 'https://www.googleapis.com/auth/cloud-platform';

const PLATFORM: CommandLine<words.PlatformWish> = {
  usage: words.PLATFORM_USAGE,
  wishOf: words.parsePlatform,
  async run(wish) {
    const settings = await readSettings(wish);
    const secretsProvider = checkEnvironment(settings);
    if (wish.verb !== 'outputs') await checkCredentials();
    if (wish.verb === 'destroy') {
      const refusal = await consentTo(settings, wish.consent);
      if (refusal !== null) return refuse(refusal);
    }
    // What is asked for goes to standard output, what is merely told to standard error.
    const say = (text: string): void => void (wish.verb === 'preview' ? process.stdout : process.stderr).write(text);
    const color = process.stderr.isTTY === true ? 'always' : 'never';
    const { project, instance } = settings;
    const stop = listenForStop();
    try {
      // Takes seconds to load: who is refused does not wait for it.
      const { openPlatformStack } = await import('./platform/stack.ts');
      await using stack = await openPlatformStack({ project, instance, say, color, signal: stop.toEngine, secretsProvider });
      return await carryOut(stack, wish.verb, settings);
    } catch (error) {
      if (stop.asked.aborted) return refuse(words.STOPPED, STOPPED_EXIT_CODE);
      const known = explain(error instanceof Error ? error.message : String(error), { project, instance, home: settings.places.home });
      if (known === undefined) throw error;
      return refuse(known);
    }
  },
};

async function readSettings({ file, given }: words.PlatformWish): Promise<PlatformSettings> {
  const environment = readEnvironment();
  const text = await readFile(file ?? DEFAULT_FILE, 'utf8').catch((error: NodeJS.ErrnoException) => {
    // All of it may be given on the command line.
    if (file === null && error.code === 'ENOENT') return '';
    throw new Error(`${file ?? DEFAULT_FILE} cannot be read (${error.code ?? error.message}).`);
  });
  const surrounding = environment.GOOGLE_CLOUD_PROJECT;
  const isNamed = given.project !== undefined || /^project:/m.test(text);
  const parsed = parseSettings(text, { ...(surrounding === undefined || isNamed ? {} : { project: surrounding }), ...given });
  if ('problems' in parsed) throw new ConfigError(parsed.problems, 'The platform cannot be made with these settings:');
  const { project } = parsed.settings;
  if (surrounding !== undefined && surrounding !== project) throw new Error(words.otherProject(project, surrounding));
  return parsed.settings;
}

/** Before anything is asked of anybody. Returns what encrypts the secrets in the state. */
function checkEnvironment({ project, places }: PlatformSettings): string {
  const { PULUMI_BACKEND_URL, PULUMI_SECRETS_PROVIDER, PULUMI_CONFIG_PASSPHRASE, PULUMI_CONFIG_PASSPHRASE_FILE } = readEnvironment();
  if (!PULUMI_BACKEND_URL) throw new Error(words.noBackendWords({ project, home: places.home }));
  if (PULUMI_SECRETS_PROVIDER) return PULUMI_SECRETS_PROVIDER;
  if (!PULUMI_CONFIG_PASSPHRASE && !PULUMI_CONFIG_PASSPHRASE_FILE) throw new Error(words.NO_PASSPHRASE);
  return 'passphrase';
}

/** Otherwise the engine would say so after half a minute, once for each resource. */
async function checkCredentials(): Promise<void> {
  await new GoogleAuth({ scopes: SCOPE }).getApplicationDefault().catch(() => {
    throw new Error(words.NO_CREDENTIALS);
  });
}

/** @returns why nothing is destroyed; null when it may be */
async function consentTo({ project, instance, stores }: PlatformSettings, consent: 'ask' | 'given'): Promise<string | null> {
  if ([stores.database, stores.previews].some(({ guard }) => guard === 'protected')) return words.protectedWords(instance);
  if (consent === 'given') return null;
  if (process.stdin.isTTY !== true) return words.NOBODY_TO_ASK;
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await terminal.question(words.askName(project)).finally(() => terminal.close());
  return answer.trim() === project ? null : words.NOT_REMOVED;
}

/** @returns the exit code */
async function carryOut(stack: PlatformStack, verb: words.Verb, settings: PlatformSettings): Promise<number> {
  const tell = (text: string): void => void process.stderr.write(`${text}\n`);
  const zone = settings.hosts.zone === null ? 'elsewhere' : 'ours';
  switch (verb) {
    case 'up': {
      const { changes, outputs } = await stack.up(settings);
      tell(words.doneWords(changes));
      process.stdout.write(words.outputWords(outputs, zone));
      return 0;
    }
    case 'preview':
      process.stdout.write(`${words.summaryWords(await stack.preview(settings))}\n`);
      return 0;
    case 'destroy': {
      const destroyed = await stack.destroy();
      if (destroyed !== null && destroyed.unknown.length > 0) return refuse(words.unknownLeft(destroyed.unknown));
      tell(destroyed === null ? words.NOTHING_TO_REMOVE : words.REMOVED);
      return 0;
    }
    case 'outputs': {
      const outputs = await stack.outputs();
      if (outputs === null) return refuse(words.NOT_MADE);
      process.stdout.write(`${JSON.stringify(outputs.platform)}\n`);
      tell(words.outputWords(outputs, zone).trimEnd());
      return 0;
    }
    default:
      return verb satisfies never;
  }
}

/** @returns the exit code */
function refuse(why: string, code = 1): number {
  process.stderr.write(`${why}\n`);
  return code;
}

/**
 * Who is stopped waits for the engine, which waits for Google: what is made meanwhile would otherwise be in no state. Ctrl-C in a terminal
 * reaches the engine by itself; told twice, it would not wait.
 */
function listenForStop(): { readonly asked: AbortSignal; readonly toEngine: AbortSignal } {
  const [asked, toEngine] = [new AbortController(), new AbortController()];
  process.on('SIGINT', () => {
    asked.abort();
    if (process.stdin.isTTY !== true) toEngine.abort();
  });
  process.on('SIGTERM', () => {
    asked.abort();
    toEngine.abort();
  });
  return { asked: asked.signal, toEngine: toEngine.signal };
}

process.exitCode = await runCommand(process.argv.slice(2), PLATFORM);
