import type { protos } from '@google-cloud/run';
import { gcpServiceName, INVOKER } from '../../../../infra/labels.ts';
import { parseSiteId, type SiteId } from '../../../site/identity.ts';
import { Fault } from '../../../site/problem.ts';
import { explained, toApiFailure } from './api-error.ts';
import type { Google } from './google.ts';
import { openLooks } from './looks.ts';
import { type Asking, askingRun } from './run-attempts.ts';

/** A site's service as Cloud Run has it. */
export type SiteService = {
  /** `projects/P/locations/R/services/S`. */
  readonly name: string;
  readonly region: string;
  /** Null when it wears our label and not a site's. */
  readonly site: SiteId | null;
  /** The launch that its newest template is of, in lower case. */
  readonly revision: string | null;
  readonly origin: string;
  /** Whether the newest revision answers; then it is the one that visitors get. */
  readonly isReady: boolean;
  /** Whether any revision ever answered. */
  readonly wasReady: boolean;
  /** Full name of the newest revision; empty while there is none. */
  readonly created: string;
  readonly isGoing: boolean;
  readonly image: string | null;
  readonly env: Readonly<Record<string, string>>;
  readonly port: number;
  readonly health: string;
};

/** Why a revision does not answer, in Cloud Run's own words: `HEALTH_CHECK_CONTAINER_ERROR`, `CONTAINER_MISSING` … */
export type Trouble = { readonly reason: string; readonly words: string };

/** Sites' services as Cloud Run's own API knows them, whatever Pulumi's state says. Throws the Faults of `explained`. */
export interface SiteServices {
  find(region: string, site: SiteId): Promise<SiteService | undefined>;
  /** Full name of what has the site's name and does not wear its labels: nobody knows whose it is. */
  findAnothers(region: string, site: SiteId): Promise<string | undefined>;
  /** All of this Mayfly's in the region; another's are not. */
  list(region: string): Promise<readonly SiteService[]>;
  /** Whether the account of this email may call it. */
  letsIn(service: Pick<SiteService, 'name' | 'region'>, account: string): Promise<boolean>;
  /** What is wrong with the newest revision; undefined when it answers, or when it is not known yet. */
  trouble(service: SiteService): Promise<Trouble | undefined>;
  /** Removes it, and waits until its name is free again. Idempotent. */
  remove(service: Pick<SiteService, 'name' | 'region' | 'isGoing'>, signal: AbortSignal): Promise<void>;
}

export type ServicesOptions = { readonly google: Google; readonly instance: string; readonly asking: Asking };

/** A service is gone in seconds; after this its removal has come to nothing. */
const GONE_MS = 120_000;
/** Where Google does not tell that it is. */
const LOOK_MS = { least: 250, most: 2_000 };

export function openSiteServices({ google, instance, asking }: ServicesOptions): SiteServices {
  const { project } = google;
  const at = (region: string): string => `projects/${project}/locations/${region}`;
  const ask = async <T>(action: string, region: string, deed: () => Promise<T>): Promise<T> => {
    try {
      return await deed();
    } catch (error) {
      throw await explained(error, askingRun(asking, { action, region }));
    }
  };
  const get = (name: string, region: string): Promise<protos.google.cloud.run.v2.IService | undefined> =>
    ask('look at a site', region, async () => {
      const client = await google.services();
      return orMissing(client.getService({ name }).then(([service]) => service));
    });
  /** @returns the operation's full name; undefined when there is nothing to remove */
  const beginRemoval = (name: string, region: string): Promise<string | undefined> =>
    ask('remove a site', region, async () => {
      const client = await google.services();
      return orMissing(client.deleteService({ name }).then(([removal]) => removal.name));
    });
  const isOurs = ({ labels }: protos.google.cloud.run.v2.IService): boolean => labels?.['mayfly-instance'] === instance;
  const named = (region: string, site: SiteId) => get(`${at(region)}/services/${gcpServiceName({ instance, site })}`, region);
  const isOf = (service: protos.google.cloud.run.v2.IService, site: SiteId): boolean =>
    isOurs(service) && service.labels?.['mayfly-site'] === site.toLowerCase();
  return {
    async find(region, site) {
      const found = await named(region, site);
      return found && isOf(found, site) ? toSiteService(found, region) : undefined;
    },
    async findAnothers(region, site) {
      const found = await named(region, site);
      return found && !isOf(found, site) ? (found.name ?? '') : undefined;
    },
    list: (region) =>
      ask('list sites', region, async () => {
        const services: SiteService[] = [];
        const client = await google.services();
        for await (const one of client.listServicesAsync({ parent: at(region) }, { autoPaginate: false }))
          if (isOurs(one)) services.push(toSiteService(one, region));
        return services;
      }),
    letsIn: ({ name, region }, account) =>
      ask('look at who may call a site', region, async () => {
        const client = await google.services();
        const [{ bindings }] = await client.getIamPolicy({ resource: name });
        return (bindings ?? []).some(({ role, members }) => role === INVOKER && members?.includes(`serviceAccount:${account}`));
      }),
    trouble: ({ created, region }) =>
      ask('look at a site', region, async () => {
        const client = await google.revisions();
        const revision = created === '' ? undefined : await orMissing(client.getRevision({ name: created }).then(([it]) => it));
        return troubleOf(revision?.conditions ?? []);
      }),
    async remove({ name, region, isGoing }, signal) {
      const looks = openLooks(LOOK_MS, signal);
      let removal: string | undefined;
      for (let isAsked = isGoing; ; ) {
        signal.throwIfAborted();
        if (!isAsked) removal = await beginRemoval(name, region);
        const [isGone] = await Promise.all([removal !== undefined && google.hasDone(removal, signal), looks.next()]);
        if (isGone) return;
        const found = await get(name, region);
        if (found === undefined) return;
        isAsked = Boolean(found.deleteTime);
        if (looks.passed() > GONE_MS)
          throw new Fault('google-timeout', { details: { action: 'remove a site', limit: `${GONE_MS / 1000} s` } });
      }
    },
  };
}

/** Undefined for what Google says is not there. */
export async function orMissing<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (toApiFailure(error)?.kind === 'missing') return undefined;
    throw error;
  }
}

function toSiteService(service: protos.google.cloud.run.v2.IService, region: string): SiteService {
  const [container] = service.template?.containers ?? [];
  const probe = container?.startupProbe?.httpGet;
  const { latestReadyRevision: ready, latestCreatedRevision: created } = service;
  return {
    name: service.name ?? '',
    region,
    site: parseSiteId(service.labels?.['mayfly-site']?.toUpperCase() ?? '') ?? null,
    revision: service.template?.labels?.['mayfly-revision'] ?? null,
    origin: service.uri ?? '',
    isReady: !service.reconciling && Boolean(ready) && ready === created,
    wasReady: Boolean(ready),
    created: created ?? '',
    isGoing: Boolean(service.deleteTime),
    image: container?.image ?? null,
    env: Object.fromEntries((container?.env ?? []).map(({ name, value }) => [name ?? '', value ?? ''])),
    port: container?.ports?.[0]?.containerPort ?? 8080,
    health: probe?.path ?? '/',
  };
}

/** The first condition that failed, by the name of its reason. */
function troubleOf(conditions: readonly protos.google.cloud.run.v2.ICondition[]): Trouble | undefined {
  const failed = conditions.find(({ state }) => state === 'CONDITION_FAILED');
  if (failed === undefined) return undefined;
  const named = [failed.revisionReason, failed.reason, failed.executionReason].find(
    (reason) => typeof reason === 'string' && !/UNDEFINED$/.test(reason),
  );
  return { reason: String(named ?? 'UNKNOWN'), words: failed.message ?? '' };
}
