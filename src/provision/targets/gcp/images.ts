import type { LaunchId, SiteId } from '../../../site/identity.ts';
import type { Trust } from '../../../site/site.ts';
import { toApiFailure } from './api-error.ts';
import type { Google } from './google.ts';
import { packageName } from './names.ts';
import { type BuildPlatform, launchTag, locationOf, placeOf, treeTag } from './steps.ts';

/** Where a site's images are. */
export type ImagePlace = { readonly site: SiteId; readonly region: string; readonly trust: Trust };

export interface Images {
  /** The image that was built of this tree, by its content: `REGION-docker.pkg.dev/…@sha256:…`; undefined when there is none. */
  find(place: ImagePlace, key: string): Promise<string | undefined>;
  /** The digest that the build of this launch has pushed. */
  pushed(place: ImagePlace, launch: LaunchId): Promise<string | undefined>;
  /** Notes that the image with this digest was built of this tree. @returns the image */
  note(place: ImagePlace, key: string, digest: string): Promise<string>;
  /** Whether the image is still there. */
  exists(image: string): Promise<boolean>;
  /** Removes the site's images but one, of whatever trust; null: all of them, with their package. Idempotent. */
  keepOnly(site: SiteId, region: string, image: string | null): Promise<void>;
  /** Names of all packages that there are in this region, of whatever Mayfly. */
  packages(region: string): Promise<readonly string[]>;
}

const TRUSTS = ['trusted', 'untrusted'] as const satisfies readonly Trust[];
/** A call that has no answer by then is given up, milliseconds. */
const CALL = { timeout: 30_000, autoPaginate: false };

/** Images in Artifact Registry: one package a site in the repository of its trust. Throws what Google's client throws. */
export function openImages(
  google: Google,
  { platform, instance }: { readonly platform: BuildPlatform; readonly instance: string },
): Images {
  const repositoryOf = (region: string, trust: Trust): string =>
    `${locationOf(platform, region)}/repositories/${placeOf({ platform, region }).images[trust]}`;
  const nameOf = ({ site, region, trust }: ImagePlace): string =>
    `${repositoryOf(region, trust)}/packages/${packageName({ instance, site })}`;
  const refOf = ({ site, region, trust }: ImagePlace, digest: string): string =>
    `${region}-docker.pkg.dev/${platform.project}/${placeOf({ platform, region }).images[trust]}/${packageName({ instance, site })}@${digest}`;
  const tagged = async (place: ImagePlace, tag: string): Promise<string | undefined> => {
    const name = `${nameOf(place)}/tags/${tag}`;
    const found = await orMissing(async () => (await (await google.images()).getTag({ name }, CALL))[0]);
    return found?.version?.split('/versions/')[1];
  };
  return {
    async find(place, key) {
      const digest = await tagged(place, treeTag(key));
      return digest === undefined ? undefined : refOf(place, digest);
    },
    pushed: (place, launch) => tagged(place, launchTag(launch)),
    async note(place, key, digest) {
      const client = await google.images();
      const parent = nameOf(place);
      const tagId = treeTag(key);
      const tag = { name: `${parent}/tags/${tagId}`, version: `${parent}/versions/${digest}` };
      try {
        await client.createTag({ parent, tagId, tag }, CALL);
      } catch (error) {
        if (toApiFailure(error)?.kind !== 'exists') throw error;
        // What was built without caches takes the place of what was built before.
        await client.updateTag({ tag, updateMask: { paths: ['version'] } }, CALL);
      }
      return refOf(place, digest);
    },
    async exists(image) {
      const { region, project, repository, name, digest } = partsOf(image);
      const version = `projects/${project}/locations/${region}/repositories/${repository}/packages/${name}/versions/${digest}`;
      return (await orMissing(async () => (await google.images()).getVersion({ name: version }, CALL))) !== undefined;
    },
    async keepOnly(site, region, image) {
      const client = await google.images();
      for (const trust of TRUSTS) {
        const parent = nameOf({ site, region, trust });
        if (image === null) {
          await orMissing(async () => client.deletePackage({ name: parent }, CALL));
          continue;
        }
        const versions = await orMissing(() => all(client.listVersionsAsync({ parent, pageSize: 1000 }, CALL)));
        const kept = partsOf(image).digest;
        const gone = (versions ?? []).flatMap(({ name }) => (name && !name.endsWith(`/${kept}`) ? [name] : []));
        // With their tags: an older tree's is looked for only by a site that goes back to it, which builds it again.
        for (const name of gone) await orMissing(async () => client.deleteVersion({ name, force: true }, CALL));
      }
    },
    async packages(region) {
      const client = await google.images();
      const found = TRUSTS.map((trust) => all(client.listPackagesAsync({ parent: repositoryOf(region, trust), pageSize: 1000 }, CALL)));
      const names = (await Promise.all(found)).flat().map(({ name }) => name?.split('/packages/')[1]);
      return [...new Set(names.filter((name) => name !== undefined))];
    },
  };
}

async function all<T>(pages: AsyncIterable<T>): Promise<readonly T[]> {
  const found: T[] = [];
  for await (const one of pages) found.push(one);
  return found;
}

async function orMissing<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (toApiFailure(error)?.kind === 'missing') return undefined;
    throw error;
  }
}

function partsOf(image: string) {
  const [, region, project, repository, name, digest] =
    /^([a-z0-9-]+)-docker\.pkg\.dev\/([^/]+)\/([^/]+)\/([^/@]+)@(sha256:[0-9a-f]+)$/.exec(image) ?? [];
  if (!region || !project || !repository || !name || !digest) throw new Error(`${image} is no image of ours`);
  return { region, project, repository, name, digest };
}
