import type { GoogleCloud } from './cloud.ts';

export type Trust = 'trusted' | 'untrusted';
export type PlatformRegion = {
  readonly bucket: string;
  readonly images: Readonly<Record<Trust, string>>;
  readonly caches: Readonly<Record<Trust, string>>;
  readonly network: string;
  readonly subnetwork: string;
  readonly database: string | null;
};
/** What `MAYFLY_PLATFORM` says of a project that was set up as `infra/platform.ts` does it. */
export type PlatformDescription = {
  readonly project: string;
  readonly gate: string;
  readonly runAs: Readonly<Record<Trust, string>>;
  readonly buildAs: Readonly<Record<Trust, string>>;
  readonly regions: Readonly<Record<string, PlatformRegion>>;
};

const TRUSTS: readonly Trust[] = ['trusted', 'untrusted'];

/** Makes the buckets, repositories and accounts of a platform in an empty project. `database`: `host:port` of each region's server. */
export function makePlatform(cloud: GoogleCloud, regions: readonly string[], database: string | null): PlatformDescription {
  const { project } = cloud;
  const account = (name: string): string => {
    const email = `${name}@${project}.iam.gserviceaccount.com`;
    cloud.accounts.add(email);
    return email;
  };
  const pair = (prefix: string): Record<Trust, string> => ({
    trusted: account(`${prefix}-trusted`),
    untrusted: account(`${prefix}-untrusted`),
  });
  const buildAs = pair('mayfly-build');
  const platform = {
    project,
    gate: account('mayfly-gate'),
    runAs: pair('mayfly-run'),
    buildAs,
    regions: Object.fromEntries(regions.map((region) => [region, regionOf(project, region, database)])),
  };
  for (const [region, { bucket, images, caches }] of Object.entries(platform.regions)) {
    const resource = { softDeletePolicy: { retentionDurationSeconds: '0' } };
    cloud.buckets.set(bucket, { name: bucket, location: region.toUpperCase(), objects: new Map(), resource });
    for (const trust of TRUSTS) {
      for (const repository of [images[trust], caches[trust]]) {
        const name = `projects/${project}/locations/${region}/repositories/${repository}`;
        cloud.repositories.set(name, { name, labels: {}, writers: new Set([buildAs[trust]]), madeAt: cloud.now() });
      }
    }
  }
  return platform;
}

const regionOf = (project: string, region: string, database: string | null): PlatformRegion => ({
  bucket: `${project}-mayfly-${region}`,
  images: { trusted: 'mayfly-images', untrusted: 'mayfly-images-untrusted' },
  caches: { trusted: 'mayfly-caches', untrusted: 'mayfly-caches-untrusted' },
  network: `projects/${project}/global/networks/mayfly`,
  subnetwork: `projects/${project}/regions/${region}/subnetworks/mayfly`,
  database,
});
