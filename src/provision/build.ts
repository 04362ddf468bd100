import { execFile } from 'node:child_process';
import { lstat, mkdir, realpath, rm } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { promisify } from 'node:util';
import type { LaunchId } from '../site/identity.ts';
import type { Artefact, Watch } from '../site/ports.ts';
import { Fault } from '../site/problem.ts';
import type { Trust } from '../site/site.ts';
import { type Artefacts, artefactKey, type BuildConfig, type Made, openArtefacts } from './artefacts.ts';
import { type BuildBox, createBuildBox, EXPORTED } from './build-box.ts';
import { orDiskFull } from './copy.ts';
import { type Dependencies, dependenciesKey, openDependencies } from './dependencies.ts';
import { detect, type Install, type Plan } from './detect.ts';
import type { Egress } from './egress.ts';
import { publish } from './output.ts';
import type { Sandbox } from './sandbox.ts';
import type { Snapshot } from './source.ts';

const run = promisify(execFile);
const LIMIT_MS = 15 * 60_000;
/** What an app may weigh with its dependencies. */
const MAX_FILES = 400_000;
const MAX_MIB = 3_072;

export type BuildOrder = {
  readonly snapshot: Snapshot;
  readonly config: BuildConfig;
  /** The repository's identity, e.g. `github-123`: caches are never shared between repositories. */
  readonly repository: string;
  readonly trust: Trust;
  readonly launch: LaunchId;
  readonly watch: Pick<Watch, 'signal' | 'log'>;
  /** `none`: build again, from nothing. */
  readonly caches: 'use' | 'none';
};

export type Built = { readonly artefact: Artefact; readonly cache: 'artefact' | 'dependencies' | 'none' };

export interface Builder {
  /**
   * The artefact of a commit: the one that is kept, or made now in the sandbox. Throws Fault `root-missing`, `nothing-detected`,
   * `install-failed`, `build-failed`, `build-timeout`, `build-limit`, `output-missing`, `output-limit`, `disk-full`, or what the signal was
   * aborted with; then nothing is left of it.
   */
  ensureArtefact(order: BuildOrder): Promise<Built>;
  /** Forgets an artefact that no site runs any more. */
  remove(key: string): Promise<void>;
}

export type BuilderOptions = {
  readonly dataDir: string;
  readonly sandbox: Sandbox;
  /** The builds' only network. */
  readonly egress: Pick<Egress, 'socket'>;
  /** Address of the package registry that this machine uses, where it isn't the usual one. */
  readonly registry?: string | null;
  /** Milliseconds for install and build together; 15 minutes unless given. */
  readonly limitMs?: number;
};

/** Opens the builder. Folders of builds that were cut off by a crash are removed. */
export async function openBuilder(options: BuilderOptions): Promise<Builder> {
  const { dataDir } = options;
  const work = join(dataDir, 'work');
  await rm(work, { recursive: true, force: true });
  await mkdir(work, { recursive: true, mode: 0o700 });
  const [artefacts, dependencies] = await Promise.all([openArtefacts(dataDir), openDependencies(dataDir)]);
  const making = new Map<string, Promise<unknown>>();
  return {
    async ensureArtefact(order) {
      const key = await artefactKey(order.snapshot, order.config, order);
      // Two pulls with the same content: the second waits for the first one's artefact, whatever becomes of it.
      await making.get(key)?.catch(() => {});
      const kept = order.caches === 'use' ? await artefacts.find(key) : undefined;
      if (kept) return { artefact: kept, cache: 'artefact' };
      // Never in place of an artefact that a site may be running.
      const name = order.caches === 'use' ? key : `${key}-${order.launch}`;
      const made = make({ ...order, key: name }, { ...options, work: join(work, order.launch), artefacts, dependencies });
      making.set(key, made);
      try {
        return await made;
      } finally {
        if (making.get(key) === made) making.delete(key);
      }
    },
    remove: (key) => artefacts.remove(key),
  };
}

type Parts = BuilderOptions & { readonly work: string; readonly artefacts: Artefacts; readonly dependencies: Dependencies };
type Order = BuildOrder & { readonly key: string };

async function make(order: Order, parts: Parts): Promise<Built> {
  const { snapshot, config, watch } = order;
  const checkout = join(parts.work, 'repo');
  const timeout = AbortSignal.timeout(parts.limitMs ?? LIMIT_MS);
  const signal = AbortSignal.any([watch.signal, timeout]);
  try {
    await orDiskFull(() => snapshot.checkout([config.root, ...config.include], checkout, signal));
    const plan = await detect(checkout, config);
    watch.log(`Detected: ${plan.detected}\n`);
    let cache: Built['cache'] = 'none';
    if (plan.install !== null || plan.build !== null) {
      await using box = await createBuildBox({ ...parts, launch: order.launch, env: config.env, checkout, signal, log: watch.log });
      if (plan.install !== null) cache = await install({ order, parts, box, checkout }, plan.install);
      if (plan.build !== null) await box.run(plan.build, { cwd: config.root, failure: 'build-failed' });
    }
    signal.throwIfAborted();
    const { folder, made } = await collect(order, { plan, checkout, out: join(parts.work, 'out') });
    return { artefact: await parts.artefacts.keep(order.key, folder, made), cache };
  } catch (error) {
    if (timeout.aborted && !watch.signal.aborted) {
      throw new Fault('build-timeout', { details: { limit: `${Math.round((parts.limitMs ?? LIMIT_MS) / 1000)} s` } });
    }
    throw error;
  } finally {
    await rm(parts.work, { recursive: true, force: true });
  }
}

type Installing = { readonly order: Order; readonly parts: Parts; readonly box: BuildBox; readonly checkout: string };

async function install({ order, parts, box, checkout }: Installing, wanted: Install): Promise<Built['cache']> {
  const folder = join(checkout, wanted.cwd);
  const key = await dependenciesKey(checkout, wanted, order);
  const tracked = await lstat(join(folder, 'node_modules')).catch(() => undefined);
  const cacheable = key !== null && tracked === undefined && wanted.manager !== 'berry';
  if (cacheable && order.caches === 'use' && (await parts.dependencies.restore(key, folder))) {
    order.watch.log('Dependencies are the same as before: taken from the cache\n');
    await box.own(join(folder, 'node_modules'));
    for (const script of wanted.ownScripts) {
      const command = `${wanted.manager === 'npm' ? 'npm' : wanted.manager} run ${script}`;
      await box.run(command, { cwd: wanted.cwd, failure: 'install-failed' });
    }
    return 'dependencies';
  }
  await box.run(wanted.command, { cwd: wanted.cwd, failure: 'install-failed' });
  if (cacheable) await parts.dependencies.keep(key, folder);
  return 'none';
}

type Collecting = { readonly plan: Plan; readonly checkout: string; readonly out: string };

async function collect(order: Order, { plan, checkout, out }: Collecting): Promise<{ readonly folder: string; readonly made: Made }> {
  const { detected, runtime } = plan;
  const { root } = order.config;
  if (runtime.kind === 'process') {
    await orDiskFull(() => tidied(checkout));
    return { folder: checkout, made: { runtime: { kind: 'process', command: runtime.command, cwd: root }, detected } };
  }
  const output = await firstFolder(
    checkout,
    runtime.outputs.map((name) => join(root, name)),
  );
  if (output === undefined) throw new Fault('output-missing', { details: { output: runtime.outputs.join('`, `') } });
  await orDiskFull(() => publish(output, out, { log: order.watch.log }));
  return { folder: out, made: { runtime: { kind: 'static', output: '.' }, detected } };
}

/** The first that is a folder and, all links followed, in the checkout. */
async function firstFolder(checkout: string, names: readonly string[]): Promise<string | undefined> {
  const top = await realpath(checkout);
  for (const name of names) {
    const real = await realpath(join(checkout, name)).catch(() => undefined);
    if (real === undefined || relative(top, real).startsWith('..')) continue;
    if ((await lstat(real)).isDirectory()) return real;
  }
  return undefined;
}

/**
 * Makes a checkout that hostile code has written to into an artefact: ours, nothing but files, folders and links, no setuid. Everybody
 * may write, since boxes see it as the lower layer of an overlay; the folder above it is closed to all but us.
 */
async function tidied(folder: string): Promise<void> {
  const options = { env: EXPORTED, maxBuffer: 1024 * 1024 };
  await run('find', [folder, '!', '-type', 'f', '!', '-type', 'd', '!', '-type', 'l', '-delete'], options);
  if (process.getuid?.() === 0) await run('chown', ['-R', '-h', '0:0', '--', folder], options);
  await run('chmod', ['-R', 'a+rwX,u-s,g-s,-t', '--', folder], options);
  const mib = Number((await run('du', ['-sxm', '--', folder], options)).stdout.split('\t')[0]);
  const files = Number((await run('du', ['-sx', '--inodes', '--', folder], options)).stdout.split('\t')[0]);
  if (mib > MAX_MIB) throw new Fault('output-limit', { details: { limit: `${MAX_MIB} MiB` } });
  if (files > MAX_FILES) throw new Fault('output-limit', { details: { limit: `${MAX_FILES} files` } });
}
