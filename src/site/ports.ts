import type { LaunchId, PullRef, Repository, Sha, SiteId } from './identity.ts';
import type { Head, Served, Stage } from './site.ts';

// ——— The forge, in three ports. Every adapter implements all of each; one contract suite runs against every adapter. ———

/** GitLab's Guest is `none`, Reporter `read`, Developer `write`, Maintainer `maintain`, Owner `admin`. */
export type Permission = 'none' | 'read' | 'write' | 'maintain' | 'admin';

/** A pull as the forge has it right now. */
export type PullNow = {
  readonly number: number;
  readonly state: 'open' | 'closed' | 'merged';
  /** By the forge's clock; null while it is open. */
  readonly closedAt: Date | null;
  readonly labels: readonly string[];
  readonly head: Head;
};

/** What is asked of the forge. Throws Fault `forge-unreachable`, `forge-refused`, `forge-limited` or `access-gone`. */
export interface Facts {
  /** What the forge lets this user do in the repository now. */
  permission(repository: Repository, user: { readonly id: number; readonly login: string }): Promise<Permission>;
  /** The text of a file at a branch or commit; undefined when there is none. A file over `maxBytes` is Fault `forge-refused`. */
  file(repository: Repository, at: { readonly ref: string; readonly path: string; readonly maxBytes: number }): Promise<string | undefined>;
  /** Undefined when there is no such pull. */
  pull(repository: Repository, number: number): Promise<PullNow | undefined>;
  /** Paths that the pull changes, old names of what it moves included; null when there are more than the forge lists. */
  changedPaths(repository: Repository, number: number): Promise<readonly string[] | null>;
  /** Every open pull, all pages. */
  openPulls(repository: Repository): Promise<readonly PullNow[]>;
  /** The repository under its name of today; undefined when it is gone or out of our reach. */
  repository(repository: Pick<Repository, 'forge' | 'id' | 'access'>): Promise<Repository | undefined>;
  /** Every access that we have been given; one that is suspended opens nothing and is none. */
  accesses(): Promise<readonly string[]>;
  /** Every repository that this access opens, all pages. */
  repositories(access: string): Promise<readonly Repository[]>;
}

/** Where on the forge a site speaks. */
export type Place = { readonly repository: Repository; readonly number: number; readonly site: SiteId };

/** Where something deployed stands. `site` is null on a forge that has no room to note it: there it is the pull's site. */
export type DeployedPlace = Omit<Place, 'site'> & { readonly site: SiteId | null };

export type Check = {
  readonly sha: Sha;
  readonly status: 'queued' | 'inProgress' | 'success' | 'failure' | 'neutral' | 'cancelled';
  readonly title: string;
  /** Markdown. */
  readonly summary: string;
  /** Markdown with the log's tail; may be empty. */
  readonly text: string;
  readonly url: string | null;
};

export type Deployment = {
  readonly sha: Sha;
  readonly state: 'queued' | 'inProgress' | 'success' | 'failure';
  readonly url: string | null;
  readonly description: string;
};

/** What is said on the forge. `known` is the id that an earlier call returned; a stale or missing one is searched for. */
export interface Voice {
  /**
   * Creates or edits the one comment that bears `marker` and is ours; the oldest if there are several. Returns its id and address. What is
   * said in passing is refused with `forge-limited` sooner, so that other words keep their share of what the forge allows.
   */
  ensureComment(
    place: Place,
    comment: { readonly marker: string; readonly body: string; readonly known: string | null; readonly isPassing?: boolean },
  ): Promise<{ readonly id: string; readonly url: string }>;
  /** Creates or updates the check `mayfly` of that commit. Returns its id and the page that shows it. */
  ensureCheck(place: Place, check: Check, known: string | null): Promise<{ readonly id: string; readonly url: string }>;
  /**
   * Creates the commit's deployment or gives it a new state; when it is `success`, the pull's older ones are made inactive. `remembered`:
   * ids of the site's other deployments, for a forge on which nothing else may say that they are ours.
   */
  ensureDeployment(
    place: Place,
    deployment: Deployment,
    known: string | null,
    remembered?: readonly string[],
  ): Promise<{ readonly id: string }>;
  /** Makes every deployment that we made for this site inactive, and deletes it. */
  removeDeployments(place: DeployedPlace, remembered?: readonly string[]): Promise<void>;
  /** Every place for which a deployment of ours stands in the repository, whatever the site has come to. */
  deployedPlaces(repository: Repository): Promise<readonly DeployedPlace[]>;
  /** 👀 👍 👎 😕 on a comment; the earlier of ours on it gives way. */
  react(at: Omit<Place, 'site'>, comment: string, reaction: 'taken' | 'done' | 'refused' | 'confused'): Promise<void>;
}

/** How git reaches a repository. */
export interface Source {
  /** `url` never holds a secret; `authorization` is the value of that header, minted for this call. */
  address(repository: Repository): Promise<{ readonly url: string; readonly authorization: string | null }>;
  /** The reference in the repository that leads to a pull's newest commit, of a fork's pull too. */
  headRef(number: number): string;
}

/** A webhook that the forge could not bring to us: none of its attempts succeeded. */
export type FailedDelivery = {
  /** What the inbox would know it by: the same for every attempt. */
  readonly id: string;
  /** What the forge knows the attempt by that is to be repeated. */
  readonly attempt: string;
  /** In the forge's own words, for the operator. */
  readonly event: string;
  readonly at: Date;
};

/** What the forge remembers of the webhooks that it sent us. Throws the Faults of `Facts`. */
export interface Deliveries {
  /**
   * What failed since then, in the order in which it is to be asked for again. `until` is the time of the newest attempt that there was;
   * `cut` when there were more attempts than one look takes, the oldest of which were not looked at.
   */
  failed(since: Date): Promise<{ readonly failed: readonly FailedDelivery[]; readonly until: Date | null; readonly cut: boolean }>;
  /** Asks the forge to send it once more. Resolves before it has come; a forge that tells at once that it could not may throw. */
  redeliver(delivery: FailedDelivery): Promise<void>;
}

// ——— The target ———

/** Proof that we hold a lease. What is safe only under it takes it as an argument. */
export interface Held {
  readonly name: string;
  readonly holder: string;
  /** Grows with each holder; writes of an older epoch are refused. */
  readonly epoch: number;
  /** Aborted when the lease is lost. */
  readonly signal: AbortSignal;
}

/** What a build made and a target can run: each target has a builder of its own. */
export type Artefact = FolderArtefact | ImageArtefact;

/** A folder that nobody writes to any more. */
export type FolderArtefact = {
  /** Hash over the built trees, the effective build settings, the Node version and the trust. */
  readonly key: string;
  readonly folder: string;
  /** `command` is run by `sh -c` in `folder/cwd`; a static folder is served by the gate. Paths are relative to `folder`. */
  readonly runtime:
    | { readonly kind: 'process'; readonly command: string; readonly cwd: string }
    | { readonly kind: 'static'; readonly output: string };
  /** What was detected, for the comment: `npm, \`npm run build\`, \`npm start\``. */
  readonly detected: string;
};

/** An image by its content: `REGION-docker.pkg.dev/PROJECT/REPOSITORY/SITE@sha256:…`. A static site's has a server in it. */
export type ImageArtefact = Pick<FolderArtefact, 'key' | 'detected'> & { readonly image: string };

export type RunSettings = {
  readonly env: Readonly<Record<string, string>>;
  readonly port: number;
  /** Path that is polled until it answers 2xx or 3xx. */
  readonly health: string;
  readonly idleMs: number;
};

/** `seed` is the absolute path of a file named for the SHA-256 of its content, or null for an empty database. */
export type DatabaseWish = {
  readonly engine: 'postgres';
  readonly seed: { readonly name: string; readonly file: string; readonly sha256: string } | null;
};

export type DeployOrder = {
  readonly site: SiteId;
  readonly pull: PullRef;
  readonly revision: LaunchId;
  /** What visitors get until this order succeeds; it stays untouched until `settle`. */
  readonly live: LaunchId | null;
  /** Settled, never rejected, once no `prepare` of this launch runs any more: until then the site's stack is its. */
  readonly prepared: Promise<void>;
  /**
   * Makes what is to be run, and tells of the stages `build` and `deploy`. Called once: at once, or beside what needs no build.
   * Throws the builder's Faults, and `approval-void`.
   */
  readonly build: () => Promise<Artefact>;
  /** Asks the forge again, for what is tried again without a build. Throws Fault `approval-void`. */
  readonly mayGoOn: () => Promise<void>;
  readonly run: RunSettings;
  readonly database: DatabaseWish | null;
  readonly region: string;
  readonly trust: Head['trust'];
};

export type Watch = {
  readonly signal: AbortSignal;
  readonly log: (chunk: string) => void;
  readonly entered: (stage: Stage) => void;
  /** Told of what is still to be logged when its own work is done: the launch is over when that is. It must not throw. */
  readonly later: (rest: Promise<void>) => void;
};

/** Something that wears our label. */
export type Found = {
  readonly kind: 'stack' | 'process' | 'database' | 'artefact' | 'socket' | 'service' | 'image' | 'source' | 'build';
  readonly name: string;
  /** Whose it is; `nobody`: ours, and no site's for certain; null: that cannot be told. */
  readonly site: SiteId | 'nobody' | null;
  /** Of what leads a site's visitors to its newest launch by itself: where, and which launch, in lower case; null when it does not say. */
  readonly serving?: { readonly origin: string; readonly launch: string | null };
};

export interface Target {
  /** What a site's first deploy needs whatever is deployed, done while the build still runs. A deploy without it does it itself. */
  prepare(held: Held, site: SiteId, watch: Pick<Watch, 'signal'>): Promise<void>;
  /**
   * Puts the order up beside what is live, and polls its health. Resolves when it would answer visitors; nothing was switched yet.
   * Throws Fault `start-failed`, `health-timeout`, `seed-failed`, `deploy-failed`, `disk-full`; then what was live is as it was.
   */
  deploy(held: Held, order: DeployOrder, watch: Watch): Promise<Served>;
  /** Stops every revision of the site but `keep`. Idempotent. */
  settle(held: Held, site: SiteId, keep: LaunchId | null): Promise<void>;
  /** Removes all that the site has on the target: processes, sockets, database, role, stack. Idempotent. */
  destroy(held: Held, site: SiteId, watch: Pick<Watch, 'signal'>): Promise<void>;
  /** Stops the processes of what is live; the next visitor, or `wake`, starts them. Idempotent. @returns whether there are any */
  sleep(site: SiteId, live: LaunchId): Promise<boolean>;
  /** Starts them. Throws Fault `wake-failed`. @returns whether there are any */
  wake(site: SiteId, live: LaunchId): Promise<boolean>;
  /** The end of what the site's app has said itself, without its secrets; empty when it has said nothing. */
  appLog(site: SiteId, lines: number): Promise<string>;
  /** Everything there that is ours; another Mayfly's is not. */
  survey(): Promise<readonly Found[]>;
  /** Removes what a survey found to be nobody's, if it still is. Idempotent. */
  discard(found: Found): Promise<void>;
}

/** Where something of sites is kept that must not outlive them: the target, and what was built for them. */
export type Stock = Pick<Target, 'survey' | 'destroy' | 'discard'>;

// ——— The supervisor of local processes, which the target orders and the gate reaches ———

export type ServiceSpec = {
  /** `<site>/<revision>`; the same name with the same spec is the same service. */
  readonly name: string;
  readonly site: SiteId;
  readonly folder: string;
  readonly cwd: string;
  readonly command: string;
  readonly env: Readonly<Record<string, string>>;
  readonly port: number;
  readonly health: string;
  readonly idleMs: number;
  /** The sites' PostgreSQL is reachable inside on 127.0.0.1:5432 when true. */
  readonly database: 'none' | 'postgres';
};

export type ServiceState = {
  readonly name: string;
  readonly site: SiteId;
  readonly state: 'asleep' | 'starting' | 'running' | 'crashed';
  readonly pid: number | null;
  readonly restarts: number;
  /** Name of the database that it was given. */
  readonly database: string | null;
};

export interface Supervisor {
  /** Starts it and polls its health; resolves when it answers. Throws Fault `start-failed` or `health-timeout`. Idempotent. */
  start(spec: ServiceSpec, watch: { readonly signal: AbortSignal; readonly log: (chunk: string) => void }): Promise<void>;
  /** Stops it (SIGTERM, 5 s, SIGKILL of everything in its sandbox) and forgets it. Idempotent. */
  remove(name: string): Promise<void>;
  list(): Promise<readonly ServiceState[]>;
  /** Ends its processes; whoever reaches for it starts them again. @returns whether there is such a service */
  sleep(name: string): Promise<boolean>;
  /** The end of the site's own output, its secrets masked. */
  said(site: SiteId, lines: number): Promise<string>;
  /** What lies in its folders and belongs to none of its services. */
  strays(): Promise<readonly Found[]>;
  /** Removes a stray socket, unless a service has it by now. */
  removeStray(name: string): Promise<void>;
}

/** What the gate asks of whoever runs the processes. */
export interface Runner {
  /** The unix socket behind which the service answers; wakes it first if it sleeps. Throws Fault `wake-failed`. */
  reach(service: string): Promise<{ readonly socket: string }>;
  /** Keeps it awake until disposed of; its idle time starts then. */
  visit(service: string): Disposable;
  /** Whether `reach` would have to wait. */
  isAwake(service: string): boolean;
}

/** New ids, injected so that tests are their master. */
export type NewId = () => string;
