import { lstat, mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { LaunchId, SiteId } from '../site/identity.ts';
import type { Artefact, FolderArtefact, Watch } from '../site/ports.ts';
import { Fault } from '../site/problem.ts';
import type { Trust } from '../site/site.ts';
import { type Artefacts, artefactKey, type BuildConfig, openArtefacts } from './artefacts.ts';
import { type BuildBox, createBuildBox } from './build-box.ts';
import { collect } from './collect.ts';
import { type Dependencies, dependenciesKey, openDependencies } from './dependencies.ts';
import { detect, type Install, isOwnFolder } from './detect.ts';
import type { Egress } from './egress.ts';
import { findRegistry, type Registry } from './registry.ts';
import type { Sandbox } from './sandbox.ts';
import type { Snapshot } from './snapshot.ts';
import { orDiskFull } from './storage/disk.ts';

const LIMIT_MS = 15 * 60_000;

export type BuildOrder = {
  readonly site: SiteId;
  /** Where it is built and kept, on a target that has places. */
  readonly region: string;
  readonly snapshot: Snapshot;
  readonly config: BuildConfig;
  /** The repository's identity, e.g. `github-123`: caches are never shared between repositories. */
  readonly repository: string;
  readonly trust: Trust;
  readonly launch: LaunchId;
  readonly watch: Omit<Watch, 'entered'>;
  /** `none`: build again, from nothing. */
  readonly caches: 'use' | 'none';
  /** Told the artefact's key before it is looked for or made, so that nobody removes it in between. */
  readonly claim?: (key: string) => Promise<void>;
};

export type Built<Made extends Artefact = FolderArtefact> = {
  readonly artefact: Made;
  readonly cache: 'artefact' | 'dependencies' | 'none';
};

export interface Builder<Made extends Artefact = Artefact> extends AsyncDisposable {
  /**
   * The artefact of a commit: the one that is kept, or made now. Throws Fault `root-missing`, `nothing-detected`,
   * `install-failed`, `build-failed`, `build-timeout`, `build-limit`, `output-missing`, `output-limit`, `disk-full`, or what the signal was
   * aborted with; then nothing is left of it.
   */
  ensureArtefact(order: BuildOrder): Promise<Built<Made>>;
  /** Forgets an artefact that no site runs any more. */
  remove(key: string): Promise<void>;
}

export type BuilderOptions = {
  readonly dataDir: string;
  readonly sandbox: Sandbox;
  /** The builds' only network. */
  readonly egress: Pick<Egress, 'socket'>;
  /** Where packages come from; what npm is configured with on this machine unless given. */
  readonly registry?: Registry;
  /** MiB that one build may write; 6 GiB unless given. */
  readonly diskMb?: number;
  /** Milliseconds for install and build together; 15 minutes unless given. */
  readonly limitMs?: number;
};

/** Opens the builder. Folders of builds that were cut off by a crash are removed. */
export async function openBuilder(options: BuilderOptions): Promise<Builder<FolderArtefact>> {
  const { dataDir } = options;
  const work = join(dataDir, 'work');
  await rm(work, { recursive: true, force: true });
  await mkdir(work, { recursive: true, mode: 0o700 });
  const [artefacts, dependencies] = await Promise.all([openArtefacts(dataDir), openDependencies(dataDir)]);
  const making = new Map<string, Promise<unknown>>();
  let registry: Promise<Registry> | undefined;
  const sweeper = openSweeper(work);
  const parts = { ...options, artefacts, dependencies, sweep: sweeper.sweep };
  return {
    async ensureArtefact(order) {
      const shared = await artefactKey(order.snapshot, order.config, order);
      // Never in place of an artefact that a site may be running.
      const key = order.caches === 'use' ? shared : `${shared}-${order.launch}`;
      await order.claim?.(key);
      // Two pulls with the same content: the second waits for the first one's artefact, whatever becomes of it.
      for (let other = making.get(key); other !== undefined; other = making.get(key)) await settled(other, order.watch.signal);
      const made = ensure({ ...order, key }, async () => {
        registry ??= options.registry ? Promise.resolve(options.registry) : findRegistry();
        return { ...parts, registry: await registry, work: join(work, order.launch) };
      });
      making.set(key, made);
      try {
        return await made;
      } finally {
        making.delete(key);
      }
    },
    remove: (key) => artefacts.remove(key),
    async [Symbol.asyncDispose]() {
      await dependencies[Symbol.asyncDispose]();
      await sweeper.done();
    },
  };
}

/** Removes folders behind the scenes: 15,000 files take a second that nobody has to wait for. */
function openSweeper(work: string): { readonly sweep: (folder: string) => Promise<void>; readonly done: () => Promise<void> } {
  const going = new Set<Promise<void>>();
  let count = 0;
  return {
    async sweep(folder) {
      const aside = join(work, `.gone-${count++}`);
      await rename(folder, aside);
      // What is left of it goes when Mayfly is opened again.
      const removal = rm(aside, { recursive: true, force: true }).catch(() => {});
      going.add(removal);
      void removal.then(() => going.delete(removal));
    },
    done: async () => void (await Promise.all(going)),
  };
}

/** Waits for another's work, however it ends, or until the signal is aborted. */
async function settled(work: Promise<unknown>, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const over = Promise.withResolvers<never>();
  const abort = (): void => over.reject(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  try {
    await Promise.race([work.catch(() => {}), over.promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

type Parts = Omit<BuilderOptions, 'registry'> & {
  readonly registry: Registry;
  readonly work: string;
  readonly artefacts: Artefacts;
  readonly dependencies: Dependencies;
  readonly sweep: (folder: string) => Promise<void>;
};
type Order = BuildOrder & { readonly key: string };

async function ensure(order: Order, open: () => Promise<Parts>): Promise<Built> {
  const parts = await open();
  const kept = order.caches === 'use' ? await parts.artefacts.find(order.key) : undefined;
  return kept ? { artefact: kept, cache: 'artefact' } : make(order, parts);
}

async function make(order: Order, parts: Parts): Promise<Built> {
  const { watch } = order;
  const timeout = AbortSignal.timeout(parts.limitMs ?? LIMIT_MS);
  try {
    const built = await build(order, parts, AbortSignal.any([watch.signal, timeout]));
    await parts.sweep(parts.work);
    return built;
  } catch (error) {
    await rm(parts.work, { recursive: true, force: true });
    if (timeout.aborted && !watch.signal.aborted) {
      throw new Fault('build-timeout', { details: { limit: `${Math.round((parts.limitMs ?? LIMIT_MS) / 1000)} s` } });
    }
    throw error;
  }
}

async function build(order: Order, parts: Parts, signal: AbortSignal): Promise<Built> {
  const { snapshot, config, watch } = order;
  const checkout = join(parts.work, 'repo');
  await orDiskFull(() => snapshot.checkout([config.root, ...config.include], checkout, signal));
  const plan = await detect(checkout, config);
  watch.log(`Detected: ${plan.detected}\n`);
  let installed = NOTHING_KEPT;
  if (plan.install !== null || plan.build !== null) {
    await using box = await createBuildBox({ ...parts, launch: order.launch, env: config.env, checkout, signal, log: watch.log });
    if (plan.install !== null) installed = await install({ order, parts, box, checkout }, plan.install);
    if (plan.build !== null) await box.run(plan.build, { cwd: config.root, failure: 'build-failed' });
  }
  signal.throwIfAborted();
  const { folder, made } = await collect({ plan, root: config.root, checkout, out: join(parts.work, 'out'), log: watch.log });
  const artefact = await parts.artefacts.keep(order.key, folder, made);
  if (installed.key !== null) parts.dependencies.prepare(installed.key);
  return { artefact, cache: installed.cache };
}

type Installed = { readonly cache: Built['cache']; readonly key: string | null };
const NOTHING_KEPT: Installed = { cache: 'none', key: null };
type Installing = { readonly order: Order; readonly parts: Parts; readonly box: BuildBox; readonly checkout: string };

/** @returns where the dependencies came from, and under which key they are kept */
async function install({ order, parts, box, checkout }: Installing, wanted: Install): Promise<Installed> {
  const folder = join(checkout, wanted.cwd);
  const key = await dependenciesKey(checkout, wanted, order);
  const tracked = await lstat(join(folder, 'node_modules')).catch(() => undefined);
  const cacheable = key !== null && tracked === undefined && wanted.manager !== 'berry';
  if (cacheable && order.caches === 'use' && (await parts.dependencies.restore(key, folder))) {
    order.watch.log('Dependencies are the same as before: taken from the cache\n');
    await box.own(join(folder, 'node_modules'));
    for (const script of wanted.ownScripts) {
      const command = `${wanted.manager} run ${script}`;
      await box.run(command, { cwd: wanted.cwd, failure: 'install-failed' });
    }
    return { cache: 'dependencies', key };
  }
  await box.run(wanted.command, { cwd: wanted.cwd, failure: 'install-failed' });
  if (!cacheable || !(await isOwnFolder(checkout, wanted.cwd))) return NOTHING_KEPT;
  if (await parts.dependencies.keep(key, folder)) return { cache: 'none', key };
  order.watch.log('The dependencies are not kept for the next build: no disk space is left\n');
  return NOTHING_KEPT;
}
