import type { Notice } from './answer.ts';
import { endAfterRestart, isFar, type Terms } from './deadline.ts';
import { type Home, NO_HOME } from './home.ts';
import type { LaunchId, PullRef, RepositoryId, Sha, SiteId } from './identity.ts';
import type { Details, ProblemCode } from './problem.ts';
import {
  afterClose,
  afterDeployAsked,
  afterDoubt,
  afterEnd,
  afterFailure,
  afterHead,
  afterLaunchStarted,
  afterPassingOver,
  afterRemoval,
  afterStage,
  afterSuccess,
  BOTH,
  isOver,
  unchanged,
  waiting,
} from './site-changes.ts';
import type { SiteEvent, Topic } from './site-news.ts';
import { afterPlace } from './site-places.ts';
import {
  afterApproval,
  afterEndNears,
  afterExtension,
  afterKeep,
  afterLapse,
  afterNotice,
  afterRebuildAsked,
  afterRegion,
  afterRest,
  afterStop,
  NO_WISHES,
} from './site-wishes.ts';

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
  readonly draft: boolean;
};

/** Somebody with write access allowed one commit of one repository on one base branch to be built and run. */
export type Approval = {
  readonly sha: Sha;
  /** Null when the fork was gone already. */
  readonly repository: RepositoryId | null;
  readonly base: string;
  readonly by: { readonly id: number; readonly login: string };
};

/** What people asked for in comments and what outlives a push. */
export type Wishes = {
  /** Until the pull closes, or the limit. */
  readonly kept: boolean;
  /** The region, in place of that in the settings. */
  readonly region: string | null;
  /** The newest command of each topic that was carried out. */
  readonly newest: Readonly<Record<Topic, number>>;
};

/** Why an open pull has no site of its own accord. `root`: the folder that is built, which it does not touch. */
export type PassedOver =
  | { readonly why: 'draft' | 'no-label' | 'awaits-command' | 'closed' }
  | { readonly why: 'nothing-touched'; readonly root: string };

/** How visitors are served: by a process that the supervisor runs, by files that the gate sends itself, or by a service in a region (`https://…run.app`). */
export type Served =
  | { readonly kind: 'process'; readonly service: string }
  | { readonly kind: 'static'; readonly folder: string }
  | { readonly kind: 'remote'; readonly origin: string; readonly region: string };

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
  readonly home: Home;
  readonly terms: Terms;
  /** When the clock was last started: by a push or a deploy, as it was asked for or first stood. The end is at most `terms.maxTtlMs` after it. */
  readonly clockStart: Date;
  readonly endsAt: Date;
  /** When `head.sha` was first seen. */
  readonly pushedAt: Date;
  /** Whether the pull had another commit before, or may have had. */
  readonly moved: boolean;
  readonly createdAt: Date;
  /** How the pull was closed when we last looked; null while it is open. A site that was asked for after that lives on until its end. */
  readonly closedAs: 'closed' | 'merged' | null;
  /** When it last was, by the forge's clock; null when that is not known. */
  readonly closedAt: Date | null;
  /** When it was last seen to stand otherwise, its commit apart: another base, head repository or draft state, a reopening; null: never. */
  readonly turnedAt: Date | null;
  /** When it was last ended from outside the pull, which no comment comes after by its number; null: never. */
  readonly ruledAt: Date | null;
  /** Of a fork's commit. Whether it is that of `head` is asked with `isApproved`. */
  readonly approval: Approval | null;
  readonly wishes: Wishes;
  /** `taken`: it counts among the sites that its repository may have at once; `refused`: it waits for one of them to go. */
  readonly place: 'none' | 'refused' | 'taken';
  /** The next launch makes everything anew. */
  readonly rebuild: boolean;
  /** Less than an hour is left of a longer life. */
  readonly endNears: boolean;
  /** What the comment has to say to whoever typed a command last. */
  readonly notice: Notice | null;
  readonly version: number;
};

export type Site = Common &
  /** The pull has no site. What is remembered of it is for those who ask why; it is shown nowhere else. */
  (
    | { readonly status: 'absent'; readonly passed: PassedOver }
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
/** Those that people know: `absent` is none of a site. */
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

/** What has to be done because a site changed, after the commit. `vacate`: its place is free; `occupy`: it waited for one, and has it. */
export type Effect = 'provision' | 'report' | 'vacate' | 'occupy';
export type Change = { readonly next: Site; readonly effects: readonly Effect[] };

/** What nobody has asked for, decided or said yet; also what a row of an earlier version has not. */
export const FRESH = {
  closedAs: null,
  closedAt: null,
  turnedAt: null,
  ruledAt: null,
  approval: null,
  wishes: NO_WISHES,
  home: NO_HOME,
  place: 'none',
  rebuild: false,
  endNears: false,
  notice: null,
  moved: false,
} as const satisfies Partial<Common>;

/** The first life of a site: `queued`, or `held` for a fork's commit; `absent` for a pull that was passed over. */
export function begin(
  birth: { readonly id: SiteId; readonly pull: PullRef; readonly host: string },
  seen: Extract<SiteEvent, { type: 'headSeen' | 'passedOver' }>,
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
    ...FRESH,
    home: { ...NO_HOME, asks: seen.asks ?? null },
    moved: seen.untouched !== true,
    version: 1,
  };
  if (seen.type === 'passedOver') return { next: { ...base, status: 'absent', passed: seen.passed }, effects: ['report'] };
  return { next: waiting(base, seen.at), effects: BOTH };
}

/**
 * The one place where a site changes. Pure. An event that does not apply, or is news of a superseded commit or launch, returns the
 * same object and no effects. Whoever waits for a place is told when one is given up.
 */
export function transition(site: Site, event: SiteEvent): Change {
  const change = changed(site, event);
  if (change.next === site) return change;
  const hasTime = change.next.endNears && isFar(change.next.endsAt, event.at);
  const next = hasTime ? { ...change.next, endNears: false } : change.next;
  if (site.place === 'taken' && next.place !== 'taken') return { next, effects: [...change.effects, 'vacate'] };
  if (site.place === 'refused' && next.place === 'taken') return { next, effects: [...change.effects, 'occupy'] };
  return { next, effects: change.effects };
}

function changed(site: Site, event: SiteEvent): Change {
  switch (event.type) {
    case 'headSeen':
      return afterHead(site, event);
    case 'pullClosed':
      return afterClose(site, event);
    case 'passedOver':
      return afterPassingOver(site, event);
    case 'repositoryRemoved':
      return afterEnd(site, { kind: 'removed' });
    case 'stopped':
      return afterStop(site, event);
    case 'endReached':
      return event.at < site.endsAt || isOver(site) ? unchanged(site) : afterEnd(site, { kind: 'expired' });
    case 'endNeared':
      return afterEndNears(site, event);
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
    case 'launchDoubted':
      return afterDoubt(site, event);
    case 'rebuildAsked':
      return afterRebuildAsked(site, event);
    case 'extended':
      return afterExtension(site, event);
    case 'kept':
      return afterKeep(site);
    case 'regionChosen':
      return afterRegion(site, event);
    case 'restAsked':
      return afterRest(site, event);
    case 'approved':
      return afterApproval(site, event);
    case 'approvalLapsed':
      return afterLapse(site, event);
    case 'placeTaken':
    case 'placeRefused':
    case 'placesChanged':
      return afterPlace(site, event);
    case 'noticed':
      return afterNotice(site, event);
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
