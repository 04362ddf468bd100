import { createHash } from 'node:crypto';

/** A name that the compiler keeps apart from other strings. */
type Brand<Name extends string> = string & { readonly __brand: Name };

/** ULID of a site; the same for the pull's whole life. */
export type SiteId = Brand<'SiteId'>;
/** ULID of one launch. It also names the revision that the launch puts on the target. */
export type LaunchId = Brand<'LaunchId'>;
/** A full commit id, 40 (SHA-1) or 64 (SHA-256) lower-case hex digits. */
export type Sha = Brand<'Sha'>;
/** The forge's row in our database, e.g. `github`. */
export type ForgeId = Brand<'ForgeId'>;
/** The repository's numeric id on its forge, as decimal digits; stays when the repository is renamed or moved. */
export type RepositoryId = Brand<'RepositoryId'>;

export const toSiteId = (text: string): SiteId => text as SiteId;
/** Undefined for what is no ULID. */
export const parseSiteId = (text: string): SiteId | undefined => (/^[0-9A-HJKMNP-TV-Z]{26}$/.test(text) ? toSiteId(text) : undefined);
export const toLaunchId = (text: string): LaunchId => text as LaunchId;
export const toForgeId = (text: string): ForgeId => text as ForgeId;

/** @returns the commit id, or undefined when `text` is not one */
export function parseSha(text: unknown): Sha | undefined {
  return typeof text === 'string' && /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(text) ? (text as Sha) : undefined;
}

/** @returns the repository's id, or undefined when `value` is not a positive whole number */
export function parseRepositoryId(value: unknown): RepositoryId | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0
    ? (String(value) as RepositoryId)
    : typeof value === 'string' && /^[1-9][0-9]{0,18}$/.test(value)
      ? (value as RepositoryId)
      : undefined;
}

/** The first seven digits, as people write a commit. */
export const shortSha = (sha: Sha): string => sha.slice(0, 7);

/** What a pull is known by: never by a name, which may change hands. */
export type PullRef = { readonly forge: ForgeId; readonly repository: RepositoryId; readonly number: number };

/**
 * A repository as the forge last named it. `access` is what its adapter needs to act there (GitHub: the
 * installation's id; GitLab: the name of the connection, never its token).
 */
export type Repository = {
  readonly forge: ForgeId;
  readonly id: RepositoryId;
  /** e.g. `acme/shop`; GitLab may nest deeper. */
  readonly name: string;
  readonly access: string;
};

export type ForgeKind = 'github' | 'gitlab';
/** `address` is the web address people use, e.g. `https://github.com`. */
export type Forge = { readonly id: ForgeId; readonly kind: ForgeKind; readonly address: string };

/** As people of that forge write it: `#12`, `!12`. */
export const pullName = ({ kind }: Pick<Forge, 'kind'>, number: number): string => `${kind === 'github' ? '#' : '!'}${number}`;

const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567';
/** RFC 1035 §2.3.4. */
const MAX_LABEL = 63;

/**
 * The first 8 base32 characters (40 bits) of SHA-256 over forge address, repository id and pull number, each on a line of its own.
 */
export function hostHash(forgeAddress: string, repository: RepositoryId, number: number): string {
  const digest = createHash('sha256').update(`${forgeAddress}\n${repository}\n${number}`).digest();
  let bits = 0n;
  for (const byte of digest.subarray(0, 5)) bits = (bits << 8n) | BigInt(byte);
  let text = '';
  for (let shift = 35n; shift >= 0n; shift -= 5n) text += BASE32[Number((bits >> shift) & 31n)];
  return text;
}

/**
 * The first DNS label of a site's address: `pr-12-shop-k3f9abcd` (`mr-` on GitLab), lower case, at most 63 characters; the
 * repository's name is what gives way, and is left out when nothing of it survives.
 */
export function hostLabel(forge: Pick<Forge, 'kind' | 'address'>, repositoryName: string, pull: Omit<PullRef, 'forge'>): string {
  const prefix = `${forge.kind === 'github' ? 'pr' : 'mr'}-${pull.number}-`;
  const hash = hostHash(forge.address, pull.repository, pull.number);
  const slug = (repositoryName.split('/').at(-1) ?? '')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, MAX_LABEL - prefix.length - hash.length - 1)
    .replace(/-+$/, '');
  return slug === '' ? `${prefix}${hash}` : `${prefix}${slug}-${hash}`;
}
