import * as gcp from '@pulumi/gcp';
import type { Ground } from './ground.ts';

export type Network = {
  readonly network: gcp.compute.Network;
  readonly home: gcp.compute.Subnetwork;
  /** By region. */
  readonly sites: ReadonlyMap<string, gcp.compute.Subnetwork>;
  /** Names of the ranges that Google's own services take their addresses from. */
  readonly homeRange: gcp.compute.GlobalAddress;
  readonly sitesRange: gcp.compute.GlobalAddress;
  /** Private databases can be made once this is there. */
  readonly peering: gcp.servicenetworking.Connection;
};

/**
 * A region's place in this list is its range of addresses, so the list only ever grows at its end.
 * A /18 has room for the thousand services that Cloud Run allows in a region: each that is awake takes sixteen addresses.
 */
export const RANGES_BY_REGION: readonly string[] = [
  ...['africa-south1', 'asia-east1', 'asia-east2', 'asia-northeast1', 'asia-northeast2', 'asia-northeast3', 'asia-south1', 'asia-south2'],
  ...['asia-southeast1', 'asia-southeast2', 'asia-southeast3', 'australia-southeast1', 'australia-southeast2', 'europe-central2'],
  ...[
    'europe-north1',
    'europe-north2',
    'europe-southwest1',
    'europe-west1',
    'europe-west2',
    'europe-west3',
    'europe-west4',
    'europe-west6',
  ],
  ...[
    'europe-west8',
    'europe-west9',
    'europe-west10',
    'europe-west12',
    'me-central1',
    'me-central2',
    'me-west1',
    'northamerica-northeast1',
  ],
  ...['northamerica-northeast2', 'northamerica-south1', 'southamerica-east1', 'southamerica-west1', 'us-central1', 'us-east1', 'us-east4'],
  ...['us-east5', 'us-south1', 'us-west1', 'us-west2', 'us-west3', 'us-west4'],
];

const SITES = '10.64.0.0/12';
const HOME = '10.80.0.0/24';
const HOME_SERVICES = { address: '10.81.0.0', prefixLength: 20 } as const;
const SITES_SERVICES = { address: '10.82.0.0', prefixLength: 16 } as const;
const ANYWHERE = '0.0.0.0/0';

/** The sites' range in a region. */
export function rangeOf(region: string): string {
  const index = RANGES_BY_REGION.indexOf(region);
  if (index === -1) throw new Error(`${region} has no range of addresses`);
  return `10.${64 + Math.floor(index / 4)}.${(index % 4) * 64}.0/18`;
}

/** One network: a subnetwork for Mayfly, one for the sites of each region, and two ranges for databases, Mayfly's and the sites'. */
export function declareNetwork(ground: Ground): Network {
  const { plan, name, after } = ground;
  const { project, places } = plan;
  const network = new gcp.compute.Network(
    'network',
    { project, name: name('network'), autoCreateSubnetworks: false, routingMode: 'REGIONAL' },
    after(),
  );
  const subnetwork = (id: string, given: { name: string; region: string; ipCidrRange: string }): gcp.compute.Subnetwork =>
    new gcp.compute.Subnetwork(id, { project, network: network.id, privateIpGoogleAccess: true, ...given }, after());
  const home = subnetwork('subnetwork-home', { name: name('home-subnetwork'), region: places.home, ipCidrRange: HOME });
  const sites = new Map(
    places.regions.map((region) => {
      const given = { name: name('subnetwork', region), region, ipCidrRange: rangeOf(region) };
      return [region, subnetwork(`subnetwork-${region}`, given)] as const;
    }),
  );
  const reserve = (id: string, given: { name: string; address: string; prefixLength: number }): gcp.compute.GlobalAddress =>
    new gcp.compute.GlobalAddress(id, { project, network: network.id, purpose: 'VPC_PEERING', addressType: 'INTERNAL', ...given }, after());
  const homeRange = reserve('range-home', { name: name('home-range'), ...HOME_SERVICES });
  const sitesRange = reserve('range-sites', { name: name('sites-range'), ...SITES_SERVICES });
  const peering = new gcp.servicenetworking.Connection(
    'peering',
    {
      network: network.id,
      service: 'servicenetworking.googleapis.com',
      reservedPeeringRanges: [homeRange.name, sitesRange.name],
      // Google takes days to see that a deleted database uses it no more; with the network it goes anyway.
      deletionPolicy: 'ABANDON',
    },
    after(),
  );
  shutIn(ground, network);
  return { network, home, sites, homeRange, sitesRange, peering };
}

/** What sites may reach in the network: their databases, and nothing of Mayfly's. */
function shutIn({ plan, name, after }: Ground, network: gcp.compute.Network): void {
  const common = { project: plan.project, network: network.id, direction: 'EGRESS', sourceRanges: [SITES] };
  const databases = `${SITES_SERVICES.address}/${SITES_SERVICES.prefixLength}`;
  new gcp.compute.Firewall(
    'firewall-databases',
    {
      ...common,
      name: `${name('firewall')}-databases`,
      priority: 1_000,
      destinationRanges: [databases],
      allows: [{ protocol: 'tcp', ports: ['5432'] }],
    },
    after(),
  );
  new gcp.compute.Firewall(
    'firewall-nothing-else',
    { ...common, name: `${name('firewall')}-nothing-else`, priority: 2_000, destinationRanges: [ANYWHERE], denies: [{ protocol: 'all' }] },
    after(),
  );
}
