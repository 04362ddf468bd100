import { instanceTag, type Labels, ownerOfStack } from '../../../../infra/labels.ts';

/**
 * What the name of a site's images is, and the folder of its source archives: these wear no labels, and two Mayflys may share a
 * repository and a bucket. ULIDs lose nothing in lower case.
 */
export const packageName = ({ instance, site }: Labels): string => `${instanceTag(instance)}-${site.toLowerCase()}`;

/** Whose a package or such a folder is, as with stacks. */
export const ownerOfPackage = (instance: string, name: string): ReturnType<typeof ownerOfStack> =>
  ownerOfStack('gcp', instance, `gcp-${name}`);
