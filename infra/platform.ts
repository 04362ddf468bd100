import { all, jsonStringify, type Output, output } from '@pulumi/pulumi';
import { declareAccess } from './platform/access.ts';
import { declareControlPlane } from './platform/control-plane.ts';
import { type Databases, declareDatabases } from './platform/databases.ts';
import { declareAddress, declareCertificates, declareEdge, declareRecords } from './platform/edge.ts';
import { type Ground, openGround } from './platform/ground.ts';
import { declareIdentities, type Identities } from './platform/identities.ts';
import { declareNetwork } from './platform/network.ts';
import type { Description, PlatformPlan } from './platform/plan.ts';
import { declareRedis } from './platform/redis.ts';
import { declareRegion, type RegionStores } from './platform/regions.ts';
import { declareKeyRing, declareSettings } from './platform/settings.ts';
import { declareBudget, declareLogs } from './platform/watch.ts';

/** The Pulumi program of everything that Mayfly needs in a Google Cloud project. Its outputs are `PlatformOutputs`. */
export function platform(plan: PlatformPlan): () => Promise<Readonly<Record<string, Output<unknown>>>> {
  return async () => {
    const ground = openGround(plan);
    const identities = declareIdentities(ground);
    const network = declareNetwork(ground);
    const regions = plan.places.regions.map((region) => declareRegion(ground, region));
    const granted = declareAccess(ground, identities, regions);
    const databases = declareDatabases(ground, network);
    const redis = declareRedis(ground, network);
    const settings = declareSettings(ground, declareKeyRing(ground), { identities, databases, redis });
    const address = declareAddress(ground);
    const { map, authorisations } = declareCertificates(ground);
    const described = describe(ground, { identities, regions, databases });
    const before = [...granted, ...databases.users];
    const surroundings = { identities, network, settings, described: jsonStringify(described), ip: address.address, before };
    const parts = declareControlPlane(ground, surroundings);
    declareEdge(ground, parts, { address, certificates: map });
    const { records, nameServers } = declareRecords(ground, { address, authorisations });
    declareLogs(ground);
    declareBudget(ground);
    const addresses = { control: `https://${plan.hosts.control}`, previews: `https://${plan.hosts.previews}`, ip: address.address };
    return { platform: described, addresses: output(addresses), records: all([...records]), nameServers: output(nameServers) };
  };
}

type Told = { readonly identities: Identities; readonly regions: readonly RegionStores[]; readonly databases: Databases };

/** What Mayfly is told of it, once it is there. */
function describe({ plan, name }: Ground, { identities, regions, databases }: Told): Output<Description> {
  const { accounts } = identities;
  const byTrust = (kind: 'build' | 'site') => ({
    trusted: accounts[`${kind}-trusted`].email,
    untrusted: accounts[`${kind}-untrusted`].email,
  });
  const idsOf = ({ trusted, untrusted }: RegionStores['images']) => ({ trusted: trusted.repositoryId, untrusted: untrusted.repositoryId });
  const described = regions.map(({ region, bucket, images, caches }) => {
    const stores = { bucket: bucket.name, images: idsOf(images), caches: idsOf(caches) };
    const within = { network: name('network'), subnetwork: name('subnetwork', region) };
    return [region, { ...stores, ...within, database: databases.hosts.get(region) ?? null }] as const;
  });
  return output({
    project: plan.project,
    gate: accounts.gate.email,
    runAs: byTrust('site'),
    buildAs: byTrust('build'),
    regions: Object.fromEntries(described),
  });
}
