import type { Notice } from './answer.ts';
import type { Terms } from './deadline.ts';
import type { LaunchId, Sha } from './identity.ts';
import type { Details, ProblemCode } from './problem.ts';
import type { Approval, Head, Live, PassedOver, Stage } from './site.ts';

/** Commands that undo each other, and so count in the order in which they were written, whatever the order in which we hear of them. */
export type Topic = 'life' | 'rest' | 'region';
/** Where a command stands among all of its forge: later comments and later lines have greater numbers. Null: it came by the API, now. */
export type Order = number | null;

/** The pull still has the commit that it was opened with, as far as that is known. */
type Untouched = { readonly untouched?: true };
/** What happened, in the past tense. `at` is the database's clock, set by `apply`. */
export type SiteNews =
  /** The pull is open with this head. `reopened`: the forge said that it was opened anew; `asks`: the region that the settings want. */
  | (Untouched & {
      readonly type: 'headSeen';
      readonly observation: number;
      readonly head: Head;
      readonly terms: Terms;
      readonly region: string;
      readonly asks?: string | null;
      readonly reopened: boolean;
    })
  /** The pull is open or closed with this head, and gets no site of its own accord. */
  | (Untouched & {
      readonly type: 'passedOver';
      readonly observation: number;
      readonly head: Head;
      readonly terms: Terms;
      readonly region: string;
      readonly asks?: string | null;
      readonly passed: PassedOver;
    })
  /** `closedAt` is the forge's clock. It and the head are null when there is no such pull any more. */
  | {
      readonly type: 'pullClosed';
      readonly observation: number;
      readonly merged: boolean;
      readonly closedAt: Date | null;
      readonly head: Head | null;
    }
  | { readonly type: 'repositoryRemoved' }
  | { readonly type: 'launchStarted'; readonly launch: LaunchId; readonly sha: Sha }
  | { readonly type: 'stageEntered'; readonly launch: LaunchId; readonly sha: Sha; readonly stage: Stage }
  | {
      readonly type: 'launchSucceeded';
      readonly launch: LaunchId;
      readonly sha: Sha;
      readonly live: Omit<Live, 'since' | 'sha' | 'revision'>;
    }
  | {
      readonly type: 'launchFailed';
      readonly launch: LaunchId;
      readonly sha: Sha;
      readonly during: Stage;
      readonly code: ProblemCode;
      readonly details: Details;
    }
  /** The base branch's settings changed, or somebody asked: what failed (`only` in these ways) is tried again. */
  | { readonly type: 'deployAsked'; readonly by: string; readonly only: 'any' | readonly ProblemCode[]; readonly order: Order }
  /** As `deployAsked`, also for a site that is well, and nothing that was kept is used. */
  | { readonly type: 'rebuildAsked'; readonly by: string; readonly order: Order }
  /** What this launch came to does not count: its forge was away, or visitors get another's. It is made again; until it is up, the clock runs on. */
  | { readonly type: 'launchDoubted'; readonly launch: LaunchId }
  | { readonly type: 'extended'; readonly byMs: number; readonly by: string }
  | { readonly type: 'kept'; readonly by: string }
  | { readonly type: 'regionChosen'; readonly by: string; readonly region: string; readonly order: Order }
  | { readonly type: 'stopped'; readonly by: string; readonly order: Order }
  /** Its processes were asked to sleep, or to wake. */
  | { readonly type: 'restAsked'; readonly by: string; readonly order: Order }
  | { readonly type: 'approved'; readonly approval: Approval }
  /** The approval of this commit no longer holds: the pull moved on, or who gave it may not any more. */
  | { readonly type: 'approvalLapsed'; readonly sha: Sha }
  /** `region`: where, when that matters; also of a site whose launch has to go to another one. */
  | { readonly type: 'placeTaken'; readonly region?: string }
  /** `full`: not for want of a place among its repository's, but of room in these regions. */
  | { readonly type: 'placeRefused'; readonly full?: readonly string[] }
  /** Others took or gave up places that this site waits for. */
  | { readonly type: 'placesChanged' }
  /** There is something to say to somebody who typed a command. */
  | { readonly type: 'noticed'; readonly notice: Notice }
  | { readonly type: 'endNeared' }
  | { readonly type: 'endReached' }
  | { readonly type: 'removalFinished' };
export type SiteEvent = SiteNews & { readonly at: Date };
