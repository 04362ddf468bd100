import { z } from 'zod';
import type { RepositoryId } from '../../site/identity.ts';
import { repositoryId } from './payload.ts';

/** One way in which GitLab's webhooks are known: what is null, or empty, is not looked at; what is not, has to hold. */
export type GitLabSecrets = {
  /** What comes as `X-Gitlab-Token`. */
  readonly webhookSecret: string | null;
  /** `whsec_…` each; a signature by any of them counts, so that one can be put in another's place. */
  readonly signingTokens: readonly string[];
};
/** The ways of which any is enough for what these bytes say they are of. None: nobody is known who sends such. */
export type GitLabKeys = (rawBody: Buffer) => readonly GitLabSecrets[];

/** What was generated for a connection, and what its webhooks' own secrets are made of. */
export type HookRoots = { readonly webhookSecret: string; readonly unsignedSecret: string; readonly signingTokens: readonly string[] };
/** Of one project's webhook. `unsigned`: where GitLab ignores a signing token. */
export type OwnSecrets = { readonly signed: GitLabSecrets & { readonly webhookSecret: string }; readonly unsigned: OwnSecrets['signed'] };
/** HMAC-SHA256 under a key that never leaves us, so that whoever knows what a root was cannot tell what is made of it. */
export type Derive = (root: string, use: string) => Buffer;

/** A project's own secrets: who learns them can speak for that project alone. */
export function ownSecrets(derive: Derive, roots: HookRoots, project: RepositoryId): OwnSecrets {
  const token = (root: string): string => `mayfly_hook_${derive(root, `X-Gitlab-Token of project ${project}`).toString('base64url')}`;
  const key = (root: string): string => `whsec_${derive(root, `signing token of project ${project}`).toString('base64')}`;
  return {
    signed: { webhookSecret: token(roots.webhookSecret), signingTokens: roots.signingTokens.map(key) },
    unsigned: { webhookSecret: token(roots.unsignedSecret), signingTokens: [] },
  };
}

/** Those that all webhooks of a connection bore before each had its own. */
export const sharedSecrets = ({ webhookSecret, unsignedSecret, signingTokens }: HookRoots): readonly GitLabSecrets[] => [
  { webhookSecret, signingTokens },
  { webhookSecret: unsignedSecret, signingTokens: [] },
];

const ofProject = z.object({ project: z.object({ id: repositoryId }) }).transform(({ project }) => project.id);
/** Events that nobody wants may have it elsewhere; of them no more is made than an answer. */
const besides = [
  z.object({ project_id: repositoryId }).transform(({ project_id: id }) => id),
  z.object({ object_attributes: z.object({ project_id: repositoryId }) }).transform(({ object_attributes: { project_id: id } }) => id),
] as const;
const named = z.union([ofProject, ...besides]);

/**
 * The project that a payload says it is of, read before anything is known of who sent it, and good for nothing but to choose the key;
 * undefined when it names none.
 */
export function projectNamed(rawBody: Buffer): RepositoryId | undefined {
  try {
    return named.safeParse(JSON.parse(rawBody.toString('utf8'))).data;
  } catch {
    // Bytes from anybody: not JSON is one of the things they may be.
    return undefined;
  }
}
