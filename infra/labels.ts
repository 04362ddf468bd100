import { createHash } from 'node:crypto';

/** Every stack of a site, on every target, is in this project. */
export const PROJECT = 'mayfly-preview';

/** Whose something on a target is: the Mayfly (two may share a machine) and the site. */
export type Labels = { readonly instance: string; readonly site: string };

/** The first `length` hex digits of SHA-256: names on targets are short, and texts from outside never get into them. */
export const hashed = (text: string, length: number): string => createHash('sha256').update(text).digest('hex').slice(0, length);

/** Eight hex digits that stand for a Mayfly in the names of what it makes. */
export const instanceTag = (instance: string): string => hashed(instance, 8);

type TargetKind = 'local' | 'gcp';

/** The stack of a site on a target. Two Mayflys may keep theirs in one place, so whose it is is in the name. ULIDs lose nothing in lower case. */
export const stackName = (target: TargetKind, { instance, site }: Labels): string =>
  `${target}-${instanceTag(instance)}-${site.toLowerCase()}`;

/**
 * Whose a stack is, by its name: the site's id when it is this Mayfly's, `another` when it is another Mayfly's or another target's,
 * `unknown` when it has a name of this target's that says nothing.
 */
export function ownerOfStack(target: TargetKind, instance: string, stack: string): { readonly site: string } | 'another' | 'unknown' {
  if (!stack.startsWith(`${target}-`)) return 'another';
  const [, tag, site] = /^([0-9a-f]{8})-([0-9a-hjkmnp-tv-z]{26})$/.exec(stack.slice(target.length + 1)) ?? [];
  if (tag === undefined || site === undefined) return 'unknown';
  return tag === instanceTag(instance) ? { site: site.toUpperCase() } : 'another';
}

/**
 * The name of a site's Cloud Run service: 28 characters. 49 are allowed, 46 with a tag; a region has one of a name, so whose it is is in
 * it.
 */
export const gcpServiceName = ({ instance, site }: Labels): string => `mayfly-${instanceTag(instance)}-${hashed(site, 12)}`;

/** What everything of a site on Google Cloud wears: keys and values of lower-case letters, digits and dashes, at most 63. */
export const gcpLabels = ({ instance, site }: Labels): { readonly 'mayfly-instance': string; readonly 'mayfly-site': string } => ({
  'mayfly-instance': instance,
  'mayfly-site': site.toLowerCase(),
});

/** The role of whoever may call a site on Google Cloud. */
export const INVOKER = 'roles/run.invoker';
