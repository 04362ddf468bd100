// What each kind of news makes of a site; `transition` in site.ts is the one that asks. What does not apply returns the same object.
import { endAfterExtension, endAfterRestart, endWithin } from './deadline.ts';
import type { LaunchId, Sha } from './identity.ts';
import { CAUSED_BY_FORGE } from './problem.ts';
import type { Change, Common, Effect, EndReason, Head, Live, Site, SiteEvent } from './site.ts';

type News<T extends SiteEvent['type']> = Extract<SiteEvent, { type: T }>;

export const BOTH = ['provision', 'report'] as const satisfies readonly Effect[];
const REPORT = ['report'] as const satisfies readonly Effect[];
export const unchanged = (site: Site): Change => ({ next: site, effects: [] });

/** The fields of `Common` alone, so that no field of the status before lingers. */
function common(site: Site): Common {
  const { id, pull, host, head, observation, live, region, terms, clockStart, endsAt, pushedAt, createdAt, version } = site;
  return { id, pull, host, head, observation, live, region, terms, clockStart, endsAt, pushedAt, createdAt, version };
}

/** At the start of its way to a commit: `queued`, or `held` for a fork's commit. */
export const waiting = (base: Common, at: Date): Site =>
  base.head.trust === 'untrusted' ? { ...base, status: 'held' } : { ...base, status: 'queued', since: at };

type Restart = Pick<News<'headSeen'>, 'head' | 'terms' | 'region' | 'at'>;

/** A new start of the clock, for a push or a deploy. `endsAt` is the end until now; null for a new life. */
function restarted(base: Common, to: Restart, endsAt: Date | null): Common {
  const { head, terms, region, at } = to;
  return { ...base, head, terms, region, pushedAt: at, clockStart: at, endsAt: endAfterRestart(endsAt, terms, at) };
}

/** The pull is open with this head. A newer look always wins, whatever came between the two. */
export function afterHead(site: Site, seen: News<'headSeen'>): Change {
  if (seen.observation <= site.observation) return unchanged(site);
  const base = { ...common(site), observation: seen.observation };
  switch (site.status) {
    case 'held':
    case 'queued':
    case 'building':
    case 'deploying':
    case 'ready':
    case 'failed':
      return isOtherCommit(site.head, seen.head)
        ? { next: waiting(restarted(base, seen, site.endsAt), seen.at), effects: BOTH }
        : noted(site, seen);
    case 'ending': {
      const comes = site.revive ? isOtherCommit(site.head, seen.head) : comesBack(site, seen);
      if (!comes) return noted(site, seen);
      return { next: { ...restarted(base, seen, null), status: 'ending', reason: site.reason, revive: true }, effects: REPORT };
    }
    case 'ended':
      return comesBack(site, seen) ? { next: waiting(restarted(base, seen, null), seen.at), effects: BOTH } : noted(site, seen);
    default:
      return site satisfies never;
  }
}

/** Whether what has to be built, or who vouches for it, is another: another base branch brings other settings. */
const isOtherCommit = (before: Head, now: Head): boolean =>
  before.sha !== now.sha || before.base !== now.base || before.trust !== now.trust;

/** Nothing to launch: the newer texts and terms are kept, and told when a reader would see the difference. */
function noted(site: Site, seen: News<'headSeen'>): Change {
  const endsAt = endWithin(site.endsAt, { clockStart: site.clockStart, terms: seen.terms });
  const isSame = endsAt.getTime() === site.endsAt.getTime() && isSameHead(site.head, seen.head);
  return { next: { ...site, observation: seen.observation, head: seen.head, terms: seen.terms, endsAt }, effects: isSame ? [] : REPORT };
}

/** By field: a head that comes from the database may have its keys in another order. */
function isSameHead(before: Head, now: Head): boolean {
  return (
    !isOtherCommit(before, now) &&
    before.branch === now.branch &&
    before.title === now.title &&
    before.commitTitle === now.commitTitle &&
    before.author === now.author &&
    before.repository === now.repository
  );
}

/** Whether an open pull brings back a site that ended, or is ending, for this reason. After `stop`, only `deploy` does. */
function comesBack(site: Extract<Site, { reason: EndReason }>, seen: News<'headSeen'>): boolean {
  switch (site.reason.kind) {
    case 'closed':
    case 'merged':
    case 'removed':
      return true;
    case 'expired':
      return seen.reopened || seen.head.sha !== site.head.sha;
    case 'stopped':
      return false;
    default:
      return site.reason satisfies never;
  }
}

/** The pull is closed. */
export function afterClose(site: Site, event: News<'pullClosed'>): Change {
  if (event.observation <= site.observation) return unchanged(site);
  const change = afterEnd(site, { kind: event.merged ? 'merged' : 'closed' });
  return { ...change, next: { ...change.next, observation: event.observation } };
}

/** How much a reason outweighs another: which one stands must not depend on which came first. */
const WEIGHT = { expired: 0, closed: 1, merged: 1, stopped: 2, removed: 3 } as const satisfies Record<EndReason['kind'], number>;

/** A reason to end. A site that is ending or has ended already only takes on a weightier reason, which decides what brings it back. */
export function afterEnd(site: Site, reason: EndReason): Change {
  if (site.status !== 'ended' && site.status !== 'ending') {
    return { next: { ...common(site), status: 'ending', reason, revive: false }, effects: BOTH };
  }
  // Whoever asked for it back did so after the old reason, which therefore no longer counts.
  const isRevived = site.status === 'ending' && site.revive;
  const isNews = reason.kind !== site.reason.kind && WEIGHT[reason.kind] >= WEIGHT[site.reason.kind];
  if (!isRevived && !isNews) return unchanged(site);
  return { next: site.status === 'ended' ? { ...site, reason } : { ...site, reason, revive: false }, effects: REPORT };
}

/** Whether the news is of the launch that the site is in the middle of. A stage is what only such a site has. */
const isCurrent = (site: Site, news: { launch: LaunchId; sha: Sha }): boolean =>
  'stage' in site && site.launch === news.launch && site.head.sha === news.sha;

/** A worker took the site on; it may take it over from a launch that died. */
export function afterLaunchStarted(site: Site, { launch, sha, at }: News<'launchStarted'>): Change {
  const isWanted = (site.status === 'queued' || 'stage' in site) && site.head.sha === sha;
  if (!isWanted || isCurrent(site, { launch, sha })) return unchanged(site);
  return { next: { ...common(site), status: 'building', launch, stage: 'fetch', since: at }, effects: REPORT };
}

/** The current launch went on to its next stage. */
export function afterStage(site: Site, event: News<'stageEntered'>): Change {
  if (!isCurrent(site, event) || ('stage' in site && site.stage === event.stage)) return unchanged(site);
  const base = common(site);
  const { launch, stage, at: since } = event;
  const next: Site =
    stage === 'fetch' || stage === 'build'
      ? { ...base, status: 'building', launch, stage, since }
      : { ...base, status: 'deploying', launch, stage, since };
  return { next, effects: REPORT };
}

/** The current launch's site answers: visitors get it from now on, and the clock starts anew. */
export function afterSuccess(site: Site, event: News<'launchSucceeded'>): Change {
  if (!isCurrent(site, event)) return unchanged(site);
  const live: Live = { ...event.live, sha: event.sha, revision: event.launch, since: event.at };
  const base = { ...common(site), clockStart: event.at, endsAt: endAfterRestart(site.endsAt, site.terms, event.at) };
  return { next: { ...base, status: 'ready', live, launch: event.launch }, effects: REPORT };
}

/** The current launch failed; what is live stays live. */
export function afterFailure(site: Site, event: News<'launchFailed'>): Change {
  if (!isCurrent(site, event)) return unchanged(site);
  const { launch, during, code, details } = event;
  return { next: { ...common(site), status: 'failed', launch, during, code, details }, effects: REPORT };
}

/** Gives a site that is down or failed another try; one that is on its way is left alone. */
export function afterDeployAsked(site: Site, event: News<'deployAsked'>): Change {
  const to = { head: site.head, terms: site.terms, region: site.region, at: event.at };
  switch (site.status) {
    case 'failed':
      if (event.only !== 'any' && !event.only.includes(site.code)) return unchanged(site);
      return { next: waiting(restarted(common(site), to, site.endsAt), event.at), effects: BOTH };
    case 'ended':
      if (event.only !== 'any') return unchanged(site);
      return { next: waiting(restarted(common(site), to, null), event.at), effects: BOTH };
    case 'ending':
      if (event.only !== 'any' || site.revive) return unchanged(site);
      return { next: { ...restarted(common(site), to, null), status: 'ending', reason: site.reason, revive: true }, effects: REPORT };
    default:
      return unchanged(site);
  }
}

/** Not a push and not a person's wish: a forge that fails again and again must not keep a site for ever. */
export function afterForgeAnswered(site: Site, at: Date): Change {
  if (site.status !== 'failed' || !CAUSED_BY_FORGE.includes(site.code)) return unchanged(site);
  return { next: waiting(common(site), at), effects: BOTH };
}

/** The end is moved, within the limit; one that is reached already cannot be. */
export function afterExtension(site: Site, event: News<'extended'>): Change {
  if (site.status === 'ended' || site.status === 'ending') return unchanged(site);
  const endsAt = endAfterExtension(site.endsAt, event.byMs, { clockStart: site.clockStart, terms: site.terms });
  return endsAt.getTime() === site.endsAt.getTime() ? unchanged(site) : { next: { ...site, endsAt }, effects: REPORT };
}

/** Nothing of it is left on the target. */
export function afterRemoval(site: Site, at: Date): Change {
  if (site.status !== 'ending') return unchanged(site);
  const base = { ...common(site), live: null };
  if (site.revive) return { next: waiting({ ...base, pushedAt: at }, at), effects: BOTH };
  return { next: { ...base, status: 'ended', reason: site.reason, endedAt: at }, effects: REPORT };
}
