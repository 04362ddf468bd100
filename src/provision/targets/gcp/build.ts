import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { SiteId } from '../../../site/identity.ts';
import type { ImageArtefact } from '../../../site/ports.ts';
import { Fault } from '../../../site/problem.ts';
import { artefactKey, sha256 } from '../../artefacts.ts';
import type { Builder, BuildOrder, Built } from '../../build.ts';
import { orDiskFull } from '../../storage/disk.ts';
import { removeArchive, uploadFolder } from './archive.ts';
import { type Attempts, attemptsOf, type Pauses } from './attempts.ts';
import { type Build, type BuildTimes, type CloudBuilds, openCloudBuilds } from './cloud-build.ts';
import type { Google } from './google.ts';
import { type Images, openImages } from './images.ts';
import type { CloudLogs } from './logs.ts';
import { packageName } from './names.ts';
import { chooseRecipe, type Recipe } from './recipe.ts';
import { type BuildPlatform, digestIn, LIMIT_S, placeOf, QUEUE_S, toBuild, treeTag } from './steps.ts';
import { judged } from './verdict.ts';

export type GcpBuilderOptions = {
  readonly google: Google;
  readonly platform: BuildPlatform;
  readonly instance: string;
  readonly logs: CloudLogs;
  /** Checkouts are put below it for as long as they are packed. */
  readonly dataDir: string;
  /** Seconds that a build may take; 15 minutes unless given. */
  readonly limitS?: number;
  readonly times?: BuildTimes & { readonly pauses?: Pauses };
};

type Parts = GcpBuilderOptions & { readonly images: Images; readonly builds: CloudBuilds; readonly attempts: Attempts };
type Order = BuildOrder & { readonly key: string; readonly tree: string };

/** A builder, and what it leaves of a site in a region: `cancelAll` and `images.keepOnly` with null are all that there is to remove. */
export interface GcpBuilder extends Builder<ImageArtefact> {
  readonly images: Images;
  /** Cancels the site's builds that still run. Throws the Faults of `ensureArtefact`. */
  cancelAll(site: SiteId, region: string): Promise<void>;
}

/** A builder that has its work done by Cloud Build, in the site's own region. */
export async function openGcpBuilder(options: GcpBuilderOptions): Promise<GcpBuilder> {
  const work = join(options.dataDir, 'work');
  await rm(work, { recursive: true, force: true });
  const { google, platform } = options;
  const parts: Parts = {
    ...options,
    images: openImages(google, options),
    builds: openCloudBuilds(google, options.times),
    attempts: attemptsOf(google, platform, options.times?.pauses),
  };
  const making = new Map<string, Promise<unknown>>();
  return {
    async ensureArtefact(order) {
      const { site, region, launch, watch } = order;
      const tree = sha256(JSON.stringify([region, await artefactKey(order.snapshot, order.config, order)]));
      const key = order.caches === 'use' ? tree : `${tree}-${launch}`;
      await order.claim?.(key);
      // One site's launches at most: the second waits for the image of the first, whatever becomes of it.
      const name = `${site} ${key}`;
      for (let other = making.get(name); other !== undefined; other = making.get(name)) await settled(other, watch.signal);
      const made = ensure({ ...order, key, tree }, parts);
      making.set(name, made);
      try {
        return await made;
      } catch (error) {
        // What was cut off by it throws as it likes.
        watch.signal.throwIfAborted();
        throw error;
      } finally {
        making.delete(name);
      }
    },
    images: parts.images,
    async cancelAll(site, region) {
      const { builds, instance, attempts } = parts;
      await attempts.builds({ region, trust: 'trusted' }, () => builds.cancelAll({ site, region, instance }));
    },
    // An image goes with its site, or when the site has another one.
    remove: async () => {},
    async [Symbol.asyncDispose]() {
      await Promise.all([...making.values()].map((one) => one.catch(() => undefined)));
    },
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

async function ensure(order: Order, parts: Parts): Promise<Built<ImageArtefact>> {
  const folder = join(parts.dataDir, 'work', order.launch);
  const { snapshot, config, watch } = order;
  const { attempts, builds, instance } = parts;
  const kept = order.caches === 'use' ? findKept(order, parts) : Promise.resolve(undefined);
  const going = attempts.builds(order, () => builds.going({ ...order, instance }));
  // Heard of below, once the checkout is there.
  for (const asked of [kept, going]) asked.catch(() => undefined);
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const checkout = join(folder, 'repo');
    await orDiskFull(() => snapshot.checkout([config.root, ...config.include], checkout, watch.signal));
    const recipe = await chooseRecipe(checkout, config);
    watch.log(`Detected: ${recipe.detected}\n`);
    const { key } = order;
    const image = await kept;
    if (image !== undefined) return { artefact: { key, image, detected: recipe.detected }, cache: 'artefact' };
    return { artefact: { key, image: await build({ order, parts, recipe, checkout, going }), detected: recipe.detected }, cache: 'none' };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const findKept = (order: Order, { images, attempts }: Parts): Promise<string | undefined> =>
  attempts.images(order, () => images.find(order, order.tree));

type Building = {
  readonly order: Order;
  readonly parts: Parts;
  readonly recipe: Recipe;
  readonly checkout: string;
  readonly going: Promise<readonly Build[]>;
};

/** @returns the image */
async function build(of: Building): Promise<string> {
  const { order, parts } = of;
  await using tidying = new AsyncDisposableStack();
  const digest = (await builtBefore(of)) ?? (await buildAnew(of, tidying));
  order.watch.signal.throwIfAborted();
  return await parts.attempts.images(order, () => parts.images.note(order, order.tree, digest));
}

/**
 * Builds of the site that still run are what a crash or a push left behind: one of this very tree is waited for, the others are cancelled.
 * @returns the digest of the image that it made
 */
async function builtBefore(of: Building): Promise<string | undefined> {
  const { order } = of;
  const { builds } = of.parts;
  const going = await of.going;
  const own = order.caches === 'use' ? going.find(({ name, tags }) => name && tags?.includes(treeTag(order.tree))) : undefined;
  for (const { name } of going) if (name && name !== own?.name) await builds.cancel(name);
  if (!own?.name) return undefined;
  order.watch.log('A build of this commit is under way: waiting for it\n');
  return finish(of, own.name, (LIMIT_S + QUEUE_S) * 1000).catch((error: unknown) => {
    // Whoever began it may have cancelled it when it was overtaken.
    if (error instanceof Fault && error.code === 'cloud-build-failed') return undefined;
    throw error;
  });
}

/** What is left of it is tidied up beside what comes next. */
async function buildAnew(of: Building, tidying: AsyncDisposableStack): Promise<string> {
  const { order, parts, recipe, checkout } = of;
  const { google, platform, instance, builds, attempts } = parts;
  const { signal } = order.watch;
  const place = {
    bucket: placeOf({ platform, region: order.region }).bucket,
    // The build of a stranger's commit may read what is below `sources/untrusted/` and nothing else: infra/platform/roles.ts.
    object: `sources/${order.trust}/${packageName({ ...order, instance })}/${order.key}.tar.gz`,
  };
  try {
    const source = await attempts.sources(order, () => uploadFolder(google, checkout, { ...place, signal }));
    const request = toBuild({ ...order, instance, platform, recipe, source, key: order.tree, limitS: parts.limitS ?? LIMIT_S });
    const name = await attempts.starts(order, async () => {
      signal.throwIfAborted();
      return builds.start(order.region, request);
    });
    return await finish(of, name);
  } finally {
    // Nobody minds what is left of it: the bucket removes what is older than a day by itself.
    const removed = removeArchive(google, place).catch(() => undefined);
    tidying.defer(() => removed);
  }
}

/** Waits for a build's end and tells what it prints. @returns the digest of what it made */
async function finish({ order, parts, recipe }: Building, name: string, agoMs?: number): Promise<string> {
  const { watch, region } = order;
  const { builds, images, logs, attempts, limitS = LIMIT_S } = parts;
  let said = '';
  const hear = (text: string): void => {
    said = (said + text).slice(-16_384);
    watch.log(text);
  };
  await using listening = new AsyncDisposableStack();
  const following = listening.use(logs.follow(name.slice(name.lastIndexOf('/') + 1), hear, agoMs));
  const waits = (): void => watch.log('Cloud Build is busy: waiting for a place\n');
  const ended = await attempts.ends(order, () => builds.end(name, { signal: watch.signal, limitS, waits }));
  if (judged(ended, { recipe, limitS, region, said }) !== undefined) {
    await following.drained(watch.signal);
    throw judged(ended, { recipe, limitS, region, said });
  }
  // What it printed last comes while the site is put up.
  const rest = listening.move();
  watch.later(following.drained(watch.signal).finally(() => rest.disposeAsync()));
  const digest = digestIn(ended) ?? (await attempts.images(order, () => images.pushed(order, order.launch)));
  if (digest === undefined) throw new Fault('cloud-build-failed', { details: { cause: 'its results name no image' } });
  return digest;
}
