import { randomBytes, randomInt } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { expect, inject } from 'vitest';
import { loadConfig } from '../src/config.ts';
import { createScrubber, openLog } from '../src/log.ts';
import { type Mayfly, startMayfly } from '../src/main.ts';
import { createGitHub } from './doubles/github.ts';
import { createDatabase } from './postgres.ts';

export type SetupWorld = Awaited<ReturnType<typeof createSetupWorld>>;

/** The code in what was printed on the terminal. */
export const codeIn = (printed: string): string => /^ {2}([0-9a-z]{4}(?:-[0-9a-z]{4}){6})$/m.exec(printed)?.[1] ?? 'no code was printed';

/**
 * A port that is free and stays so: whoever is told an address before it is listened on needs it. Below those that systems give to
 * connections, of which one could have it for a moment while Mayfly is started again.
 */
async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(20_000, 32_000);
    const server = createServer();
    const isFree = await new Promise<boolean>((resolve) => server.once('error', () => resolve(false)).listen(port, () => resolve(true)));
    if (!isFree) continue;
    server.close();
    await once(server, 'close');
    return port;
  }
}

/** Mayfly with no forge at all, beside a GitHub that has never heard of it. */
export async function createSetupWorld(settings: Readonly<Record<string, string>> = {}) {
  await using opening = new AsyncDisposableStack();
  const server = inject('postgresUrl');
  const database = opening.use(await createDatabase(server));
  const folders = opening.use(new AsyncDisposableStack());
  const makeFolder = async (): Promise<string> =>
    folders.adopt(await mkdtemp(join(tmpdir(), 'mayfly-setup-')), (path) => rm(path, { recursive: true, force: true, maxRetries: 5 }));
  const github = opening.use(await createGitHub());
  const port = await freePort();
  const base = `http://127.0.0.1:${port}`;
  const environment: Readonly<Record<string, string>> = {
    PORT: String(port),
    MAYFLY_GATE_PORT: '0',
    MAYFLY_PUBLIC_URL: base,
    MAYFLY_DATA_DIR: await makeFolder(),
    MAYFLY_SWEEP_EVERY: '1s',
    MAYFLY_INSTANCE: 'tests',
    MAYFLY_SECRET_KEY: randomBytes(32).toString('base64'),
    MAYFLY_PREVIEW_DATABASE_URL: server,
    DATABASE_URL: database.url,
    GITHUB_API_URL: github.url,
    GITHUB_SERVER_URL: github.serverUrl,
    ...settings,
  };
  const printed: string[] = [];
  const logged: string[] = [];
  const start = async (over: Readonly<Record<string, string>> = {}): Promise<Mayfly> => {
    const scrubber = createScrubber([]);
    const log =
      process.env.MAYFLY_TEST_LOG === undefined
        ? openLog({ level: 'debug', scrubber, readable: false, write: (line) => void logged.push(line) })
        : pino({ level: process.env.MAYFLY_TEST_LOG });
    const print = (text: string): void => void printed.push(text);
    return startMayfly(loadConfig({ ...environment, ...over }), { log, hide: scrubber.hide, print, patienceMs: 1 });
  };
  let mayfly = await start();
  opening.defer(() => mayfly[Symbol.asyncDispose]());
  const opened = opening.move();
  return {
    base,
    github,
    database,
    environment,
    printed,
    logged,
    start,
    makeFolder,
    get mayfly() {
      return mayfly;
    },
    /** The code that was printed last. */
    code: (): string => codeIn(printed.at(-1) ?? ''),
    async restart(over: Readonly<Record<string, string>> = {}): Promise<void> {
      await mayfly[Symbol.asyncDispose]();
      mayfly = await start(over);
    },
    async [Symbol.asyncDispose]() {
      await opened.disposeAsync();
      expect(github.unknownRequests).toEqual([]);
    },
  };
}
