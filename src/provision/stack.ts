import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { z } from 'zod';
import type { Held } from '../site/ports.ts';
import { Fault } from '../site/problem.ts';
import { openPulumiBackend } from './pulumi-backend.ts';
import { PULUMI_PATH } from './pulumi-cli.ts';
import type { FromChild, Order, Program } from './pulumi-messages.ts';
import { killGroup, type Launcher, openPulumiProcess, type ProcessMark, type PulumiProcess, startOf } from './pulumi-process.ts';
import { orDiskFull, saysDiskFull } from './storage/disk.ts';

export type StackOptions = {
  /** `postgres://…`: of the role that can touch only Pulumi's own database. */
  readonly backendUrl: string;
  /** Mode 0600. */
  readonly passphraseFile: string;
  /** Folder that holds `bin/pulumi`. */
  readonly cliRoot: string;
  /** What encrypts the secrets in the state, e.g. `gcpkms://…`; the passphrase unless given. */
  readonly secretsProvider?: string | undefined;
  /**
   * For programs that need more than Mayfly's own provider: plugins are had from where Pulumi has them, with the credentials in this
   * file, or those that the machine itself has. No plugin is ever looked for unless given.
   */
  readonly plugins?: { readonly credentials: string | null } | undefined;
  /** PULUMI_HOME, working folders, and which process works on which stack. */
  readonly folder: string;
  readonly wrap: Launcher['wrap'];
  readonly log: Logger;
};

export type Run = { readonly program: Program; readonly attach: string; readonly signal: AbortSignal };

/** Pulumi's stacks. Each verb is for the holder of the stack's lease, and throws Fault `deploy-failed`, or `disk-full`, with the engine's text as cause. */
export interface Stacks extends AsyncDisposable {
  /** Makes an empty stack, or finds it: what an `up` with `isNew` would do first. */
  init(held: Held, stack: string, signal: AbortSignal): Promise<void>;
  up(held: Held, stack: string, run: Run & { readonly isNew: boolean }): Promise<void>;
  refresh(held: Held, stack: string, run: Run): Promise<void>;
  /** Destroys what the state knows, then the stack. */
  destroy(held: Held, stack: string, run: Run): Promise<void>;
  /** Drops the stack and all that was ever written down of it; what it stands for stays. */
  forget(held: Held, stack: string, signal: AbortSignal): Promise<void>;
  /** Names of all of the project's stacks. */
  list(): Promise<readonly string[]>;
}

/** Children leak a little with each program (SDK state per run); a fresh one costs nothing while a spare is warm. */
const USES = 20;
/** How long Pulumi may take to stop by itself after an abort. */
const GRACE_MS = 8_000;
const SPARES = 2;
/** When the second spare is warmed: the start, and a launch that waits for it, have better use for the processors. */
const SECOND_MS = 5_000;

/** Opens the stacks and warms the children in the background. */
export async function openStacks(options: StackOptions): Promise<Stacks> {
  const { log } = options;
  const marks = join(options.folder, 'running');
  // Working folders of children that a killed Mayfly left.
  await rm(join(options.folder, 'tmp'), { recursive: true, force: true });
  for (const folder of [marks, join(options.folder, 'home'), join(options.folder, 'tmp')])
    await mkdir(folder, { recursive: true, mode: 0o700 });
  await using opening = new AsyncDisposableStack();
  const backend = opening.use(await openPulumiBackend(options.backendUrl, log));
  const pool = opening.use(openPool(options, backend.url));
  const opened = opening.move();
  const done = (said: FromChild): Extract<FromChild, { type: 'done' }> => {
    if (said.type === 'done') return said;
    const text = said.type === 'failed' ? backend.withoutPassword(said.text) : said.type;
    throw new Fault(saysDiskFull(text) ? 'disk-full' : 'deploy-failed', { cause: new Error(text) });
  };
  const work = async (held: Held, part: OrderPart, signal: AbortSignal): Promise<void> => {
    const order = { ...part, backendUrl: backend.urlFor(held) };
    const stop = AbortSignal.any([signal, held.signal]);
    stop.throwIfAborted();
    await backend.fence(held, order.stack);
    await endPredecessor(join(marks, order.stack));
    await pool.use(async (child) => {
      await orDiskFull(() => writeMark(join(marks, order.stack), child.mark));
      const said = await child
        // What is done after the lease is lost is refused: there is nothing to wait for.
        .carryOut(order, { signal: stop, graceMs: () => (held.signal.aborted ? 0 : GRACE_MS) })
        .finally(() => rm(join(marks, order.stack), { force: true }));
      stop.throwIfAborted();
      const { mended } = done(said);
      if (mended.length > 0) log.warn({ stack: order.stack, mended }, 'what was found broken in the state of a stack was put right');
    });
  };
  return {
    init: (held, stack, signal) => work(held, { verb: 'init', stack }, signal),
    up: (held, stack, { program, attach, isNew, signal }) => work(held, { verb: 'up', stack, program, attach, isNew }, signal),
    refresh: (held, stack, { program, attach, signal }) => work(held, { verb: 'refresh', stack, program, attach }, signal),
    async destroy(held, stack, { program, attach, signal }) {
      await work(held, { verb: 'destroy', stack, program, attach }, signal);
      await backend.forget(held, stack);
    },
    async forget(held, stack, signal) {
      await work(held, { verb: 'forget', stack }, signal);
      await backend.forget(held, stack);
    },
    async list() {
      const listed = await backend.list();
      if (listed !== null) return listed;
      return pool.use(async (child) => {
        const said = await child.carryOut({ verb: 'list' }, { signal: AbortSignal.timeout(60_000), graceMs: () => 0 });
        return done(said).stacks;
      });
    },
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

type OnStack = Exclude<Order, { verb: 'list' }>;
/** `Omit` of a union would keep only what all of its members have. */
type WithoutBackend<One> = One extends OnStack ? Omit<One, 'backendUrl'> : never;
type OrderPart = WithoutBackend<OnStack>;

/** Exactly what a child gets: the automation API hands its whole environment on to the CLI. */
function environment({ passphraseFile, folder, plugins }: StackOptions, backendUrl: string): Readonly<Record<string, string>> {
  return {
    PATH: PULUMI_PATH,
    HOME: join(folder, 'home'),
    LANG: 'C.UTF-8',
    PULUMI_HOME: join(folder, 'home'),
    PULUMI_BACKEND_URL: backendUrl,
    PULUMI_CONFIG_PASSPHRASE_FILE: passphraseFile,
    PULUMI_SKIP_UPDATE_CHECK: 'true',
    ...(plugins ? {} : { PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION: 'true' }),
    ...(plugins?.credentials ? { GOOGLE_APPLICATION_CREDENTIALS: plugins.credentials } : {}),
    // The salt is read from the state: each operation has a fresh working folder without the stack's settings file.
    PULUMI_FALLBACK_TO_STATE_SECRETS_MANAGER: 'true',
    // A run is over before its garbage is worth collecting: a quarter less CPU.
    GOGC: '400',
    // No checkpoints beside the state: they would outlive the site.
    PULUMI_DIY_BACKEND_DISABLE_CHECKPOINT_BACKUPS: 'true',
    // Listing in Pulumi's PostgreSQL backend holds one connection while it asks for a second, ten lists at a time, of a pool of twice
    // GOMAXPROCS: on two cores it waits for itself for ever (measured). Two lists and a pool of 16 cannot.
    PULUMI_DIY_BACKEND_PARALLEL: '2',
    GOMAXPROCS: '8',
    // Each command leaves a log of 10 KiB, and looks at all that there are; by default they grow to 500 MB.
    PULUMI_LOG_ROTATION_MAX_AGE_DAYS: '1',
    PULUMI_LOG_ROTATION_MAX_TOTAL_MB: '16',
    // What a child compiles of its modules serves the next one: a third less time until it is warm.
    NODE_COMPILE_CACHE: join(folder, 'home', 'compiled'),
  };
}

/** Children wait warmed for the next order; there is always one, and never more than `SPARES`. */
function openPool(options: StackOptions, backendUrl: string) {
  const launcher: Launcher = { ...options, temporary: join(options.folder, 'tmp'), environment: environment(options, backendUrl) };
  const all = new Set<PulumiProcess>();
  let isOpen = true;
  const warm = (): Promise<PulumiProcess> => {
    const opening = openPulumiProcess(launcher).then(async (child) => {
      all.add(child);
      if (!isOpen) await child.kill();
      return child;
    });
    // Whoever takes the spare hears of its failure; until then nobody does.
    opening.catch(() => undefined);
    return opening;
  };
  const idle = [warm()];
  const another = setTimeout(() => {
    if (isOpen && idle.length < SPARES) idle.push(warm());
  }, SECOND_MS).unref();
  const take = async (): Promise<PulumiProcess> => {
    for (let next = idle.shift(); next; next = idle.shift()) {
      const child = await next;
      if (child.isAlive()) return child;
      all.delete(child);
    }
    return warm();
  };
  const giveBack = async (child: PulumiProcess): Promise<void> => {
    if (isOpen && idle.length < SPARES && child.isAlive() && child.uses < USES) idle.push(Promise.resolve(child));
    else {
      all.delete(child);
      await child.kill();
    }
    if (isOpen && idle.length === 0) idle.push(warm());
  };
  return {
    async use<T>(deed: (child: PulumiProcess) => Promise<T>): Promise<T> {
      if (!isOpen) throw new Error('The stacks are closed');
      const child = await take();
      try {
        return await deed(child);
      } finally {
        await giveBack(child);
      }
    },
    async [Symbol.asyncDispose]() {
      isOpen = false;
      clearTimeout(another);
      // One that never came up has nothing to end.
      await Promise.allSettled(idle);
      await Promise.all([...all].map((child) => child.kill()));
    },
  };
}

const mark = z.object({ pid: z.number().int(), start: z.string() });

async function writeMark(path: string, content: ProcessMark): Promise<void> {
  await writeFile(`${path}.new`, JSON.stringify(content), { mode: 0o600 });
  await rename(`${path}.new`, path);
}

/** We hold the lease now: whatever an earlier holder left running on this machine is ended before its lock is broken. */
async function endPredecessor(path: string): Promise<void> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    // No mark is the rule: nobody was interrupted.
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (text === undefined) return;
  const parsed = mark.safeParse(JSON.parse(text));
  if (!parsed.success) return;
  const { pid, start } = parsed.data;
  while ((await startOf(pid)) === start) {
    killGroup(pid);
    await delay(10);
  }
}
