import { endAfterExtension, endAfterRestart, type Terms } from './deadline.ts';
import type { LaunchId, PullRef, RepositoryId, Sha, SiteId } from './identity.ts';
import type { Details, ProblemCode } from './problem.ts';

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
type Common = {
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
  /** The base branch's settings changed, or somebody asked: what failed is tried again. */
  | { readonly type: 'deployAsked'; readonly by: string; readonly only: 'any' | ProblemCode }
  | { readonly type: 'extended'; readonly byMs: number; readonly by: string }
  | { readonly type: 'stopped'; readonly by: string }
  | { readonly type: 'endReached' }
  | { readonly type: 'removalFinished' };
export type SiteEvent = SiteNews & { readonly at: Date };

/** What has to be done because a site changed: each becomes a job after the commit. */
export type Effect = 'provision' | 'report';
export type Change = { readonly next: Site; readonly effects: readonly Effect[] };

type HeadSeen = Extract<SiteEvent, { type: 'headSeen' }>;

const BOTH = ['provision', 'report'] as const satisfies readonly Effect[];
const REPORT = ['report'] as const satisfies readonly Effect[];
const unchanged = (site: Site): Change => ({ next: site, effects: [] });

/** The fields of `Common` alone, so that no field of the status before lingers. */
function common(site: Site): Common {
  const { id, pull, host, head, observation, live, region, terms, clockStart, endsAt, pushedAt, createdAt, version } = site;
  return { id, pull, host, head, observation, live, region, terms, clockStart, endsAt, pushedAt, createdAt, version };
}

const waiting = (base: Common, at: Date): Site =>
  base.head.trust === 'untrusted' ? { ...base, status: 'held' } : { ...base, status: 'queued', since: at };

/** The first life of a site: `queued`, or `held` for a fork's commit. */
export function begin(birth: { readonly id: SiteId; readonly pull: PullRef; readonly host: string }, seen: HeadSeen): Change {
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

function restarted(base: Common, seen: Pick<HeadSeen, 'head' | 'terms' | 'region' | 'at'>, endsAt: Date | null): Common {
  return {
    ...base,
    head: seen.head,
    terms: seen.terms,
    region: seen.region,
    pushedAt: seen.at,
    clockStart: seen.at,
    endsAt: endAfterRestart(endsAt, seen.terms, seen.at),
  };
}

function afterHead(site: Site, seen: HeadSeen): Change {
  if (seen.observation <= site.observation) return unchanged(site);
  const base = { ...common(site), observation: seen.observation };
  const pushed = seen.head.sha !== site.head.sha || seen.head.base !== site.head.base || seen.head.trust !== site.head.trust;
  const renamed = JSON.stringify(seen.head) !== JSON.stringify(site.head);
  const stay: Change = { next: { ...site, observation: seen.observation, head: seen.head }, effects: renamed ? REPORT : [] };
  switch (site.status) {
    case 'held':
    case 'queued':
    case 'building':
    case 'deploying':
    case 'ready':
    case 'failed':
      return pushed ? { next: waiting(restarted(base, seen, site.endsAt), seen.at), effects: BOTH } : stay;
    case 'ending': {
      if (!comesBack(site.reason, pushed, seen.reopened)) return stay;
      return { next: { ...restarted(base, seen, null), status: 'ending', reason: site.reason, revive: true }, effects: REPORT };
    }
    case 'ended':
      if (!comesBack(site.reason, pushed, seen.reopened)) return stay;
      return { next: waiting(restarted(base, seen, null), seen.at), effects: BOTH };
    default:
      return site satisfies never;
  }
}

/** Whether an open pull brings back a site that ended for this reason. After `stop`, only `deploy` does. */
function comesBack(reason: EndReason, pushed: boolean, reopened: boolean): boolean {
  switch (reason.kind) {
    case 'closed':
    case 'merged':
    case 'removed':
      return true;
    case 'expired':
      return pushed || reopened;
    case 'stopped':
      return false;
    default:
      return reason satisfies never;
  }
}

function afterEnd(site: Site, reason: EndReason): Change {
  if (site.status === 'ended' || site.status === 'ending') {
    const kept = site.reason.kind === 'stopped' && reason.kind !== 'removed';
    const revived = site.status === 'ending' && site.revive;
    if (!revived && (kept || site.reason.kind === reason.kind)) return unchanged(site);
    const next = kept ? site.reason : reason;
    return { next: site.status === 'ended' ? { ...site, reason: next } : { ...site, reason: next, revive: false }, effects: REPORT };
  }
  return { next: { ...common(site), status: 'ending', reason, revive: false }, effects: BOTH };
}

/** The launch that the site is in the middle of, if it is in one. */
export function currentLaunch(site: Site): LaunchId | undefined {
  return site.status === 'building' || site.status === 'deploying' ? site.launch : undefined;
}

const isCurrent = (site: Site, news: { launch: LaunchId; sha: Sha }): boolean =>
  currentLaunch(site) === news.launch && site.head.sha === news.sha;

function afterStage(site: Site, event: Extract<SiteEvent, { type: 'stageEntered' }>): Change {
  if (!isCurrent(site, event)) return unchanged(site);
  const base = common(site);
  const { launch, stage, at: since } = event;
  const next: Site =
    stage === 'fetch' || stage === 'build'
      ? { ...base, status: 'building', launch, stage, since }
      : { ...base, status: 'deploying', launch, stage, since };
  return { next, effects: REPORT };
}

/** Gives a site that is down or failed another try; one that is on its way is left alone. */
function afterDeployAsked(site: Site, event: Extract<SiteEvent, { type: 'deployAsked' }>): Change {
  const restart = { head: site.head, terms: site.terms, region: site.region, at: event.at };
  switch (site.status) {
    case 'failed':
      if (event.only !== 'any' && event.only !== site.code) return unchanged(site);
      return { next: waiting(restarted(common(site), restart, site.endsAt), event.at), effects: BOTH };
    case 'ended':
      if (event.only !== 'any') return unchanged(site);
      return { next: waiting(restarted(common(site), restart, null), event.at), effects: BOTH };
    case 'ending':
      if (event.only !== 'any' || site.revive) return unchanged(site);
      return { next: { ...restarted(common(site), restart, null), status: 'ending', reason: site.reason, revive: true }, effects: REPORT };
    default:
      return unchanged(site);
  }
}

/**
 * The one place where a site changes. Pure. An event that does not apply, or is news of a superseded commit or launch, returns the
 * same object and no effects.
 */
export function transition(site: Site, event: SiteEvent): Change {
  switch (event.type) {
    case 'headSeen':
      return afterHead(site, event);
    case 'pullClosed': {
      if (event.observation <= site.observation) return unchanged(site);
      const change = afterEnd(site, { kind: event.merged ? 'merged' : 'closed' });
      return { ...change, next: { ...change.next, observation: event.observation } };
    }
    case 'repositoryRemoved':
      return afterEnd(site, { kind: 'removed' });
    case 'stopped':
      return site.status === 'ended' ? unchanged(site) : afterEnd(site, { kind: 'stopped', by: event.by });
    case 'endReached': {
      if (event.at < site.endsAt || site.status === 'ended' || site.status === 'ending') return unchanged(site);
      return afterEnd(site, { kind: 'expired' });
    }
    case 'launchStarted': {
      if (site.status !== 'queued' && site.status !== 'building' && site.status !== 'deploying') return unchanged(site);
      if (site.head.sha !== event.sha) return unchanged(site);
      return { next: { ...common(site), status: 'building', launch: event.launch, stage: 'fetch', since: event.at }, effects: REPORT };
    }
    case 'stageEntered':
      return afterStage(site, event);
    case 'launchSucceeded': {
      if (!isCurrent(site, event)) return unchanged(site);
      const live: Live = { ...event.live, sha: event.sha, revision: event.launch, since: event.at };
      const base = { ...common(site), clockStart: event.at, endsAt: endAfterRestart(site.endsAt, site.terms, event.at) };
      return { next: { ...base, status: 'ready', live, launch: event.launch }, effects: REPORT };
    }
    case 'launchFailed': {
      if (!isCurrent(site, event)) return unchanged(site);
      const { launch, during, code, details } = event;
      return { next: { ...common(site), status: 'failed', launch, during, code, details }, effects: REPORT };
    }
    case 'deployAsked':
      return afterDeployAsked(site, event);
    case 'extended': {
      if (site.status === 'ended' || site.status === 'ending') return unchanged(site);
      const endsAt = endAfterExtension(site.endsAt, event.byMs, { clockStart: site.clockStart, terms: site.terms });
      return endsAt.getTime() === site.endsAt.getTime() ? unchanged(site) : { next: { ...site, endsAt }, effects: REPORT };
    }
    case 'removalFinished': {
      if (site.status !== 'ending') return unchanged(site);
      const base = { ...common(site), live: null };
      if (site.revive) return { next: waiting({ ...base, pushedAt: event.at }, event.at), effects: BOTH };
      return { next: { ...base, status: 'ended', reason: site.reason, endedAt: event.at }, effects: REPORT };
    }
    default:
      return event satisfies never;
  }
}

/** Whether a worker still owes this site something. */
export function isUnsettled(site: Site): boolean {
  return site.status === 'queued' || site.status === 'building' || site.status === 'deploying' || site.status === 'ending';
}
