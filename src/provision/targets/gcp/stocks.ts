import type { Logger } from 'pino';
import { faultPoint } from '../../../fault-points.ts';
import { type SiteId, toSiteId } from '../../../site/identity.ts';
import type { Found, Held, Stock, Watch } from '../../../site/ports.ts';
import type { SiteDatabases } from '../databases.ts';
import type { Attempts } from './attempts.ts';
import type { CloudBuilds } from './cloud-build.ts';
import type { Images } from './images.ts';
import { ownerOfPackage } from './names.ts';
import type { SiteService, SiteServices } from './services.ts';
import type { SiteSources } from './sources.ts';
import { siteOfTags } from './steps.ts';

/** All that sites have in one region, whatever Pulumi's state says: their services, databases, images and source archives. */
export interface RegionStock extends Stock {
  readonly region: string;
  /** Removes what this service, which may be in another region, does not rest on: databases of seeds that have changed, older images. */
  keepOnly(held: Held, site: SiteId, service: SiteService): Promise<void>;
  /** Drops all of the site's databases. */
  dropDatabases(held: Held, site: SiteId): Promise<void>;
}

export type StockParts = {
  readonly instance: string;
  readonly services: SiteServices;
  readonly databases: { readonly of: (region: string) => Promise<Pick<SiteDatabases, 'list' | 'drop'>> };
  /** `host:port` of a region's server; null: the one that all regions share. */
  readonly server: (region: string) => string | null;
  /** The regions, of which the first that has a server tells of the databases on it. */
  readonly regions: readonly string[];
  readonly images: Pick<Images, 'keepOnly' | 'packages'>;
  readonly sources: SiteSources;
  readonly builds: Pick<CloudBuilds, 'going' | 'cancelAll'>;
  readonly attempts: Pick<Attempts, 'images' | 'builds'>;
  /** `store.leases.check`. */
  readonly check: (held: Held) => Promise<void>;
  readonly log: Logger;
};

export function openRegionStock(
  region: string,
  { instance, services, databases, sources, builds, server, ...parts }: StockParts,
): RegionStock {
  const tellsOfDatabases = parts.regions.find((one) => server(one) === server(region)) === region;
  const { attempts } = parts;
  const images: StockParts['images'] = {
    keepOnly: (...of) => attempts.images({ region, trust: 'trusted' }, () => parts.images.keepOnly(...of)),
    packages: (of) => attempts.images({ region, trust: 'trusted' }, () => parts.images.packages(of)),
  };
  const cancelBuilds = (site: SiteId, signal: AbortSignal): Promise<void> =>
    attempts.builds({ region, trust: 'trusted' }, () => builds.cancelAll({ instance, site, region }, signal));
  const dropDatabases = async (site: SiteId, keep: string | null, guard: Guard): Promise<void> => {
    const here = await databases.of(region);
    for (const { name, site: of } of await here.list()) {
      if (of !== site || name === keep) continue;
      await guard();
      await here.drop(name);
    }
  };
  /** Google ends builds by itself: where they cannot be listed, all else is found all the same. */
  const goingBuilds = (): ReturnType<CloudBuilds['going']> =>
    attempts
      .builds({ region, trust: 'trusted' }, () => builds.going({ instance, region }))
      .catch((error: unknown) => {
        parts.log.warn({ err: error, region }, 'the builds that go on there could not be listed');
        return [];
      });
  /** Whoever has the site next may have begun: what is done without the lease would be done to theirs. */
  const guarding =
    (held: Held, { signal }: Pick<Watch, 'signal'>): Guard =>
    async () => {
      signal.throwIfAborted();
      await parts.check(held);
    };
  return {
    region,
    async keepOnly(held, site, service) {
      const guard = guarding(held, held);
      const isHere = service.region === region;
      const { DATABASE_URL: url } = service.env;
      const isServedHere = url !== undefined && (isHere || server(service.region) === server(region));
      await dropDatabases(site, isServedHere ? new URL(url).pathname.slice(1) : null, guard);
      // Before the images: what is still built would come after them.
      if (!isHere) await cancelBuilds(site, held.signal);
      await guard();
      await images.keepOnly(site, region, isHere ? service.image : null);
      if (isHere) return;
      const left = await services.find(region, site);
      await guard();
      if (left !== undefined) await services.remove(left, AbortSignal.any([held.signal, AbortSignal.timeout(ELSEWHERE_MS)]));
    },
    dropDatabases: (held, site) => dropDatabases(site, null, guarding(held, held)),
    async destroy(held, site, { signal }) {
      const guard = guarding(held, { signal });
      await guard();
      const removeService = async (): Promise<void> => {
        const service = await services.find(region, site);
        await guard();
        if (service === undefined) return;
        await services.remove(service, signal);
        await faultPoint('resource-removed');
      };
      const removeWhatWasBuilt = async (): Promise<void> => {
        // First: what is still built would come after it.
        await cancelBuilds(site, signal);
        await guard();
        await images.keepOnly(site, region, null);
        await guard();
        await sources.remove(region, site);
      };
      // A site that ends has no visitors: what its app still asks of its database nobody waits for.
      await allOf([removeService(), dropDatabases(site, null, guard), removeWhatWasBuilt()]);
    },
    async survey() {
      const [running, kept, packages, archives, going] = await Promise.all([
        services.list(region),
        tellsOfDatabases ? databases.of(region).then((here) => here.list()) : [],
        images.packages(region),
        sources.list(region),
        goingBuilds(),
      ]);
      return [
        ...running.map(foundService),
        ...kept.map(({ name, site }): Found => ({ kind: 'database', name, site })),
        ...packages.flatMap((name) => foundIn(instance, name)),
        ...archives,
        ...going.map(({ id, tags }): Found => ({ kind: 'build', name: id ?? '', site: siteOfTags(tags ?? []) })),
      ];
    },
    // Whatever is there is a site's, or nobody can tell whose.
    discard: async () => undefined,
  };
}

type Guard = () => Promise<void>;

/** To their end, since nothing may go on once the lease is given back. Throws what the first of them threw. */
async function allOf(deeds: readonly Promise<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(deeds)).find((one) => one.status === 'rejected');
  if (failed) throw failed.reason;
}

const foundService = ({ name, site, origin, revision: launch }: SiteService): Found => ({
  ...{ kind: 'service', name: name.slice(name.lastIndexOf('/') + 1), site },
  serving: { origin, launch },
});

function foundIn(instance: string, name: string): readonly Found[] {
  const owner = ownerOfPackage(instance, name);
  if (owner === 'another') return [];
  return [{ kind: 'image', name, site: owner === 'unknown' ? null : toSiteId(owner.site) }];
}

/** A service is gone in seconds; a region that is down must not hold up another's sites for longer. */
const ELSEWHERE_MS = 60_000;
