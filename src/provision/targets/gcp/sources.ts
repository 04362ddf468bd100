import { type SiteId, toSiteId } from '../../../site/identity.ts';
import type { Found } from '../../../site/ports.ts';
import { explained } from './api-error.ts';
import type { Google } from './google.ts';
import { ownerOfPackage, packageName } from './names.ts';
import { type Asking, askingObjects } from './run-attempts.ts';

/** Source archives, in the region's bucket under `sources/TRUST/PACKAGE/`. Throws the Faults of `explained`. */
export interface SiteSources {
  /** What there is in the region that is ours, or of which nobody can tell. */
  list(region: string): Promise<readonly Found[]>;
  /** Removes all of the site's. Idempotent. */
  remove(region: string, site: SiteId): Promise<void>;
}

type SourcesOptions = {
  readonly google: Google;
  readonly instance: string;
  readonly bucket: (region: string) => string;
  readonly asking: Asking;
};

const ROOT = 'sources/';
const TRUSTS = ['trusted', 'untrusted'] as const;

export function openSiteSources({ google, instance, bucket, asking }: SourcesOptions): SiteSources {
  const ask = async <T>(action: string, region: string, deed: () => Promise<T>): Promise<T> => {
    try {
      return await deed();
    } catch (error) {
      throw await explained(error, askingObjects(asking, { action, region }));
    }
  };
  return {
    list: (region) =>
      ask('list source archives', region, async () => {
        const storage = await google.objects();
        const [files] = await storage.bucket(bucket(region)).getFiles({ prefix: ROOT });
        return files.flatMap(({ name }): Found[] => {
          const owner = ownerOfPackage(instance, name.split('/')[2] ?? '');
          return owner === 'another' ? [] : [{ kind: 'source', name, site: owner === 'unknown' ? null : toSiteId(owner.site) }];
        });
      }),
    remove: (region, site) =>
      ask('remove source archives', region, async () => {
        const from = (await google.objects()).bucket(bucket(region));
        for (const trust of TRUSTS) {
          const [files] = await from.getFiles({ prefix: `${ROOT}${trust}/${packageName({ instance, site })}/` });
          for (const file of files) await file.delete({ ignoreNotFound: true });
        }
      }),
  };
}
