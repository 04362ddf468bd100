import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, inject } from 'vitest';
import { z } from 'zod';
import { openForges } from './doubles/forges.ts';
import type { ForgeName, StagePull } from './doubles/stage.ts';
import { type Environment, endProcess, type How, launch, type Running, startProcess } from './launcher.ts';
import type { Doom, Surroundings } from './mayfly-process.ts';
import { createDatabase } from './postgres.ts';
import { alive, descendantsOf, type Known, processes } from './processes.ts';
import { type Answer, get, openCloud, type TargetName, until } from './world.ts';

const sitesAnswer = z.object({
  sites: z.array(
    z.object({
      id: z.string(),
      pull: z.number(),
      sha: z.string(),
      status: z.string(),
      url: z.string(),
      launches: z.array(z.object({ sha: z.string(), outcome: z.string().nullable() })),
    }),
  ),
});
export type SiteAnswer = z.infer<typeof sitesAnswer>['sites'][number];

/** How a Mayfly that was started by hand ended, and what it said. */
export type Ended = {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Standard error alone, which people read. */
  readonly errors: string;
  readonly said: string;
};
export type ChildWorld = Awaited<ReturnType<typeof createChildWorld>>;

/** What a killed Mayfly may take to converge, and the work itself on a machine that others use as well. */
const CONVERGED_MS = 90_000;
const OUTLIVED_MS = 5_000;
/** How often a process that is about to die is asked what it has started. */
const LOOK_EVERY_MS = 50;

/**
 * Mayfly as people run it: a process of its own, to be killed and started again on the same data.
 * @param database `embedded`: Mayfly's own servers in its data dir; `given`: databases of the run's server; `shared`: the same, and
 *   what serves the web and looks at the clock is another process, which is never killed
 * @param forge which one it serves
 * @param target where its sites are
 */
export async function createChildWorld(
  database: 'embedded' | 'given' | 'shared',
  forge: ForgeName = 'github',
  target: TargetName = 'local',
) {
  await using opening = new AsyncDisposableStack();
  const server = inject('postgresUrl');
  const given = database === 'embedded' ? null : opening.use(await createDatabase(server));
  const makeFolder = async (): Promise<string> => {
    const path = await mkdtemp(join(tmpdir(), 'mayfly-child-'));
    opening.defer(() => rm(path, { recursive: true, force: true, maxRetries: 5 }));
    // A fresh temporary folder is closed to everybody, the embedded servers' user included.
    await chmod(path, 0o711);
    return path;
  };
  const dataDir = await makeFolder();
  const forges = opening.use(await openForges());
  const { github, stages, checks, deployed } = forges;
  const token = randomBytes(24).toString('hex');
  const cloud = target === 'gcp' ? await openCloud(server, opening) : null;
  const surroundings: Surroundings = cloud ? { google: cloud.attached } : {};
  const environment: Environment = {
    PATH: process.env.PATH ?? '',
    HOME: process.env.HOME ?? '',
    PORT: '0',
    MAYFLY_GATE_PORT: '0',
    MAYFLY_DATA_DIR: dataDir,
    MAYFLY_SWEEP_EVERY: '1s',
    MAYFLY_API_TOKEN: token,
    ...(given
      ? { DATABASE_URL: given.url, MAYFLY_PREVIEW_DATABASE_URL: server, MAYFLY_SECRET_KEY: randomBytes(32).toString('base64') }
      : {}),
    ...forges.settings(forge),
    ...cloud?.settings,
    ...cloud?.google.env,
  };
  const frontDir = database === 'shared' ? await makeFolder() : null;
  let front: Running | null = null;
  if (frontDir !== null) {
    const started = await startProcess({ ...environment, MAYFLY_ROLES: 'web,clock', MAYFLY_DATA_DIR: frontDir }, surroundings);
    opening.defer(() => endProcess(started, 'SIGTERM').then(() => undefined));
    front = started;
  }
  const backEnvironment = front === null ? environment : { ...environment, MAYFLY_ROLES: 'gate,worker' };
  let running: Running | null = null;
  const current = (): Running => {
    if (running === null) throw new Error('Mayfly does not run');
    return running;
  };
  const web = (): string => (front ?? current()).web;
  opening.defer(async () => void (running && (await endProcess(running, 'SIGTERM'))));
  const opened = opening.move();

  const visitAt = async (gate: string, pull: StagePull): Promise<Answer> => {
    const site = await world.site(pull);
    return get(gate, { path: '/', headers: { host: new URL(site?.url ?? 'http://none').host } });
  };
  const world = {
    /** The forge that it serves. */
    forge: stages[forge],
    github,
    checks,
    deployed,
    /** Null where sites are on this machine. */
    google: cloud?.google ?? null,
    dataDir,
    environment: backEnvironment,
    /** Mayfly's own database; null when it is embedded. */
    database: given,
    get pid() {
      return current().process.pid ?? 0;
    },
    /** Lines that the running one has logged. */
    said: (): readonly string[] => current().said,
    /** @param doom a moment at which it ends itself */
    start: async (doom?: Doom): Promise<void> => void (await world.startAs({}, doom ? { doom } : {})),
    /** With other settings than the world's, or in another way. @returns what it said until it was up */
    async startAs(over: Environment, how: How): Promise<string> {
      running = await startProcess({ ...backEnvironment, ...over }, { ...surroundings, ...how });
      forges.sendWebhooksTo(web());
      return running.said.join('\n');
    },
    async end(signal: NodeJS.Signals): ReturnType<typeof endProcess> {
      const ended = await endProcess(current(), signal);
      running = null;
      return ended;
    },
    /** Ends it in order if it runs. */
    async stop(): Promise<void> {
      if (running) await world.end('SIGTERM');
    },
    /** Waits for a doomed one to have killed itself. */
    async died(): Promise<{ readonly pid: number; readonly had: readonly Known[] }> {
      const { process: child } = current();
      const pid = child.pid ?? 0;
      const ended = once(child, 'exit');
      const had = new Map<string, Known>();
      while (child.exitCode === null && child.signalCode === null) {
        for (const one of await descendantsOf(pid)) had.set(`${one.pid} ${one.startedAt}`, one);
        await Promise.race([ended, delay(LOOK_EVERY_MS)]);
      }
      running = null;
      expect(child.signalCode).toBe('SIGKILL');
      return { pid, had: [...had.values()] };
    },
    /** Waits for one that was to freeze itself. Freezes what it has started as well if asked to: as when the whole machine stands still. */
    async froze(what: 'alone' | 'with all its children'): Promise<{ thaw(): Promise<void> }> {
      const { pid = 0 } = current().process;
      await until('it to freeze', async () => (await processes()).find((one) => one.pid === pid)?.state === 'T');
      const children = what === 'alone' ? [] : await descendantsOf(pid);
      for (const child of children) process.kill(child.pid, 'SIGSTOP');
      return {
        async thaw() {
          for (const child of await alive(children)) process.kill(child.pid, 'SIGCONT');
          process.kill(pid, 'SIGCONT');
        },
      };
    },
    /** Another worker with sites of its own on the same database. */
    async startSecond(): Promise<AsyncDisposable & { visit(pull: StagePull): Promise<Answer> }> {
      const folder = await mkdtemp(join(tmpdir(), 'mayfly-second-'));
      await chmod(folder, 0o711);
      const second = await startProcess({ ...backEnvironment, MAYFLY_DATA_DIR: folder }, surroundings);
      return {
        visit: (pull) => visitAt(second.gate, pull),
        async [Symbol.asyncDispose]() {
          await endProcess(second, 'SIGTERM');
          await rm(folder, { recursive: true, force: true, maxRetries: 5 });
        },
      };
    },
    /** Starts another Mayfly, which is expected to end by itself. */
    async tryStart(over: Environment, how: How = {}): Promise<Ended> {
      const child = launch({ ...backEnvironment, ...over }, { ...surroundings, ...how });
      const said: string[] = [];
      const errors: string[] = [];
      child.stdout?.setEncoding('utf8').on('data', (text: string) => said.push(text));
      child.stderr?.setEncoding('utf8').on('data', (text: string) => errors.push(text));
      const [code, signal] = await once(child, 'close');
      return { code, signal, errors: errors.join(''), said: said.join('') };
    },
    /** What runs with this text in its command line, e.g. the path of a data dir. */
    naming: async (text: string): Promise<readonly Known[]> => (await processes()).filter(({ command }) => command.includes(text)),
    alive,
    /** Nothing of what a killed one had started may outlive it by more than the kernel and the wrappers take. */
    async allDie(had: readonly Known[]): Promise<void> {
      await until('what it had started to be gone', async () => (await alive(had)).length === 0, OUTLIVED_MS).catch(
        async (error: unknown) => {
          throw new Error(`still there: ${JSON.stringify(await alive(had))}`, { cause: error });
        },
      );
    },
    descendants: () => descendantsOf(current().process.pid ?? 0),
    /** Whether a site's command of this name runs: below Mayfly, or on Google Cloud, which is in the test's own process. */
    async runs(script: string): Promise<boolean> {
      const below = cloud === null ? (current().process.pid ?? 0) : process.pid;
      return (await descendantsOf(below)).some(({ command }) => command.includes(script));
    },
    async site(pull: StagePull): Promise<SiteAnswer | undefined> {
      const answer = await fetch(`${web()}/api/v1/sites?pull=${pull.number}`, { headers: { authorization: `Bearer ${token}` } });
      return sitesAnswer.parse(await answer.json()).sites.find((site) => site.pull === pull.number);
    },
    reaches: (pull: StagePull, status: string, sha?: string): Promise<SiteAnswer> =>
      until(
        `#${pull.number} to be ${status}`,
        async () => {
          const site = await world.site(pull);
          return site?.status === status && (sha === undefined || site.sha === sha) && site;
        },
        CONVERGED_MS,
      ),
    visit: (pull: StagePull): Promise<Answer> => visitAt(current().gate, pull),
    async [Symbol.asyncDispose]() {
      await opened.disposeAsync();
      expect([...forges.unknownRequests(), ...(cloud?.google.cloud.unknown ?? [])]).toEqual([]);
    },
  };
  return world;
}
