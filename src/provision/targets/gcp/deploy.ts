import { setTimeout as delay } from 'node:timers/promises';
import type { DeployOrder, Held, Watch } from '../../../site/ports.ts';
import { Fault } from '../../../site/problem.ts';
import type { ApiFailureKind } from './api-error.ts';
import { explainEngine, neverEnded, toEngineFailure } from './explain.ts';
import type { CloudLogs } from './logs.ts';
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
  /** The engine's run. */
  readonly up: () => Promise<void>;
  /** Brings the engine's state in line with what there is. */
  readonly refresh: () => Promise<void>;
  /** Whether somebody else has the site by now. */
  readonly isLost: () => Promise<boolean>;
};

/** A service that stands in the way is removed, or a state that is behind is renewed, so often; then what failed has failed. */
const MENDS = 3;
/** Cloud Run takes traffic over within seconds once a revision is ready. */
const READY_MS = 60_000;
const LOOK_MS = { first: 100, longest: 2_000 };

/**
 * Runs the engine until the launch's revision is what visitors get. Whatever goes wrong, nothing that never served is left.
 * @returns where the service answers
 */
export async function deploy(parts: DeployParts, deploying: Deploying): Promise<string> {
  try {
    await upMending(parts, deploying);
    deploying.watch.entered('check');
    return await untilServing(parts, deploying);
  } catch (error) {
    const told = await explain(parts, deploying, error);
    await clearAway(parts, deploying);
    throw told;
  }
}

async function upMending(parts: DeployParts, deploying: Deploying): Promise<void> {
  for (let mends = 0; ; mends += 1) {
    try {
      return await parts.up();
    } catch (error) {
      deploying.watch.signal.throwIfAborted();
      // Where there was too much or nobody answered, Google's provider has asked again for minutes: what it tells is how it is.
      const kind = toEngineFailure(error)?.kind;
      if (!isMendable(kind) || mends === MENDS || !(await mend(parts, deploying, kind))) throw error;
    }
  }
}

/** A site that is being deleted is told of with one of the last two. */
const isMendable = (kind: ApiFailureKind | undefined): kind is ApiFailureKind =>
  kind === 'exists' || kind === 'missing' || kind === 'refused' || kind === 'other';

/** Brings together what the state has and what there is. @returns whether there was anything to do */
async function mend({ services, refresh }: DeployParts, { order, watch }: Deploying, kind: ApiFailureKind): Promise<boolean> {
  const there = await services.find(order.region, order.site);
  if (there !== undefined && (there.isGoing || kind === 'exists')) {
    // A removal that is under way; or what a create that failed, or an engine that died over it, has left: the state does not know it, and
    // Pulumi cannot take over what differs from the wish.
    await services.remove(there, watch.signal);
    return true;
  }
  if (kind === 'exists') {
    // A name that is free again, and was not a moment ago; or another's.
    await delay(LOOK_MS.longest, undefined, { signal: watch.signal });
    return true;
  }
  if (kind !== 'missing' || there !== undefined) return false;
  await refresh();
  return true;
}

const isOf = (service: SiteService | undefined, { revision }: DeployOrder): service is SiteService =>
  service?.revision === revision.toLowerCase();

/** The engine is through; that visitors get this launch and not the one before is for Cloud Run to say. */
async function untilServing({ services }: DeployParts, { order, watch }: Deploying): Promise<string> {
  const end = performance.now() + READY_MS;
  for (let wait = LOOK_MS.first; ; wait = Math.min(wait * 1.5, LOOK_MS.longest)) {
    const service = await services.find(order.region, order.site);
    if (isOf(service, order) && service.isReady) return service.origin;
    const trouble = isOf(service, order) ? await services.trouble(service) : undefined;
    if (trouble !== undefined || performance.now() > end)
      throw new Fault('deploy-failed', { cause: new Error('The revision does not serve') });
    await delay(wait, undefined, { signal: watch.signal });
  }
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

/** Removes a service of which no revision ever answered, also where a site that is live elsewhere was to move, unless somebody else has the site by now. */
async function clearAway({ services, isLost }: DeployParts, { order, held }: Deploying): Promise<void> {
  if (await isLost()) return;
  try {
    const there = await services.find(order.region, order.site);
    if (there !== undefined && !there.wasReady) await services.remove(there, held.signal);
  } catch {
    // The next launch meets it and clears it away, as does the end of the site: what failed first is what is told.
  }
}
