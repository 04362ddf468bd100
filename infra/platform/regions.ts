import * as gcp from '@pulumi/gcp';
import type { Ground } from './ground.ts';
import type { Trust } from './plan.ts';

type Repositories = Readonly<Record<Trust, gcp.artifactregistry.Repository>>;
export type RegionStores = {
  readonly region: string;
  readonly bucket: gcp.storage.Bucket;
  readonly images: Repositories;
  readonly caches: Repositories;
};

const DAY_SECONDS = 86_400;
/** A source archive is of use for as long as its build, which Cloud Build ends after an hour at the latest. */
const SOURCE_DAYS = 1;
const CACHE_DAYS = 14;
/** What a later image took the tag from. */
const UNTAGGED_DAYS = 3;

/** A bucket for source archives and four repositories, all in the region that they are for. */
export function declareRegion(ground: Ground, region: string): RegionStores {
  const { plan, labels, name, after } = ground;
  const bucket = new gcp.storage.Bucket(
    `bucket-${region}`,
    {
      project: plan.project,
      name: name('bucket', region),
      location: region.toUpperCase(),
      uniformBucketLevelAccess: true,
      publicAccessPrevention: 'enforced',
      // What is deleted is gone: nothing is paid for that nobody can see.
      softDeletePolicy: { retentionDurationSeconds: 0 },
      versioning: { enabled: false },
      lifecycleRules: [
        { action: { type: 'Delete' }, condition: { age: SOURCE_DAYS } },
        { action: { type: 'AbortIncompleteMultipartUpload' }, condition: { age: SOURCE_DAYS } },
      ],
      forceDestroy: true,
      labels,
    },
    after(),
  );
  const both = (kind: 'images' | 'caches'): Repositories => ({
    trusted: declareRepository(ground, { region, kind, trust: 'trusted' }),
    untrusted: declareRepository(ground, { region, kind, trust: 'untrusted' }),
  });
  return { region, bucket, images: both('images'), caches: both('caches') };
}

type Wanted = { readonly region: string; readonly kind: 'images' | 'caches'; readonly trust: Trust };

function declareRepository({ plan, labels, name, after }: Ground, { region, kind, trust }: Wanted): gcp.artifactregistry.Repository {
  const days = kind === 'images' ? plan.stores.imageDays : CACHE_DAYS;
  return new gcp.artifactregistry.Repository(
    `${kind}-${trust}-${region}`,
    {
      project: plan.project,
      repositoryId: name(`${kind}-${trust}`),
      location: region,
      format: 'DOCKER',
      mode: 'STANDARD_REPOSITORY',
      description: `Mayfly: ${kind} of ${trust} builds`,
      cleanupPolicies: [expiring('forgotten', 'ANY', days), expiring('replaced', 'UNTAGGED', UNTAGGED_DAYS)],
      cleanupPolicyDryRun: false,
      labels,
    },
    after(),
  );
}

const expiring = (id: string, tagState: 'ANY' | 'UNTAGGED', days: number) => ({
  id,
  action: 'DELETE',
  condition: { tagState, olderThan: `${days * DAY_SECONDS}s` },
});
