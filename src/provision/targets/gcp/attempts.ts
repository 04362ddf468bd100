import { setTimeout as pause } from 'node:timers/promises';
import type { Watch } from '../../../site/ports.ts';
import { Fault } from '../../../site/problem.ts';
import { regionLabel } from '../../../site/region.ts';
import type { Trust } from '../../../site/site.ts';
import { ACT_AS, type Attempt, explained, toApiFailure } from './api-error.ts';
import type { Google } from './google.ts';
import { type BuildPlatform, placeOf } from './steps.ts';

type At = { readonly region: string; readonly trust: Trust; readonly watch?: Pick<Watch, 'signal' | 'log'> };

/**
 * What is tried on Google Cloud, with what went wrong told as what a person may do about it. What was refused for a limit's sake is tried
 * again for a while; what had no answer as well, but for `starts`, which may have begun what it asked for, and `ends`, which is patient itself.
 */
export type Attempts = Readonly<
  Record<'starts' | 'ends' | 'builds' | 'images' | 'sources', <T>(at: At, work: () => Promise<T>) => Promise<T>>
>;

/** Milliseconds before each new try. */
export type Pauses = { readonly limited: readonly number[]; readonly unreachable: readonly number[] };
/** Limits are by the minute, or last until another build is over; a server that is restarted is back in seconds. */
const PAUSES: Pauses = { limited: [5_000, 10_000, 20_000, 40_000, 60_000], unreachable: [500, 2_000, 5_000] };

/**
 * Regions in which every project may build; in others a new one may not, until Google has lifted the limit.
 * https://cloud.google.com/build/docs/locations#restricted_regions_for_some_projects
 */
const OPEN_TO_ALL = ['us-central1', 'us-west2', 'europe-west1', 'asia-east1', 'australia-southeast1', 'southamerica-east1'];

export function attemptsOf(google: Google, platform: BuildPlatform, pauses: Pauses = PAUSES): Attempts {
  const { project } = platform;
  const { account } = google;
  const tried = async <T>(work: () => Promise<T>, attempt: Omit<Attempt, 'project' | 'account'>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      throw await explained(error, { ...attempt, project, account });
    }
  };
  const building =
    (again: Pauses): Attempts['builds'] =>
    (at, work) =>
      tried(
        async () => {
          try {
            return await repeated(work, at, again);
          } catch (error) {
            const failure = toApiFailure(error);
            if (failure?.kind === 'refused') throw cannotBuild(at.region, platform, failure.words);
            // Starting a build is two things: the build, and lending it an identity.
            const lent = failure?.permission === ACT_AS ? lending(platform.buildAs[at.trust], at.region) : undefined;
            throw lent ? await explained(error, { ...lent, project, account }) : error;
          }
        },
        {
          action: 'build with Cloud Build',
          region: at.region,
          api: 'cloudbuild.googleapis.com',
          role: 'roles/cloudbuild.builds.editor',
          grant: `gcloud projects add-iam-policy-binding ${project}`,
        },
      );
  return {
    starts: building({ ...pauses, unreachable: [] }),
    ends: building({ limited: [], unreachable: [] }),
    builds: building(pauses),
    images: (at, work) => {
      const repository = placeOf({ platform, region: at.region }).images[at.trust];
      return tried(() => repeated(work, at, pauses), {
        action: `look after images in ${repository}`,
        region: at.region,
        api: 'artifactregistry.googleapis.com',
        role: 'roles/artifactregistry.repoAdmin',
        grant: `gcloud artifacts repositories add-iam-policy-binding ${repository} --location=${at.region} --project=${project}`,
      });
    },
    sources: (at, work) => {
      const { bucket } = placeOf({ platform, region: at.region });
      return tried(() => repeated(work, at, pauses), {
        action: `write to the bucket ${bucket}`,
        region: at.region,
        api: 'storage.googleapis.com',
        role: 'roles/storage.objectUser',
        grant: `gcloud storage buckets add-iam-policy-binding gs://${bucket}`,
      });
    },
  };
}

async function repeated<T>(work: () => Promise<T>, { watch }: At, pauses: Pauses): Promise<T> {
  const left = { limited: [...pauses.limited], unreachable: [...pauses.unreachable] };
  for (;;) {
    try {
      return await work();
    } catch (error) {
      const kind = toApiFailure(error)?.kind;
      const wait = kind === 'limited' || kind === 'unreachable' ? left[kind].shift() : undefined;
      if (wait === undefined) throw error;
      if (kind === 'limited' && left.limited.length === pauses.limited.length - 1) {
        watch?.log('A quota of the project on Google Cloud is used up for now: trying again\n');
      }
      await pause(wait, undefined, watch ? { signal: watch.signal } : {});
    }
  }
}

const lending = (email: string, region: string) => ({
  action: `lend builds the identity ${email}`,
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
