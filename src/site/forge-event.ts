import type { ForgeId, Repository, RepositoryId, Sha } from './identity.ts';

/** Who did it. Only a person's comment is ever a command. */
export type Person = { readonly id: number; readonly login: string; readonly kind: 'person' | 'bot' };

/**
 * What a forge told us, in no forge's words. It is stored as JSON in the inbox, so it holds plain values only; it says where to look,
 * and the decision rests on what the forge answers then.
 */
export type ForgeEvent =
  | {
      readonly type: 'pullChanged';
      readonly repository: Repository;
      readonly number: number;
      /** `other`: retitled, retargeted, labelled, converted to a draft and back. */
      readonly action: 'opened' | 'reopened' | 'pushed' | 'closed' | 'other';
      readonly sha: Sha;
    }
  | {
      readonly type: 'commentWritten';
      readonly repository: Repository;
      readonly number: number;
      readonly comment: { readonly id: string; readonly body: string; readonly writtenAt: string };
      readonly author: Person;
    }
  /** `touchesSettings`: `.mayfly.yml` is, or may be, among the changed files. */
  | { readonly type: 'branchPushed'; readonly repository: Repository; readonly branch: string; readonly touchesSettings: boolean }
  | { readonly type: 'repositoryRenamed'; readonly repository: Repository }
  | { readonly type: 'repositoriesAdded'; readonly repositories: readonly Repository[] }
  | {
      readonly type: 'repositoriesRemoved';
      readonly forge: ForgeId;
      readonly access: string;
      readonly repositories: readonly RepositoryId[];
    }
  /** The app was uninstalled or suspended, or its token revoked. */
  | { readonly type: 'accessRemoved'; readonly forge: ForgeId; readonly access: string }
  /** A suspension is over: the forge need not say which repositories are open again. */
  | { readonly type: 'accessRestored'; readonly forge: ForgeId; readonly access: string };

/** News of something in one repository, on which more is done than looking. */
export type Claim = Extract<ForgeEvent, { type: 'pullChanged' | 'commentWritten' | 'branchPushed' }>;
