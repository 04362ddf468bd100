import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { DeployOrder, Held, Watch } from '../../../site/ports.ts';
import { Fault } from '../../../site/problem.ts';
import type { ApiFailureKind } from './api-error.ts';
import { explainEngine, neverEnded, toEngineFailure } from './explain.ts';
import type { CloudLogs } from './logs.ts';
import { openLooks } from './looks.ts';
import type { Asking } from './run-attempts.ts';
import { judge } from './run-verdict.ts';
import type { SiteService, SiteServices } from './services.ts';

export type Deploying = {
  readonly held: Held;
  readonly order: DeployOrder;
  readonly watch: Watch;
};
export type DeployParts = {
  readonly services: SiteServices;
  readonly logs: Pick<CloudLogs, 'appLog'>;
  readonly asking: Asking;
  /** The email of the one account that is to call the site. */
  readonly gate: string;
  /** The engine's run, which takes the service of this full name into a state that does not know it. */
  readonly up: (adopting: string | null) => Promise<void>;
  /** Brings the engine's state in line with what there is. */
  readonly refresh: () => Promise<void>;
  /** Drops the engine's state, and leaves what there is. */
  readonly forget: () => Promise<void>;
  /** The region of what visitors have; null: nothing yet. */
  readonly liveIn: string | null;
  /** Whether somebody else has the site by now. */
  readonly isLost: () => Promise<boolean>;
  readonly log: Logger;
};

/** A service that stands in the way is removed or adopted, or a state that is behind is renewed, so often; then what failed has failed. */
const MENDS = 3;
/** Cloud Run takes traffic over within seconds once a revision is ready. */
const READY_MS = 60_000;
const LOOK_MS = { least: 500, most: 2_000 };

/**
 * Runs the engine until the launch's revision is what visitors get. Whatever goes wrong, nothing that never served is left.
 * @returns where the service answers
 */
export async function deploy(parts: DeployParts, deploying: Deploying): Promise<string> {
  const { liveIn } = parts;
  try {
    // A site that moves is made anew in the other region, and left alone in the first, which visitors have until then and which may be down:
    // what the engine does not know it does not remove.
    if (liveIn !== null && liveIn !== deploying.order.region) await parts.forget();
    await upMending(parts, deploying);
    deploying.watch.entered('check');
    const service = await untilServing(parts, deploying);
    await letGateIn(parts, deploying, service);
    return service.origin;
  } catch (error) {
    const told = await explain(parts, deploying, error);
    await clearAway(parts, deploying);
    throw told;
  }
}

async function upMending(parts: DeployParts, deploying: Deploying): Promise<void> {
  let next: Mended = PUT_RIGHT;
  for (let mends = 0; ; mends += 1) {
    // A mend takes minutes, and what was built before it is not built again.
    if (mends > 0) await deploying.order.mayGoOn();
    try {
      return await parts.up(next.adopting);
    } catch (error) {
      if (next.adopting !== null) await forgetRead(parts, deploying);
      deploying.watch.signal.throwIfAborted();
      // Where there was too much or nobody answered, Google's provider has asked again for minutes: what it tells is how it is.
      const kind = toEngineFailure(error)?.kind;
      const mended = isMendable(kind) && mends < MENDS ? await mend(parts, deploying, kind) : undefined;
      if (mended === undefined) throw error;
      next = mended;
    }
  }
}

/**
 * What is adopted is read first, and its environment with the database's password stands in the state in the clear until the update after
 * that has succeeded. Without a state the next run adopts it anew.
 */
async function forgetRead({ forget, log }: DeployParts, { order: { site } }: Deploying): Promise<void> {
  try {
    await forget();
  } catch (error) {
    log.error({ err: error, site }, 'the state of a site holds its environment in the clear until it is launched again');
  }
}

/** What the engine's next run is to adopt. */
type Mended = { readonly adopting: string | null };
const PUT_RIGHT: Mended = { adopting: null };

/** A site that is being deleted is told of with one of the last two. */
const isMendable = (kind: ApiFailureKind | undefined): kind is ApiFailureKind =>
  kind === 'exists' || kind === 'missing' || kind === 'refused' || kind === 'other';

/** Brings together what the state has and what there is; undefined when there was nothing to do. */
async function mend(
  { services, refresh }: DeployParts,
  { order: { region, site }, watch }: Deploying,
  kind: ApiFailureKind,
): Promise<Mended | undefined> {
  const there = await services.find(region, site);
  // The state was lost, and visitors have it.
  if (kind === 'exists' && there?.wasReady && !there.isGoing) return { adopting: there.name };
  if (there !== undefined && (there.isGoing || kind === 'exists')) {
    // A removal that is under way; or what a create that failed, or an engine that died over it, has left, and nobody has ever seen.
    await services.remove(there, watch.signal);
    return PUT_RIGHT;
  }
  if (kind === 'exists') {
    const service = await services.findAnothers(region, site);
    if (service !== undefined) throw new Fault('google-name-taken', { details: { service } });
    // A name that is free again, and was not a moment ago.
    await delay(LOOK_MS.most, undefined, { signal: watch.signal });
    return PUT_RIGHT;
  }
  if (kind !== 'missing' || there !== undefined) return undefined;
  await refresh();
  return PUT_RIGHT;
}

const isOf = (service: SiteService | undefined, { revision }: DeployOrder): service is SiteService =>
  service?.revision === revision.toLowerCase();

/** The engine is through; that visitors get this launch and not the one before is for Cloud Run to say. */
async function untilServing({ services }: DeployParts, { order, watch }: Deploying): Promise<SiteService> {
  for (const looks = openLooks(LOOK_MS, watch.signal); ; await looks.next()) {
    const service = await services.find(order.region, order.site);
    if (isOf(service, order) && service.isReady) return service;
    const trouble = isOf(service, order) ? await services.trouble(service) : undefined;
    if (trouble !== undefined || looks.passed() > READY_MS)
      throw new Fault('deploy-failed', { cause: new Error('The revision does not serve') });
  }
}

/** The engine has written down that the gate was let in, and does not look whether it still is: people set policies anew by hand. */
async function letGateIn({ services, gate, refresh, up }: DeployParts, { order }: Deploying, service: SiteService): Promise<void> {
  if (await services.letsIn(service, gate)) return;
  await refresh();
  await order.mayGoOn();
  await up(null);
}

/** What went wrong, as a person may do something about it. */
async function explain(parts: DeployParts, { order, watch }: Deploying, error: unknown): Promise<unknown> {
  if (watch.signal.aborted) return watch.signal.reason;
  if (!(error instanceof Fault) || error.code !== 'deploy-failed') return error;
  try {
    const service = await parts.services.find(order.region, order.site);
    const verdict = isOf(service, order) && !service.isReady ? await judge({ ...parts, watch }, service) : undefined;
    if (verdict !== undefined) return verdict;
  } catch (failure) {
    // What can be told without asking is told all the same.
    if (toEngineFailure(error) === undefined && !neverEnded(error)) return failure;
  }
  if (neverEnded(error)) return new Fault('google-timeout', { details: { action: 'start the site', limit: '6 minutes' }, cause: error });
  return explainEngine(error, parts.asking, order.region);
}

/**
 * Removes a service of which no revision ever answered, also where a site that is live elsewhere was to move, with what the engine wrote
 * down of it, unless somebody else has the site by now.
 */
async function clearAway({ services, isLost, liveIn, forget }: DeployParts, { order, held }: Deploying): Promise<void> {
  if (await isLost()) return;
  try {
    // Before the region is asked, which may be down: a launch elsewhere would have the engine remove from it what it wrote down.
    if (liveIn !== order.region) await forget();
    const there = await services.find(order.region, order.site);
    if (there !== undefined && !there.wasReady) await services.remove(there, held.signal);
  } catch {
    // The next launch meets it and clears it away, as does the end of the site: what failed first is what is told.
  }
}
