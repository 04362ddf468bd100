import { Fault } from '../../../site/problem.ts';
import { regionLabel } from '../../../site/region.ts';
import type { Trust } from '../../../site/site.ts';
import { type Attempt, explained, toApiFailure } from './api-error.ts';
import type { Google } from './google.ts';
import { type BuildPlatform, placeOf } from './steps.ts';

type At = { readonly region: string; readonly trust: Trust };

/** What is tried on Google Cloud, with what went wrong told as what a person may do about it. */
export type Attempts = Readonly<Record<'builds' | 'images' | 'sources', <T>(at: At, work: () => Promise<T>) => Promise<T>>>;

/**
 * Regions in which every project may build; in others a new one may not, until Google has lifted the limit.
 * https://cloud.google.com/build/docs/locations#restricted_regions_for_some_projects
 */
const OPEN_TO_ALL = ['us-central1', 'us-west2', 'europe-west1', 'asia-east1', 'australia-southeast1', 'southamerica-east1'];

export function attemptsOf(google: Google, platform: BuildPlatform): Attempts {
  const { project } = platform;
  const { account } = google;
  const tried = async <T>(work: () => Promise<T>, attempt: Omit<Attempt, 'project' | 'account'>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      throw await explained(error, { ...attempt, project, account });
    }
  };
  return {
    builds: ({ region, trust }, work) =>
      tried(
        async () => {
          try {
            return await work();
          } catch (error) {
            const failure = toApiFailure(error);
            if (failure?.kind === 'refused') throw cannotBuild(region, platform, failure.words);
            // Starting a build is two things: the build, and lending it an identity.
            if (failure?.permission === ACT_AS)
              throw await explained(error, { ...lending(platform.buildAs[trust], region), project, account });
            throw error;
          }
        },
        {
          action: 'build with Cloud Build',
          region,
          api: 'cloudbuild.googleapis.com',
          role: 'roles/cloudbuild.builds.editor',
          grant: `gcloud projects add-iam-policy-binding ${project}`,
        },
      ),
    images: ({ region, trust }, work) => {
      const repository = placeOf({ platform, region }).images[trust];
      return tried(work, {
        action: `look after images in ${repository}`,
        region,
        api: 'artifactregistry.googleapis.com',
        role: 'roles/artifactregistry.repoAdmin',
        grant: `gcloud artifacts repositories add-iam-policy-binding ${repository} --location=${region} --project=${project}`,
      });
    },
    sources: ({ region }, work) => {
      const { bucket } = placeOf({ platform, region });
      return tried(work, {
        action: `write to the bucket ${bucket}`,
        region,
        api: 'storage.googleapis.com',
        role: 'roles/storage.objectAdmin',
        grant: `gcloud storage buckets add-iam-policy-binding gs://${bucket}`,
      });
    },
  };
}

const ACT_AS = 'iam.serviceAccounts.actAs';

const lending = (email: string, region: string) => ({
  action: `let builds run as ${email}`,
  region,
  api: 'iam.googleapis.com',
  role: 'roles/iam.serviceAccountUser',
  grant: `gcloud iam service-accounts add-iam-policy-binding ${email}`,
});

/** Google's answer to a build in a region that the project may not build in: the one thing that it calls a failed precondition there. */
function cannotBuild(region: string, platform: BuildPlatform, words: string): Fault {
  const allowed = OPEN_TO_ALL.filter((name) => name !== region && platform.regions[name] !== undefined);
  const regions =
    allowed.length > 0
      ? allowed.map(regionLabel).join(', ')
      : `${OPEN_TO_ALL.filter((name) => name !== region)
          .map(regionLabel)
          .join(', ')}, none of which the operator allows here`;
  return new Fault('region-cannot-build', { details: { region: regionLabel(region), regions, cause: words }, cause: new Error(words) });
}
