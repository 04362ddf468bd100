import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { secretsIn } from '../../../masking/secret-names.ts';
import type { ServiceSpec, ServiceState } from '../../../site/ports.ts';
import { Fault } from '../../../site/problem.ts';
import { span } from '../../../site/report-words.ts';
import type { Box, Boxed, Door, Exit, Limits, Sandbox } from '../../sandbox.ts';
import { DATABASE_PORT } from '../databases.ts';
import { openHearing } from './app-log.ts';
import { untilHealthy } from './health.ts';
import { startScript } from './start-script.ts';

export type ServiceParts = {
  readonly sandbox: Sandbox;
  readonly limits: Limits;
  readonly healthMs: number;
  readonly uid: number;
  /** Unix socket outside behind which the app will answer. */
  readonly socket: string;
  /** Folder of the site's logs. */
  readonly logs: string;
  /** Unix socket of the sites' PostgreSQL. */
  readonly postgres: string | null;
  readonly log: Logger;
};

export type Waiting = { readonly signal: AbortSignal; readonly log: (chunk: string) => void };

/** One service: asleep until somebody wants it, one process at most. */
export interface Service {
  readonly spec: ServiceSpec;
  readonly socket: string;
  readonly uid: number;
  state(): ServiceState;
  /** Single flight. Throws Fault `start-failed` or `health-timeout`; then it is asleep. */
  wake(waiting?: Waiting): Promise<void>;
  visit(): Disposable;
  /** Ends the process; the next `wake` starts it again. */
  sleep(): Promise<void>;
}

/** First wait before a crashed app is started again, doubled up to the second number. */
const BACK_OFF_MS = { first: 250, longest: 10_000 };
/** After this many crashes, none of them `STEADY_MS` after its start, only a visitor starts it again. */
const MAX_CRASHES = 5;
const STEADY_MS = 60_000;
const STOP_GRACE_MS = 5_000;

type Running = { readonly boxed: Boxed; readonly since: number };

export function createService(spec: ServiceSpec, parts: ServiceParts): Service {
  const own = { state: 'asleep' as ServiceState['state'], running: null as Running | null, restarts: 0, crashes: 0, visits: 0 };
  let waking: Promise<void> | undefined;
  let giveUp: AbortController | undefined;
  let stopping: Promise<void> | undefined;
  let idleTimer: NodeJS.Timeout | undefined;
  let restartTimer: NodeJS.Timeout | undefined;

  const rest = (): void => {
    clearTimeout(idleTimer);
    if (own.visits === 0 && own.state === 'running') idleTimer = setTimeout(() => void sleep().catch(report), spec.idleMs).unref();
  };
  const report = (error: unknown): void =>
    parts.log.error({ service: spec.name, error: String(error) }, 'a service could not be put to sleep');

  const start = async (waiting: Waiting): Promise<void> => {
    await stopping;
    own.state = 'starting';
    giveUp = new AbortController();
    const signal = AbortSignal.any([waiting.signal, giveUp.signal]);
    try {
      own.running = { boxed: await bringUp(spec, parts, { ...waiting, signal }), since: performance.now() };
      own.state = 'running';
    } catch (error) {
      own.state = 'asleep';
      throw error;
    }
    watch(own.running);
    rest();
  };

  const watch = (running: Running): void => {
    running.boxed.exited.then((exit) => {
      if (own.running !== running) return;
      own.running = null;
      own.crashes = performance.now() - running.since > STEADY_MS ? 1 : own.crashes + 1;
      own.state = 'crashed';
      parts.log.warn({ service: spec.name, ...exit, crashes: own.crashes }, 'an app ended by itself');
      if (own.crashes < MAX_CRASHES)
        restartTimer = setTimeout(again, Math.min(BACK_OFF_MS.first * 2 ** (own.crashes - 1), BACK_OFF_MS.longest)).unref();
    }, report);
  };
  const again = (): void => {
    own.restarts += 1;
    wake().catch((error: unknown) => {
      own.state = 'crashed';
      parts.log.warn({ service: spec.name, error: String(error) }, 'an app did not start again');
    });
  };

  const wake = async (waiting: Waiting = { signal: new AbortController().signal, log: () => undefined }): Promise<void> => {
    if (own.state === 'running') return;
    clearTimeout(restartTimer);
    waking ??= start(waiting).finally(() => {
      waking = undefined;
    });
    return waking;
  };

  const sleep = async (): Promise<void> => {
    clearTimeout(idleTimer);
    clearTimeout(restartTimer);
    // A start that is under way ends with nothing left, whatever it was about to become.
    giveUp?.abort(new Fault('start-failed', { details: { exit: 'a stop' } }));
    await waking?.catch(() => undefined);
    const { running } = own;
    own.running = null;
    own.state = 'asleep';
    own.crashes = 0;
    if (!running) return stopping;
    stopping = running.boxed.stop(STOP_GRACE_MS).then(() => rm(parts.socket, { force: true }));
    return stopping;
  };

  return {
    spec,
    socket: parts.socket,
    uid: parts.uid,
    wake,
    sleep,
    state: () => ({
      name: spec.name,
      site: spec.site,
      state: own.state,
      pid: own.running?.boxed.pid ?? null,
      restarts: own.restarts,
      database: databaseOf(spec),
    }),
    visit() {
      own.visits += 1;
      clearTimeout(idleTimer);
      let isOver = false;
      return {
        [Symbol.dispose]() {
          if (isOver) return;
          isOver = true;
          own.visits -= 1;
          rest();
        },
      };
    },
  };
}

const databaseOf = ({ env, database }: ServiceSpec): string | null =>
  database === 'postgres' && env.DATABASE_URL ? new URL(env.DATABASE_URL).pathname.slice(1) : null;

/** Where an app sees itself: where it was built, so that paths that the build wrote down still lead somewhere. */
const INSIDE = '/work';

async function boxOf(spec: ServiceSpec, parts: ServiceParts): Promise<Box> {
  const doors: Door[] = [{ direction: 'inward', port: spec.port, socket: parts.socket }];
  if (spec.database === 'postgres' && parts.postgres) doors.push({ direction: 'outward', port: DATABASE_PORT, socket: parts.postgres });
  return {
    name: `app-${spec.name.replace(/[^A-Za-z0-9]+/g, '-').toLowerCase()}`,
    command: await startScript(spec.command, spec),
    cwd: join(INSIDE, spec.cwd),
    env: { HOST: '127.0.0.1', ...spec.env, PORT: String(spec.port) },
    uid: parts.uid,
    folders: [{ from: spec.folder, to: INSIDE, access: 'fresh' }],
    doors,
    limits: parts.limits,
  };
}

/** Starts the process and waits until it is healthy; whatever goes wrong, nothing of it is left. */
async function bringUp(spec: ServiceSpec, parts: ServiceParts, waiting: Waiting): Promise<Boxed> {
  await rm(parts.socket, { force: true });
  const hearing = await openHearing(join(parts.logs, 'app.log'), { secrets: secretsIn(spec.env), also: waiting.log });
  const opened = boxOf(spec, parts).then((box) => parts.sandbox.open(box, hearing.hear));
  const boxed = await opened.catch(async (error: unknown) => {
    await hearing.end();
    throw error;
  });
  const closing = boxed.exited.finally(hearing.end);
  // The exit itself is looked at below and by whoever watches the service.
  closing.catch(() => undefined);
  const over = new AbortController();
  const limit = AbortSignal.timeout(parts.healthMs);
  let last = '';
  try {
    const signal = AbortSignal.any([waiting.signal, limit, over.signal]);
    const healthy = untilHealthy({ socket: parts.socket, path: spec.health, signal }, (seen) => {
      last = `; ${seen}`;
    });
    const exit = await Promise.race([healthy, boxed.exited]);
    // The losing side of the race ends with the abort below.
    healthy.catch(() => undefined);
    if (exit) throw new Fault('start-failed', { details: { exit: exitWords(exit, parts.limits) } });
    return boxed;
  } catch (error) {
    await boxed.stop(STOP_GRACE_MS);
    await rm(parts.socket, { force: true });
    waiting.signal.throwIfAborted();
    if (!limit.aborted || error instanceof Fault) throw error;
    const details = { path: spec.health, port: String(spec.port), limit: span(parts.healthMs), last };
    throw new Fault('health-timeout', { details });
  } finally {
    over.abort();
    hearing.logAlone();
  }
}

/** Goes on after "The app exited with". */
function exitWords({ limit, signal, code }: Exit, limits: Limits): string {
  if (limit === 'memory') return `more memory than the ${limits.memoryMb} MiB that it may use`;
  if (limit === 'processes') return `more processes than the ${limits.processes} that it may have`;
  if (limit === 'disk') return `more on disk than the ${limits.diskMb} MiB that it may write`;
  return signal ?? `code ${code}`;
}
