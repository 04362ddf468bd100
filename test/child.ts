import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmod, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect, inject } from 'vitest';
import { z } from 'zod';
import { createGitHub, type Pull } from './doubles/github.ts';
import { createDatabase } from './postgres.ts';
import { type Answer, get, until } from './world.ts';

const upLine = z.object({ msg: z.literal('Mayfly is up'), web: z.string(), gate: z.string() });
const sitesAnswer = z.object({
  sites: z.array(
    z.object({ pull: z.number(), sha: z.string(), status: z.string(), url: z.string(), launches: z.array(z.object({ sha: z.string() })) }),
  ),
});
export type SiteAnswer = z.infer<typeof sitesAnswer>['sites'][number];

/** A process and when it started, in clock ticks since the machine's boot: together they never name another one. */
type Known = { readonly pid: number; readonly startedAt: string; readonly command: string };
type Listed = Known & { readonly parent: number };

/** How a Mayfly that was started by hand ended, and what it said. */
export type Ended = {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null /** Standard error alone, which people read. */;
  readonly errors: string;
  readonly said: string;
};
type Running = { readonly process: ChildProcess; readonly web: string; readonly gate: string };
export type ChildWorld = Awaited<ReturnType<typeof createChildWorld>>;

async function processes(): Promise<readonly Listed[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const all = await Promise.all(
    pids.map(async (pid): Promise<Listed | undefined> => {
      // Gone between the two looks.
      const [stat, command] = await Promise.all(
        ['stat', 'cmdline'].map((file) => readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '')),
      );
      const [state, parent, ...rest] = (stat ?? '').slice((stat ?? '').lastIndexOf(')') + 2).split(' ');
      if (parent === undefined || state === 'Z') return undefined;
      return {
        pid: Number(pid),
        parent: Number(parent),
        startedAt: rest[17] ?? '',
        command: (command ?? '').replaceAll('\0', ' ').slice(0, 200),
      };
    }),
  );
  return all.filter((one) => one !== undefined);
}

/** Everything that this process has started, directly or not, and that still runs. */
async function descendantsOf(pid: number): Promise<readonly Known[]> {
  const all = await processes();
  const found: Listed[] = [];
  for (let parents = new Set([pid]); parents.size > 0; ) {
    const children = all.filter(({ parent }) => parents.has(parent));
    found.push(...children);
    parents = new Set(children.map((child) => child.pid));
  }
  return found;
}

/**
 * Mayfly as people run it: a process of its own, to be killed and started again on the same data.
 * @param database `embedded`: Mayfly's own servers in its data dir; `given`: databases of the run's server
 */
export async function createChildWorld(database: 'embedded' | 'given', settings: Readonly<Record<string, string>> = {}) {
  await using opening = new AsyncDisposableStack();
  const server = inject('postgresUrl');
  const given = database === 'given' ? opening.use(await createDatabase(server)) : null;
  const dataDir = opening.adopt(await mkdtemp(join(tmpdir(), 'mayfly-child-')), (path) =>
    rm(path, { recursive: true, force: true, maxRetries: 5 }),
  );
  // A fresh temporary folder is closed to everybody, the embedded servers' user included.
  await chmod(dataDir, 0o711);
  const github = opening.use(await createGitHub());
  const token = randomBytes(24).toString('hex');
  const environment: Readonly<Record<string, string>> = {
    PATH: process.env.PATH ?? '',
    HOME: process.env.HOME ?? '',
    PORT: '0',
    MAYFLY_GATE_PORT: '0',
    MAYFLY_DATA_DIR: dataDir,
    MAYFLY_SWEEP_EVERY: '1s',
    MAYFLY_API_TOKEN: token,
    ...(given ? { DATABASE_URL: given.url, MAYFLY_PREVIEW_DATABASE_URL: server } : {}),
    APP_ID: String(github.appId),
    PRIVATE_KEY: github.privateKey,
    WEBHOOK_SECRET: github.webhookSecret,
    GITHUB_API_URL: github.url,
    GITHUB_SERVER_URL: github.serverUrl,
    ...settings,
  };
  let running: Running | null = null;
  const launch = (over: Readonly<Record<string, string>> = {}): ChildProcess =>
    spawn(process.execPath, ['src/main.ts'], { env: { ...environment, ...over }, stdio: ['ignore', 'pipe', 'pipe'] });
  const current = (): Running => {
    if (running === null) throw new Error('Mayfly does not run');
    return running;
  };
  const end = async (
    signal: NodeJS.Signals,
  ): Promise<{ readonly code: number | null; readonly ms: number; readonly had: readonly Known[] }> => {
    const { process: child } = current();
    const had = await descendantsOf(child.pid ?? 0);
    const ended = once(child, 'exit');
    const at = performance.now();
    child.kill(signal);
    const [code] = await ended;
    running = null;
    return { code, had, ms: performance.now() - at };
  };
  opening.defer(async () => void (running && (await end('SIGTERM'))));
  const opened = opening.move();

  const world = {
    github,
    dataDir,
    environment,
    get pid() {
      return current().process.pid ?? 0;
    },
    async start(): Promise<void> {
      const child = launch();
      const said: string[] = [];
      child.stderr?.setEncoding('utf8').on('data', (text: string) => said.push(text));
      running = await new Promise<Running>((resolve, reject) => {
        child.once('exit', (code) => reject(new Error(`Mayfly ended with ${code}: ${said.join('').slice(-2_000)}`)));
        createInterface({ input: child.stdout ?? process.stdin }).on('line', (line) => {
          said.push(line);
          const up = line.includes('Mayfly is up') ? upLine.safeParse(JSON.parse(line)).data : undefined;
          if (up) resolve({ process: child, web: up.web, gate: up.gate });
        });
      });
      github.sendWebhooksTo(`${current().web}/api/github/webhooks`);
    },
    end,
    /** Starts another Mayfly, which is expected to end by itself. */
    async tryStart(over: Readonly<Record<string, string>>): Promise<Ended> {
      const child = launch(over);
      const said: string[] = [];
      const errors: string[] = [];
      child.stdout?.setEncoding('utf8').on('data', (text: string) => said.push(text));
      child.stderr?.setEncoding('utf8').on('data', (text: string) => errors.push(text));
      const [code, signal] = await once(child, 'close');
      return { code, signal, errors: errors.join(''), said: said.join('') };
    },
    /** What runs with this text in its command line, e.g. the path of a data dir. */
    naming: async (text: string): Promise<readonly Known[]> => (await processes()).filter(({ command }) => command.includes(text)),
    /** Of these processes, those that still run. */
    async alive(known: readonly Known[]): Promise<readonly Known[]> {
      const now = new Map((await processes()).map((one) => [one.pid, one.startedAt]));
      return known.filter(({ pid, startedAt }) => now.get(pid) === startedAt);
    },
    descendants: () => descendantsOf(current().process.pid ?? 0),
    async site(pull: Pull): Promise<SiteAnswer | undefined> {
      const answer = await fetch(`${current().web}/api/v1/sites?pull=${pull.number}`, { headers: { authorization: `Bearer ${token}` } });
      return sitesAnswer.parse(await answer.json()).sites.find((site) => site.pull === pull.number);
    },
    reaches: (pull: Pull, status: string, sha?: string): Promise<SiteAnswer> =>
      until(`#${pull.number} to be ${status}`, async () => {
        const site = await world.site(pull);
        return site?.status === status && (sha === undefined || site.sha === sha) && site;
      }),
    visit: async (pull: Pull, path = '/'): Promise<Answer> => {
      const site = await world.site(pull);
      return get(current().gate, { path, headers: { host: new URL(site?.url ?? 'http://none').host } });
    },
    async [Symbol.asyncDispose]() {
      await opened.disposeAsync();
      expect(github.unknownRequests).toEqual([]);
    },
  };
  return world;
}
