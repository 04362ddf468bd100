import { endAfterRestart, type Terms } from './deadline.ts';
import type { LaunchId, PullRef, RepositoryId, Sha, SiteId } from './identity.ts';
import type { Details, ProblemCode } from './problem.ts';
import {
  afterClose,
  afterDeployAsked,
  afterEnd,
  afterExtension,
  afterFailure,
  afterForgeAnswered,
  afterHead,
  afterLaunchStarted,
  afterRemoval,
  afterStage,
  afterSuccess,
  BOTH,
  unchanged,
  waiting,
} from './site-changes.ts';

/** Untrusted: the head is another repository, or is gone. */
export type Trust = 'trusted' | 'untrusted';

/** The newest commit of a pull and what the forge says around it. All text here comes from outside. */
export type Head = {
  readonly sha: Sha;
  readonly branch: string;
  readonly base: string;
  readonly title: string;
  readonly commitTitle: string;
  readonly author: string;
  /** Null when the fork was deleted. */
  readonly repository: RepositoryId | null;
  readonly trust: Trust;
};

/** How visitors are served: by a process that the supervisor runs, or by files that the gate sends itself. */
export type Served = { readonly kind: 'process'; readonly service: string } | { readonly kind: 'static'; readonly folder: string };

/** What visitors get now. `revision` is the launch that made it. */
export type Live = {
  readonly sha: Sha;
  readonly revision: LaunchId;
  readonly url: string;
  readonly since: Date;
  readonly served: Served;
  /** Sandbox settings of the running app that the gate needs. */
  readonly idleMs: number;
};

export type Stage = 'fetch' | 'build' | 'deploy' | 'check';
export type EndReason =
  | { readonly kind: 'closed' }
  | { readonly kind: 'merged' }
  | { readonly kind: 'expired' }
  | { readonly kind: 'stopped'; readonly by: string }
  | { readonly kind: 'removed' };

/** True in every state. `live` is what visitors get now, whatever `status` says we are doing; `endsAt` is never absent. */
export type Common = {
  readonly id: SiteId;
  readonly pull: PullRef;
  /** First DNS label of the address. */
  readonly host: string;
  readonly head: Head;
  /** Number of the look at the forge that `head` comes from; an older look changes nothing. */
  readonly observation: number;
  readonly live: Live | null;
  readonly region: string;
  readonly terms: Terms;
  /** When the clock was last started: by a push or a deploy. The end is at most `terms.maxTtlMs` after it. */
  readonly clockStart: Date;
  readonly endsAt: Date;
  /** When `head.sha` was first seen. */
  readonly pushedAt: Date;
  readonly createdAt: Date;
  readonly version: number;
};

export type Site = Common &
  (
    | { readonly status: 'held' }
    | { readonly status: 'queued'; readonly since: Date }
    | { readonly status: 'building'; readonly launch: LaunchId; readonly stage: 'fetch' | 'build'; readonly since: Date }
    | { readonly status: 'deploying'; readonly launch: LaunchId; readonly stage: 'deploy' | 'check'; readonly since: Date }
    | { readonly status: 'ready'; readonly live: Live; readonly launch: LaunchId }
    | {
        readonly status: 'failed';
        readonly launch: LaunchId;
        readonly during: Stage;
        readonly code: ProblemCode;
        readonly details: Details;
      }
    /** `revive`: the pull was reopened while its site was being removed; it is launched again once that is done. */
    | { readonly status: 'ending'; readonly reason: EndReason; readonly revive: boolean }
    | { readonly status: 'ended'; readonly reason: EndReason; readonly endedAt: Date }
  );

export type Status = Site['status'];
export const STATUSES = [
  'held',
  'queued',
  'building',
  'deploying',
  'ready',
  'failed',
  'ending',
  'ended',
] as const satisfies readonly Status[];

/** What happened, in the past tense. `at` is the database's clock, set by `apply`. */
export type SiteNews =
  /** The pull is open with this head. `reopened`: the forge said that it was opened anew. */
  | {
      readonly type: 'headSeen';
      readonly observation: number;
      readonly head: Head;
      readonly terms: Terms;
      readonly region: string;
      readonly reopened: boolean;
    }
  | { readonly type: 'pullClosed'; readonly observation: number; readonly merged: boolean }
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
  | { readonly type: 'deployAsked'; readonly by: string; readonly only: 'any' | readonly ProblemCode[] }
  /** The forge was asked and answered: what failed for want of it is tried again, on the clock that runs. */
  | { readonly type: 'forgeAnswered' }
  | { readonly type: 'extended'; readonly byMs: number; readonly by: string }
  | { readonly type: 'stopped'; readonly by: string }
  | { readonly type: 'endReached' }
  | { readonly type: 'removalFinished' };
export type SiteEvent = SiteNews & { readonly at: Date };

/** What has to be done because a site changed: each becomes a job after the commit. */
export type Effect = 'provision' | 'report';
export type Change = { readonly next: Site; readonly effects: readonly Effect[] };

/** The first life of a site: `queued`, or `held` for a fork's commit. */
export function begin(
  birth: { readonly id: SiteId; readonly pull: PullRef; readonly host: string },
  seen: Extract<SiteEvent, { type: 'headSeen' }>,
): Change {
  const base: Common = {
    ...birth,
    head: seen.head,
    observation: seen.observation,
    live: null,
    region: seen.region,
    terms: seen.terms,
    clockStart: seen.at,
    endsAt: endAfterRestart(null, seen.terms, seen.at),
    pushedAt: seen.at,
    createdAt: seen.at,
    version: 1,
  };
  return { next: waiting(base, seen.at), effects: BOTH };
}

/**
 * The one place where a site changes. Pure. An event that does not apply, or is news of a superseded commit or launch, returns the
 * same object and no effects.
 */
export function transition(site: Site, event: SiteEvent): Change {
  switch (event.type) {
    case 'headSeen':
      return afterHead(site, event);
    case 'pullClosed':
      return afterClose(site, event);
    case 'repositoryRemoved':
      return afterEnd(site, { kind: 'removed' });
    case 'stopped':
      return afterEnd(site, { kind: 'stopped', by: event.by });
    case 'endReached':
      return event.at < site.endsAt || site.status === 'ended' || site.status === 'ending'
        ? unchanged(site)
        : afterEnd(site, { kind: 'expired' });
    case 'launchStarted':
      return afterLaunchStarted(site, event);
    case 'stageEntered':
      return afterStage(site, event);
    case 'launchSucceeded':
      return afterSuccess(site, event);
    case 'launchFailed':
      return afterFailure(site, event);
    case 'deployAsked':
      return afterDeployAsked(site, event);
    case 'forgeAnswered':
      return afterForgeAnswered(site, event.at);
    case 'extended':
      return afterExtension(site, event);
    case 'removalFinished':
      return afterRemoval(site, event.at);
    default:
      return event satisfies never;
  }
}

/** The launch that the site is in the middle of, if it is in one. */
export function currentLaunch(site: Site): LaunchId | undefined {
  return site.status === 'building' || site.status === 'deploying' ? site.launch : undefined;
}

/** Whether a worker still owes this site something. */
export function isUnsettled(site: Site): boolean {
  return site.status === 'queued' || site.status === 'building' || site.status === 'deploying' || site.status === 'ending';
}
