/**
 * What the emulated GitLab knows. Everything lives in memory but the git objects. Names are those of GitHub's double where the thing is the
 * same, so that a suite can speak of either: a repository is a project, a pull a merge request, its number the `iid`, a comment a note.
 */

/** https://docs.gitlab.com/api/access_requests/#valid-access-levels: Minimal, Guest, Planner, Reporter, Developer, Maintainer, Owner, Admin. */
export type Level = 5 | 10 | 15 | 20 | 30 | 40 | 50 | 60;
/** GitHub's words for the roles; `none` is a Guest, who may talk and no more. `stranger` is no member at all. */
export type Role = 'stranger' | 'none' | 'read' | 'triage' | 'write' | 'maintain' | 'admin';
export const LEVELS = { none: 10, read: 20, triage: 20, write: 30, maintain: 40, admin: 50 } as const;

export type User = {
  readonly id: number;
  readonly login: string;
  readonly type: 'User' | 'Bot';
  state: 'active' | 'blocked' | 'banned' | 'deactivated';
};
/** A group or subgroup; `login` is its full path. A group's owner is a user of its (first) name: GitLab keeps these apart, no test needs to. */
export type Group = { readonly id: number; readonly login: string; readonly parent: Group | null; readonly roles: Map<string, Level> };

export type Repo = {
  readonly id: number;
  owner: Group;
  name: string;
  readonly private: boolean;
  /** The project that it was forked from. A fork has no git of its own here: GitLab copies what a merge request brings into the target. */
  readonly forkedFrom: Repo | null;
  defaultBranch: string;
  /** Bare repository on disk; null for a fork. */
  readonly git: string | null;
  deleted: boolean;
  /** Read-only for everybody. */
  archived: boolean;
  /** `YYYY-MM-DD` on which it goes; until then it is there, read-only, under another path. */
  deletedOn: string | null;
  readonly roles: Map<string, Level>;
  /** Members whose seat awaits approval (`membership_state: awaiting`): they have no rights yet. */
  readonly awaiting: Set<string>;
  /** Full paths of before, which GitLab redirects until somebody else takes them. */
  readonly formerNames: string[];
  nextNumber: number;
  readonly pulls: Map<number, Pull>;
  readonly hooks: Map<number, Hook>;
};

export type Pull = {
  readonly id: number;
  /** GitLab's `iid`. */
  readonly number: number;
  readonly repository: Repo;
  readonly author: User;
  readonly branch: string;
  readonly createdAt: string;
  updatedAt: string;
  /** Without the `Draft: ` that GitLab keeps in it. */
  title: string;
  body: string | null;
  base: string;
  sha: string;
  /** Null once the fork is deleted. */
  headRepository: Repo | null;
  /** `opened` and `closed` in the API, or `merged` when `mergedAt` is set. */
  state: 'open' | 'closed';
  mergedAt: string | null;
  mergeCommit: string | null;
  closedAt: string | null;
  draft: boolean;
  locked: boolean;
  labels: string[];
};

export type Reaction = { readonly id: number; readonly user: User; readonly content: string; readonly createdAt: string };
export type Comment = {
  readonly id: number;
  readonly repository: Repo;
  readonly number: number;
  readonly author: User;
  readonly createdAt: string;
  readonly system: boolean;
  readonly internal: boolean;
  updatedAt: string;
  body: string;
  /** Every body it ever had, the first first. */
  readonly bodies: string[];
  reactions: Reaction[];
  /** What was ever reacted with, the first first, also what was taken back. */
  readonly reacted: string[];
};

export type CommitState = 'pending' | 'running' | 'success' | 'failed' | 'canceled' | 'skipped';
export type CommitStatus = {
  readonly id: number;
  readonly repository: Repo;
  readonly pipeline: number;
  readonly sha: string;
  readonly ref: string;
  readonly name: string;
  readonly user: User;
  readonly createdAt: string;
  status: 'created' | CommitState;
  targetUrl: string | null;
  description: string | null;
  startedAt: string | null;
  finishedAt: string | null;
  /** A newer one of that name stands in its place; only `all=true` shows it. */
  retried: boolean;
  /** Every state it went through. */
  readonly path: CommitState[];
};

export type Environment = {
  readonly id: number;
  readonly repository: Repo;
  readonly name: string;
  readonly slug: string;
  readonly createdAt: string;
  updatedAt: string;
  externalUrl: string | null;
  tier: string;
  state: 'available' | 'stopped';
  /** Every address that it ever had. */
  readonly urls: (string | null)[];
};
export type DeploymentState = 'created' | 'running' | 'success' | 'failed' | 'canceled';
export type Deployment = {
  readonly id: number;
  readonly iid: number;
  readonly repository: Repo;
  readonly environment: Environment;
  readonly sha: string;
  readonly ref: string;
  readonly tag: boolean;
  readonly user: User;
  /** Id of the pipeline's job that made it; null: made over the API. */
  readonly job: number | null;
  readonly createdAt: string;
  updatedAt: string;
  status: DeploymentState;
  /** Oldest first. */
  readonly statuses: { readonly state: DeploymentState }[];
};

/** A project's webhook. */
export type Hook = {
  readonly id: number;
  readonly repository: Repo;
  readonly uuid: string;
  readonly createdAt: string;
  url: string;
  name: string | null;
  description: string | null;
  token: string | null;
  /** `whsec_…`; never shown. */
  signingToken: string | null;
  readonly events: Map<string, boolean>;
  sslVerification: boolean;
  branchFilter: string | null;
  branchFilterStrategy: string;
  /** Failures in a row. */
  failures: number;
  disabledUntil: number | null;
  /** Made by the double, not through the API: its address follows `sendWebhooksTo`. */
  readonly planted: boolean;
};

export type Token = {
  readonly id: number;
  readonly token: string;
  readonly name: string;
  readonly user: User;
  readonly scopes: readonly string[];
  /** `YYYY-MM-DD`. */
  expiresAt: string;
  revoked: boolean;
};

export type State = {
  /** Whom Mayfly's token belongs to. */
  readonly us: User;
  readonly users: Map<string, User>;
  readonly groups: Map<string, Group>;
  readonly repositories: Map<number, Repo>;
  readonly tokens: Map<string, Token>;
  readonly comments: Map<number, Comment>;
  readonly statuses: Map<number, CommitStatus>;
  readonly environments: Map<number, Environment>;
  readonly deployments: Map<number, Deployment>;
  nextId(): number;
  now(): string;
};

export function createState(we: { readonly login: string; readonly type: User['type'] }): State {
  // One sequence for all kinds, so that an id taken for another's is never found by luck.
  let id = 71_000_000;
  const nextId = () => ++id;
  const us: User = { id: nextId(), ...we, state: 'active' };
  return {
    us,
    users: new Map([[us.login, us]]),
    groups: new Map(),
    repositories: new Map(),
    tokens: new Map(),
    comments: new Map(),
    statuses: new Map(),
    environments: new Map(),
    deployments: new Map(),
    nextId,
    now: () => new Date().toISOString(),
  };
}

export const fullName = (repo: Repo): string => `${repo.owner.login}/${repo.name}`;

/** The user of that login, made when there is none. */
export function ensureUser(state: State, login: string, type: User['type'] = 'User'): User {
  const found = state.users.get(login);
  if (found) return found;
  const user: User = { id: state.nextId(), login, type, state: 'active' };
  state.users.set(login, user);
  return user;
}

/** The group of that full path and those above it, made when there are none, each owned by the user of the first one's name. */
export function ensureGroup(state: State, path: string): Group {
  const found = state.groups.get(path);
  if (found) return found;
  const above = path.split('/').slice(0, -1).join('/');
  const parent = above === '' ? null : ensureGroup(state, above);
  const owner = ensureUser(state, path.split('/')[0] ?? path);
  const group: Group = { id: state.nextId(), login: path, parent, roles: new Map([[owner.login, 50]]) };
  state.groups.set(path, group);
  return group;
}

export const ownerOf = (state: State, repo: Repo): User => ensureUser(state, repo.owner.login.split('/')[0] ?? '');

/** The live project of that path; `moved` when the path is a former one that nobody took since. */
export function findRepo(state: State, name: string): { readonly repo: Repo; readonly moved: boolean } | undefined {
  const wanted = name.toLowerCase();
  const live = [...state.repositories.values()].filter((repo) => !repo.deleted);
  const repo = live.find((candidate) => fullName(candidate).toLowerCase() === wanted);
  if (repo) return { repo, moved: false };
  const former = live.find((candidate) => candidate.formerNames.some((old) => old.toLowerCase() === wanted));
  return former ? { repo: former, moved: true } : undefined;
}

/** The highest level that the project or a group above it gives; undefined for who is no member. */
export function levelOf(repo: Repo, login: string): Level | undefined {
  const given: Level[] = [];
  const direct = repo.roles.get(login);
  if (direct !== undefined) given.push(direct);
  for (let group: Group | null = repo.owner; group; group = group.parent) {
    const level = group.roles.get(login);
    if (level !== undefined) given.push(level);
  }
  return given.sort((a, b) => b - a)[0];
}

/** What the user may do there: 0 for a stranger, and for a member who is blocked or awaits a seat. */
export function rightsOf(repo: Repo, user: User): number {
  if (user.state !== 'active' || repo.awaiting.has(user.login)) return 0;
  return levelOf(repo, user.login) ?? 0;
}
