// What people's commands make of a site; `transition` in site.ts is the one that asks. What does not apply returns the same object.
import { endAfterExtension, endAtLimit, isFar } from './deadline.ts';
import type { Change, Site, Wishes } from './site.ts';
import {
  afterEnd,
  asItIs,
  BOTH,
  common,
  isApproved,
  isOver,
  isOvertaken,
  type News,
  ordered,
  REPORT,
  restarted,
  unchanged,
  waiting,
} from './site-changes.ts';

export const NO_WISHES: Wishes = { kept: false, region: null, newest: { life: 0, rest: 0, region: 0 } };

/** Everything is made anew, whatever stands. What waits for approval goes on waiting. */
export function afterRebuildAsked(before: Site, event: News<'rebuildAsked'>): Change {
  if (isOvertaken(before, 'life', event.order)) return unchanged(before);
  const site = ordered(before, 'life', event.order);
  const to = asItIs(site, event.at);
  switch (site.status) {
    case 'held':
    case 'absent':
      return unchanged(site);
    case 'queued':
      return { next: { ...site, ...restarted(common(site), to, site.endsAt), rebuild: true }, effects: BOTH };
    case 'building':
    case 'deploying':
    case 'ready':
    case 'failed':
      return { next: waiting({ ...restarted(common(site), to, site.endsAt), rebuild: true }, event.at), effects: BOTH };
    case 'ended':
      return { next: waiting({ ...restarted(common(site), to, null), rebuild: true }, event.at), effects: BOTH };
    case 'ending': {
      const base = { ...restarted(common(site), to, null), rebuild: true };
      return { next: { ...base, status: 'ending', reason: site.reason, revive: true }, effects: REPORT };
    }
    default:
      return site satisfies never;
  }
}

/** It ends, and stays down until somebody asks for it. */
export function afterStop(before: Site, event: News<'stopped'>): Change {
  if (before.status === 'absent' || isOvertaken(before, 'life', event.order)) return unchanged(before);
  const site = ordered(before, 'life', event.order);
  const ruledAt = event.order === null ? event.at : site.ruledAt;
  return afterEnd({ ...site, ruledAt, wishes: { ...site.wishes, kept: false } }, { kind: 'stopped', by: event.by });
}

/** The end is moved, within the limit; one that is reached already cannot be. */
export function afterExtension(site: Site, event: News<'extended'>): Change {
  if (isOver(site)) return unchanged(site);
  const endsAt = endAfterExtension(site.endsAt, event.byMs, { clockStart: site.clockStart, terms: site.terms });
  return endsAt.getTime() === site.endsAt.getTime() ? unchanged(site) : { next: { ...site, endsAt }, effects: REPORT };
}

/** The end is at the limit, now and after each push. */
export function afterKeep(site: Site): Change {
  if (isOver(site) || site.wishes.kept) return unchanged(site);
  const endsAt = endAtLimit(site.terms, site.clockStart);
  return { next: { ...site, endsAt, wishes: { ...site.wishes, kept: true } }, effects: REPORT };
}

/** Less than an hour is left: said of a life that was longer than that. */
export function afterEndNears(site: Site, { at }: News<'endNeared'>): Change {
  if (isOver(site) || site.endNears || isFar(site.endsAt, at)) return unchanged(site);
  return { next: { ...site, endNears: true }, effects: isFar(site.endsAt, site.clockStart) ? REPORT : [] };
}

/** Launches from the next on are in this region. */
export function afterRegion(before: Site, { region, order }: News<'regionChosen'>): Change {
  if (isOvertaken(before, 'region', order)) return unchanged(before);
  const site = ordered(before, 'region', order);
  return { next: { ...site, wishes: { ...site.wishes, region } }, effects: [] };
}

/** Whether its processes run is nothing that the row knows: only which of these commands was the last. */
export function afterRest(site: Site, { order }: News<'restAsked'>): Change {
  return isOvertaken(site, 'rest', order) ? unchanged(site) : { next: ordered(site, 'rest', order), effects: [] };
}

/** Allows what waits, when it is still that, and so asks for its deploy. */
export function afterApproval(site: Site, { approval, at }: News<'approved'>): Change {
  if (site.status !== 'held' || !isApproved(site.head, approval)) return unchanged(site);
  return { next: waiting({ ...restarted(common(site), asItIs(site, at), site.endsAt), approval }, at), effects: BOTH };
}

/** What was approved and no longer is waits again; what visitors have of an approved commit they keep. */
export function afterLapse(site: Site, { sha, at }: News<'approvalLapsed'>): Change {
  if (isOver(site) || site.approval === null || site.head.sha !== sha) return unchanged(site);
  return { next: waiting({ ...common(site), approval: null }, at), effects: BOTH };
}

/** There is something to say to somebody, which takes the place of what was said before. */
export function afterNotice(site: Site, { notice }: News<'noticed'>): Change {
  return { next: { ...site, notice }, effects: REPORT };
}
