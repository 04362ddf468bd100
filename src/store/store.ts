// The store's shape: what the rest of Mayfly may ask of PostgreSQL. `openStore` (db.ts) puts the parts together.

import type { Answer } from '../site/answer.ts';
import type { Forge, ForgeId, LaunchId, PullRef, Repository, RepositoryId, Sha, SiteId } from '../site/identity.ts';
import type { Held, Permission } from '../site/ports.ts';
import type { Details, ProblemCode } from '../site/problem.ts';
import type { Effect, Site, STATUSES, Stage } from '../site/site.ts';
import type { SiteNews } from '../site/site-news.ts';
import type { Connections, Hooks, Tickets } from './connections.ts';
import type { UsageStore } from './usage.ts';

/** One row of a launch; a site has many. `outcome` is null while it runs; `superseded` when a newer commit or an end overtook it. */
export type Launch = {
  readonly id: LaunchId;
  readonly site: SiteId;
  readonly sha: Sha;
  readonly outcome: 'succeeded' | 'failed' | 'superseded' | 'abandoned' | null;
  readonly reason: { readonly during: Stage; readonly code: ProblemCode; readonly details: Details } | null;
  readonly startedAt: Date;
  readonly finishedAt: Date | null;
  /** Milliseconds; a stage that was not reached is absent. */
  readonly stages: Partial<Readonly<Record<'queued' | Stage, number>>>;
  readonly notes: LaunchNotes;
  /** The end of the log, masked and cleaned of control characters; at most 200 lines and 48 KiB. */
  readonly tail: string;
};

/** What is remembered of a launch beside its stages: most of it is the comment's small print. */
export type LaunchNotes = {
  readonly detected?: string;
  readonly cache?: 'artefact' | 'dependencies' | 'none';
  /** Keys of the pull's own `.mayfly.yml` that were not honoured. */
  readonly ignored?: readonly string[];
  /** Everything wrong with the base branch's `.mayfly.yml`, a sentence each, with line and column. */
  readonly mistakes?: readonly string[];
  /** `settingsDigest` of the base branch's settings that it went by. */
  readonly settings?: string;
};

/** `fresh` is false when what it was because of had been dealt with before: then nothing was changed. */
export type Applied = { readonly site: Site; readonly changed: boolean; readonly fresh: boolean; readonly effects: readonly Effect[] };

/** One line of a comment, typed as a command by somebody whom the forge gave this permission at the time. */
export type CommandGiven = {
  readonly forge: ForgeId;
  /** Id of the comment, and which of its commands it is, from 0. */
  readonly comment: string;
  readonly line: number;
  readonly pull: PullRef;
  readonly typed: string;
  readonly by: { readonly id: number; readonly login: string };
  readonly permission: Permission;
};
/** What came of it; `answer` is null when we died before that was known: it was carried out all the same. */
export type CommandDone = Pick<CommandGiven, 'comment' | 'line' | 'typed'> & {
  readonly by: string;
  readonly permission: string;
  readonly answer: Answer | null;
  readonly at: Date;
};
export interface Commands {
  ofComment(forge: ForgeId, comment: string): Promise<readonly CommandDone[]>;
  /** Writes down what came of it, noted before or not. */
  answered(given: CommandGiven, answer: Answer): Promise<void>;
  /** Newest first. */
  ofPull(pull: PullRef, limit: number): Promise<readonly CommandDone[]>;
  /** How many other comments of people without write access were answered in the repository within the last hour. */
  ofOthersLately(about: Pick<CommandGiven, 'forge' | 'comment'> & { readonly repository: RepositoryId }): Promise<number>;
}

/** Why a site is written and by whom: kept in its history. */
export type Because = {
  /** The lease under which a worker writes; checked in the transaction: an older epoch is Fault `lease-lost`. */
  readonly held?: Held;
  /** A delivery that is marked handled in the same transaction; when it was before, nothing is changed (and `applyToPull` says undefined). */
  readonly delivery?: string;
  /** A command that is noted in the same transaction, and so carried out once. */
  readonly command?: CommandGiven;
};

/** The statuses of sites that people know of. */
export type ShownStatus = (typeof STATUSES)[number];

export type SiteFilter = {
  readonly repository?: string;
  readonly status?: ShownStatus;
  readonly pull?: number;
  readonly after?: string;
  readonly limit: number;
};

export interface Sites {
  get(id: SiteId): Promise<Site>;
  find(id: SiteId): Promise<Site | undefined>;
  findByPull(pull: PullRef): Promise<Site | undefined>;
  /** By first DNS label. An ended site is found too: its name is nobody else's; the remembered pull without a site is not. */
  findByHost(label: string): Promise<Site | undefined>;
  /** Newest first. `next` is the cursor of the following page. */
  list(filter: SiteFilter): Promise<{ readonly sites: readonly Site[]; readonly next: string | null }>;
  /** Every site that is neither `ended` nor `absent`, in pages by id. */
  standing(page: {
    readonly after: SiteId | null;
    readonly limit: number;
    readonly repository?: Pick<Repository, 'forge' | 'id'>;
  }): Promise<readonly Site[]>;
  /** Past `endsAt` by the database's clock and not ending yet. */
  expired(limit: number): Promise<readonly SiteId[]>;
  /** With less than an hour left, which was not noticed yet. */
  nearEnd(limit: number): Promise<readonly SiteId[]>;
  /**
   * Sites to which a worker still owes something and whose lease nobody holds, or whose report on one of `forges` is behind their version. Of those that
   * wait for one of their repository's `maxSites` places only as many as are free, those first that wait for longest.
   */
  unsettled(
    limit: number,
    within: { readonly maxSites: number; readonly forges: readonly ForgeId[] },
  ): Promise<{ readonly provision: readonly SiteId[]; readonly report: readonly SiteId[] }>;
  counts(): Promise<Readonly<Record<ShownStatus, number>>>;
}

export interface Places {
  /** The sites that have the places of a repository, oldest first. */
  holders(repository: Pick<Repository, 'forge' | 'id'>): Promise<readonly Site[]>;
  /** Those that wait for a place of the repository, longest first. */
  waiting(repository: Pick<Repository, 'forge' | 'id'>, limit: number): Promise<readonly SiteId[]>;
  /** How many are before this one in the line for a worker, which is one for all repositories: they take turns. */
  before(queued: SiteId): Promise<number>;
  /** The first in that line. */
  next(limit: number): Promise<readonly SiteId[]>;
}

/** The only writers of a site. Each locks the row, asks `transition`, saves, appends history, and after the commit hands the effects on. */
export type Apply = (site: SiteId, news: SiteNews, because?: Because) => Promise<Applied>;
/**
 * Gives a queued site one of its repository's `max` places when one is free and nobody has waited for longer. `rooms`: the regions that
 * it may be in, most wanted first, and how many sites one takes; it gets the one with the most room.
 */
export type ClaimPlace = (site: SiteId, claim: PlaceClaim) => Promise<Applied>;
export type Rooms = { readonly candidates: readonly string[]; readonly max: number };
export type PlaceClaim = { readonly held: Held; readonly max: number; readonly rooms?: Rooms | null };
/** News of a pull that may have no site yet: `headSeen` and `passedOver` create its row, anything else on none is nothing (undefined). */
export type ApplyToPull = (
  to: { readonly pull: PullRef; readonly host: string },
  news: Extract<SiteNews, { type: 'headSeen' | 'passedOver' | 'pullClosed' }>,
  because?: Because,
) => Promise<Applied | undefined>;

export interface Launches {
  /** Also marks the site's earlier launch that never finished as `abandoned`. */
  start(
    launch: { readonly id: LaunchId; readonly site: SiteId; readonly sha: Sha; readonly queuedMs: number },
    because?: Pick<Because, 'held'>,
  ): Promise<void>;
  note(
    id: LaunchId,
    change: { readonly stages?: Launch['stages']; readonly notes?: LaunchNotes },
    because?: Pick<Because, 'held'>,
  ): Promise<void>;
  finish(id: LaunchId, end: Pick<Launch, 'outcome' | 'reason' | 'tail'>, because?: Pick<Because, 'held'>): Promise<void>;
  /** Newest first. */
  of(site: SiteId, limit: number): Promise<readonly Launch[]>;
  /** The same of many sites in one question; one that was never launched is left out. */
  ofEach(sites: readonly SiteId[], limit: number): Promise<ReadonlyMap<SiteId, readonly Launch[]>>;
  /** When the site's newest launch started, and the database's clock now. */
  lastStart(site: SiteId): Promise<{ readonly startedAt: Date | null; readonly now: Date }>;
}

export interface Inbox {
  /**
   * Stores a delivery before it is answered. `stored`: new, or its first processing died before it was handled (process it);
   * `handled`: done already; `conflict`: the same id with another body (the first wins).
   */
  put(delivery: {
    readonly id: string;
    readonly forge: ForgeId;
    readonly event: unknown;
    readonly digest: string;
  }): Promise<'stored' | 'again' | 'handled' | 'conflict'>;
  get(id: string): Promise<{ readonly event: unknown; readonly attempts: number; readonly handledAt: Date | null } | undefined>;
  handled(id: string): Promise<void>;
  /** A delivery that failed as a bug, or too often: kept, with the reason, for the operator. */
  dead(id: string, reason: string): Promise<void>;
  attempted(id: string): Promise<number>;
  /** Stored longer than `olderThanMs` ago and neither handled nor dead. */
  pending(olderThanMs: number, limit: number): Promise<readonly string[]>;
  /** Drops handled ones older than 30 days. */
  sweep(): Promise<number>;
}

/** What we have asked forges to deliver again: each delivery once. */
export interface Redeliveries {
  /** Attempts up to this time by the forge's clock have been looked at; null: none yet. */
  until(forge: ForgeId): Promise<Date | null>;
  lookedUntil(forge: ForgeId, until: Date): Promise<void>;
  /** Of these, those that never came to us and were never asked for. */
  missed(forge: ForgeId, deliveries: readonly string[]): Promise<ReadonlySet<string>>;
  /** True for the one who may ask for it; everybody later is told false. */
  claim(forge: ForgeId, delivery: string): Promise<boolean>;
  /** It was not asked for after all. */
  release(forge: ForgeId, delivery: string): Promise<void>;
  /** Drops claims that are older than what any forge remembers. */
  sweep(): Promise<number>;
}

export interface HistoryEntry {
  readonly at: Date;
  readonly version: number;
  readonly type: string;
  readonly news: unknown;
}

export interface Repositories {
  ensureForge(forge: Forge): Promise<void>;
  forges(): Promise<readonly Forge[]>;
  /** Inserts or updates name and access; the id stays. */
  seen(repository: Repository): Promise<void>;
  find(forge: ForgeId, id: RepositoryId): Promise<Repository | undefined>;
  all(): Promise<readonly Repository[]>;
  /** The repositories that one access opens. */
  ofAccess(forge: ForgeId, access: string): Promise<readonly Repository[]>;
  forget(forge: ForgeId, id: RepositoryId): Promise<void>;
  /** The next number of a look at the forge; see `Site.observation`. */
  nextObservation(): Promise<number>;
}

/** What we have said on the forge about a site. `version` is the newest site version that it tells. */
export type Said = {
  readonly commentId: string | null;
  readonly commentUrl: string | null;
  readonly comment: string | null;
  /** Check id and address, by commit. */
  readonly checks: Readonly<Record<string, { readonly id: string; readonly url: string; readonly digest: string }>>;
  readonly deployments: Readonly<Record<string, { readonly id: string; readonly digest: string }>>;
  readonly version: number;
};
export interface Reports {
  get(site: SiteId): Promise<Said>;
  save(site: SiteId, said: Said, because?: Pick<Because, 'held'>): Promise<void>;
  /** Whatever stands on the forge is not taken for granted any more: the next report says all of it again. */
  doubt(site: SiteId): Promise<void>;
  /** Whether something that people should read has changed since. */
  isOwed(site: SiteId): Promise<boolean>;
}

export interface Leases {
  /** `application_name` of this process's sessions. Give it to a child that opens its own (Pulumi), so that they end with ours. */
  readonly sessionName: string;
  /**
   * Takes the lease `name` if nobody alive holds it: 15 s of life by the database's clock, renewed every 5 s until disposed of.
   * Taking over from a dead holder bumps the epoch and ends that holder's database sessions (by `application_name`).
   * Undefined when somebody alive holds it.
   */
  take(name: string): Promise<(Held & AsyncDisposable & { readonly tookOverFrom: string | null }) | undefined>;
  /** Throws Fault `lease-lost` unless `held` is still the newest epoch and unexpired. */
  check(held: Pick<Held, 'name' | 'epoch'>): Promise<void>;
}

/** Small things that are made once: the instance's name, fingerprints. */
export interface Keepsakes {
  find(key: string): Promise<string | undefined>;
  ensure(key: string, make: () => string): Promise<string>;
}

/** A line that PostgreSQL tells every process about after a commit. */
export type SiteChanged = { readonly site: SiteId; readonly host: string; readonly version: number };

export interface Store extends AsyncDisposable {
  readonly sites: Sites;
  readonly places: Places;
  readonly apply: Apply;
  readonly applyToPull: ApplyToPull;
  readonly claimPlace: ClaimPlace;
  readonly usage: UsageStore;
  readonly launches: Launches;
  readonly commands: Commands;
  readonly inbox: Inbox;
  readonly repositories: Repositories;
  readonly reports: Reports;
  readonly leases: Leases;
  readonly keepsakes: Keepsakes;
  readonly redeliveries: Redeliveries;
  readonly connections: Connections;
  readonly hooks: Hooks;
  readonly tickets: Tickets;
  history(site: SiteId, limit: number): Promise<readonly HistoryEntry[]>;
  /** Where effects go after a commit; set once by `main`. */
  onEffects(handler: (site: Site, effects: readonly Effect[]) => Promise<void>): void;
  /** LISTEN; listeners are told of `resync` when the connection was away and lines may have been missed. */
  onChange(listener: (change: SiteChanged | 'resync') => void): Disposable;
  /** LISTEN, too: what is connected may have changed. */
  onConnections(listener: () => void): Disposable;
  /** How often the database has been away so far: what failed while this grew says nothing about the commit. */
  losses(): number;
  now(): Promise<Date>;
  /** Whether the database answers, within `ms`. */
  isReachable(ms: number): Promise<boolean>;
}
