// What each kind of news makes of a site; `transition` in site.ts is the one that asks. What does not apply returns the same object.
import { endAfterRestart, endAtLimit, endWithin, type Terms } from './deadline.ts';
import type { LaunchId, Sha } from './identity.ts';
import type { Approval, Change, Common, Effect, EndReason, Head, Live, Site } from './site.ts';
import type { Order, SiteEvent, Topic } from './site-news.ts';

export type News<T extends SiteEvent['type']> = Extract<SiteEvent, { type: T }>;

export const BOTH = ['provision', 'report'] as const satisfies readonly Effect[];
export const REPORT = ['report'] as const satisfies readonly Effect[];
export const unchanged = (site: Site): Change => ({ next: site, effects: [] });

/** Whether nothing of it stands any more, or will in a moment. */
export const isOver = (site: Site): site is Extract<Site, { status: 'ending' | 'ended' | 'absent' }> =>
  site.status === 'ending' || site.status === 'ended' || site.status === 'absent';

/** The fields of `Common` alone, so that no field of the status before lingers. */
export function common(site: Site): Common {
  const { id, pull, host, head, observation, live, region, terms, clockStart, endsAt, pushedAt, moved, createdAt, version } = site;
  const { closedAs, closedAt, turnedAt, ruledAt, approval, wishes, home, place, rebuild, endNears, notice } = site;
  const own = { id, pull, host, head, observation, live, region, terms, clockStart, endsAt, pushedAt, moved, createdAt, version };
  return { ...own, closedAs, closedAt, turnedAt, ruledAt, approval, wishes, home, place, rebuild, endNears, notice };
}

/** Whether the head may be built: code of the repository's own, or a commit of a fork that was approved as it stands. */
export const isApproved = (head: Head, approval: Approval | null): boolean =>
  head.trust === 'trusted' ||
  (approval !== null && approval.sha === head.sha && approval.repository === head.repository && approval.base === head.base);

/** A place is kept by what has something on the target. */
const placeOf = (live: Live | null): Common['place'] => (live === null ? 'none' : 'taken');

/** At the start of its way to a commit: `queued`, or `held` for a fork's commit that nobody has approved. */
export const waiting = (base: Common, at: Date): Site =>
  isApproved(base.head, base.approval) ? { ...base, status: 'queued', since: at } : { ...base, place: placeOf(base.live), status: 'held' };

/** Whether a later command of this topic was carried out before. */
export const isOvertaken = ({ wishes }: Site, topic: Topic, order: Order): boolean => order !== null && order < wishes.newest[topic];

/** The site with this command as the newest of its topic; the same object when it is that already. */
export function ordered<S extends Site>(site: S, topic: Topic, order: Order): S {
  if (order === null || order <= site.wishes.newest[topic]) return site;
  return { ...site, wishes: { ...site.wishes, newest: { ...site.wishes.newest, [topic]: order } } };
}

type Restart = Pick<News<'headSeen'>, 'head' | 'terms' | 'region' | 'asks' | 'at'>;

/** The end after a start of the clock. `before` is the end until now; null for a new life. */
const endFrom = (start: Date, { terms, wishes, before }: { terms: Terms; wishes: Common['wishes']; before: Date | null }): Date =>
  wishes.kept ? endAtLimit(terms, start) : endAfterRestart(before, terms, start);

/** A new start of the clock, for a push or a wish for a deploy. `endsAt` is the end until now; null for a new life. */
export function restarted(base: Common, to: Restart, endsAt: Date | null): Common {
  const { head, terms, at } = to;
  const isPush = head.sha !== base.head.sha;
  return {
    ...base,
    head,
    terms,
    region: base.home.taken ? base.region : (base.wishes.region ?? to.region),
    home: { ...base.home, asks: to.asks ?? null },
    pushedAt: isPush ? at : base.pushedAt,
    moved: base.moved || isPush,
    clockStart: at,
    endsAt: endFrom(at, { terms, wishes: base.wishes, before: endsAt }),
    notice: null,
  };
}

/** The pull is open with this head. A newer look always wins, whatever came between the two. */
export function afterHead(site: Site, seen: News<'headSeen'>): Change {
  if (seen.observation <= site.observation) return unchanged(site);
  const turned = isTurned(site, seen);
  const approval = turned || isOtherCommit(site.head, seen.head) ? null : site.approval;
  const turnedAt = turned ? seen.at : site.turnedAt;
  const base: Common = { ...common(site), observation: seen.observation, closedAs: null, turnedAt, approval };
  switch (site.status) {
    case 'held':
    case 'queued':
    case 'building':
    case 'deploying':
    case 'ready':
    case 'failed':
      if (isOtherCommit(site.head, seen.head)) return { next: waiting(restarted(base, seen, site.endsAt), seen.at), effects: BOTH };
      if (approval !== site.approval) return { next: waiting({ ...base, head: seen.head }, seen.at), effects: BOTH };
      return noted({ ...site, turnedAt, approval }, seen);
    case 'ending': {
      const comes = site.revive ? isOtherCommit(site.head, seen.head) : comesBack(site, seen);
      if (!comes) return noted({ ...site, turnedAt, approval }, seen);
      return { next: { ...restarted(base, seen, null), status: 'ending', reason: site.reason, revive: true }, effects: REPORT };
    }
    case 'ended':
      return comesBack(site, seen)
        ? { next: waiting(restarted(base, seen, null), seen.at), effects: BOTH }
        : noted({ ...site, turnedAt, approval }, seen);
    case 'absent':
      return { next: waiting(restarted(base, seen, null), seen.at), effects: BOTH };
    default:
      return site satisfies never;
  }
}

/** Whether the pull stands otherwise than before in what an approval rests on beside the commit. */
const isTurned = ({ head, closedAs }: Site, seen: Pick<News<'headSeen'>, 'head'> & { readonly reopened?: boolean }): boolean =>
  head.base !== seen.head.base ||
  head.trust !== seen.head.trust ||
  head.repository !== seen.head.repository ||
  head.draft !== seen.head.draft ||
  closedAs !== null ||
  seen.reopened === true;

/** Whether what has to be built, or who vouches for it, is another: another base branch brings other settings. */
const isOtherCommit = (before: Head, now: Head): boolean =>
  before.sha !== now.sha || before.base !== now.base || before.trust !== now.trust;

/** Nothing to launch: the newer texts and terms are kept, and told when a reader would see the difference. */
function noted(site: Site, seen: News<'headSeen'>): Change {
  const endsAt = endWithin(site.endsAt, { clockStart: site.clockStart, terms: seen.terms });
  const isSame = endsAt.getTime() === site.endsAt.getTime() && isSameHead(site.head, seen.head);
  const home = { ...site.home, asks: seen.asks ?? null };
  const next = { ...site, observation: seen.observation, head: seen.head, terms: seen.terms, home, endsAt, closedAs: null };
  return { next, effects: isSame ? [] : REPORT };
}

/** By field: a head that comes from the database may have its keys in another order. */
function isSameHead(before: Head, now: Head): boolean {
  return (
    !isOtherCommit(before, now) &&
    before.branch === now.branch &&
    before.title === now.title &&
    before.commitTitle === now.commitTitle &&
    before.author === now.author &&
    before.repository === now.repository &&
    before.draft === now.draft
  );
}

/** The pull is there and gets no site of its own accord; one that has a site keeps it. */
export function afterPassingOver(site: Site, seen: News<'passedOver'>): Change {
  if (site.status !== 'absent' || seen.observation <= site.observation) return unchanged(site);
  const { observation, head, terms, region, passed } = seen;
  const home = { ...site.home, asks: seen.asks ?? null };
  const isSame = isSameHead(site.head, head) && passed.why === site.passed.why;
  const turnedAt = isTurned(site, seen) ? seen.at : site.turnedAt;
  return { next: { ...site, observation, head, terms, region, home, passed, turnedAt }, effects: isSame ? [] : REPORT };
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
  const { observation, closedAt } = event;
  const closedAs: NonNullable<Common['closedAs']> = event.merged ? 'merged' : 'closed';
  if (site.status === 'absent') return { next: { ...site, observation, closedAs, closedAt, passed: { why: 'closed' } }, effects: [] };
  // Somebody asked for it after this close, which is no news any more: it lives until its end.
  const wasAskedFor = isSameClose(site, closedAt) && (!isOver(site) || (site.status === 'ending' && site.revive));
  if (wasAskedFor) return { next: { ...site, observation, closedAs, closedAt }, effects: [] };
  const ended = { ...site, ...headOf(site, event), observation, closedAs, closedAt, approval: null };
  return afterEnd({ ...ended, wishes: { ...site.wishes, kept: false } }, { kind: closedAs });
}

/** What is brought back is the pull's newest commit, also when we heard of it only by the close. */
const headOf = (site: Site, { head, at }: News<'pullClosed'>): Partial<Pick<Common, 'head' | 'pushedAt' | 'moved'>> => {
  if (head === null) return {};
  return head.sha === site.head.sha ? { head } : { head, pushedAt: at, moved: true };
};

/** Whether we know of this close; of several between two looks only the last one is seen. */
const isSameClose = (site: Site, closedAt: Date | null): boolean =>
  site.closedAs !== null && (site.closedAt === null || closedAt === null || site.closedAt.getTime() === closedAt.getTime());

/** How much a reason outweighs another: which one stands must not depend on which came first. */
const WEIGHT = { expired: 0, closed: 1, merged: 1, stopped: 2, removed: 3 } as const satisfies Record<EndReason['kind'], number>;

/** A reason to end. A site that is ending or has ended already only takes on a weightier reason, which decides what brings it back. */
export function afterEnd(site: Site, reason: EndReason): Change {
  if (site.status === 'absent') return unchanged(site);
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
  return { next: { ...common(site), place: 'taken', status: 'building', launch, stage: 'fetch', since: at }, effects: REPORT };
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

/**
 * The current launch's site answers: visitors get it from now on. The first time after a push or a deploy the clock starts anew; what was
 * launched again without either (`afterDoubt`) ends when it would have.
 */
export function afterSuccess(site: Site, event: News<'launchSucceeded'>): Change {
  if (!isCurrent(site, event)) return unchanged(site);
  const live: Live = { ...event.live, sha: event.sha, revision: event.launch, since: event.at };
  const isFirst = site.live === null || site.live.since < site.clockStart;
  const clockStart = isFirst ? event.at : site.clockStart;
  const endsAt = isFirst ? endFrom(clockStart, { terms: site.terms, wishes: site.wishes, before: site.endsAt }) : site.endsAt;
  const base = { ...common(site), clockStart, endsAt, rebuild: false };
  return { next: { ...base, status: 'ready', live, launch: event.launch }, effects: REPORT };
}

/** The current launch failed; what is live stays live. */
export function afterFailure(site: Site, event: News<'launchFailed'>): Change {
  if (!isCurrent(site, event)) return unchanged(site);
  const { launch, during, code, details } = event;
  const base = { ...common(site), place: placeOf(site.live), rebuild: false };
  return { next: { ...base, status: 'failed', launch, during, code, details }, effects: REPORT };
}

/** Where a site starts from that is asked for as it is. */
export const asItIs = ({ head, terms, region, home: { asks } }: Site, at: Date): Restart => ({ head, terms, region, asks, at });

/** Gives a site that is down or failed another try; one that is on its way is left alone. */
export function afterDeployAsked(before: Site, event: News<'deployAsked'>): Change {
  if (isOvertaken(before, 'life', event.order)) return unchanged(before);
  const site = ordered(before, 'life', event.order);
  const to = asItIs(site, event.at);
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

/** Neither a push nor a person's wish, so the clock runs on: what is launched again and again must not keep a site for ever. */
export function afterDoubt(site: Site, { launch, at }: News<'launchDoubted'>): Change {
  if ((site.status !== 'failed' && site.status !== 'ready') || site.launch !== launch) return unchanged(site);
  return { next: waiting(common(site), at), effects: BOTH };
}

/** Nothing of it is left on the target. */
export function afterRemoval(site: Site, at: Date): Change {
  if (site.status !== 'ending') return unchanged(site);
  const base: Common = { ...common(site), live: null, place: 'none', home: { ...site.home, taken: false, full: null } };
  if (site.revive) return { next: waiting(base, at), effects: BOTH };
  return { next: { ...base, status: 'ended', reason: site.reason, endedAt: at }, effects: REPORT };
}
