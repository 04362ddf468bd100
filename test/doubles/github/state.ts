/** What the emulated GitHub knows. Everything lives in memory but the git objects. */
export type Role = 'none' | 'read' | 'triage' | 'write' | 'maintain' | 'admin';
export type User = { readonly id: number; readonly login: string; readonly type: 'User' | 'Bot' | 'Organization' };

export type Repo = {
  readonly id: number;
  owner: User;
  name: string;
  readonly private: boolean;
  /** A fork has no git of its own here: GitHub keeps a network's objects together, and only the base is ever fetched from. */
  readonly fork: boolean;
  defaultBranch: string;
  /** Bare repository on disk; null for a fork. */
  readonly git: string | null;
  installed: boolean;
  deleted: boolean;
  readonly roles: Map<string, Role>;
  /** `owner/name` of before, which GitHub redirects until somebody else takes it. */
  readonly formerNames: string[];
  nextNumber: number;
  readonly pulls: Map<number, Pull>;
};

export type Pull = {
  readonly id: number;
  readonly number: number;
  readonly repository: Repo;
  readonly author: User;
  readonly branch: string;
  readonly createdAt: string;
  title: string;
  body: string | null;
  base: string;
  sha: string;
  /** Null once the fork is deleted. */
  headRepository: Repo | null;
  state: 'open' | 'closed';
  mergedAt: string | null;
  closedAt: string | null;
  draft: boolean;
  locked: boolean;
  labels: string[];
};

export type Reaction = { readonly id: number; readonly user: User; readonly content: string };
export type Comment = {
  readonly id: number;
  readonly repository: Repo;
  readonly number: number;
  readonly author: User;
  readonly viaApp: number | null;
  readonly createdAt: string;
  updatedAt: string;
  body: string;
  /** Every body it ever had, the first first. */
  readonly bodies: string[];
  reactions: Reaction[];
  /** What was ever reacted with, the first first, also what was taken back. */
  readonly reacted: string[];
};

export type CheckRun = {
  readonly id: number;
  readonly repository: Repo;
  readonly name: string;
  readonly sha: string;
  readonly startedAt: string;
  externalId: string;
  status: 'queued' | 'in_progress' | 'completed';
  conclusion: string | null;
  detailsUrl: string | null;
  completedAt: string | null;
  output: { title: string | null; summary: string | null; text: string | null };
  /** Every status or conclusion it went through. */
  readonly path: string[];
};

export type DeploymentStatus = {
  readonly id: number;
  readonly state: string;
  readonly description: string;
  readonly environmentUrl: string;
  readonly logUrl: string;
  readonly createdAt: string;
};
export type Deployment = {
  readonly id: number;
  readonly repository: Repo;
  readonly sha: string;
  readonly ref: string;
  readonly task: string;
  readonly environment: string;
  readonly description: string | null;
  readonly payload: unknown;
  readonly transient: boolean;
  readonly production: boolean;
  readonly creator: User;
  readonly viaApp: number | null;
  readonly createdAt: string;
  /** Oldest first. */
  readonly statuses: DeploymentStatus[];
};

export type Installation = { readonly id: number; readonly account: User; suspended: boolean; deleted: boolean };
export type Token = { readonly token: string; readonly installation: Installation; expiresAt: number };

export type State = {
  /** Deleted: GitHub knows nothing of it any more. */
  readonly app: { readonly id: number; readonly slug: string; readonly bot: User; deleted: boolean };
  readonly permissions: Readonly<Record<string, string>>;
  readonly events: readonly string[];
  readonly users: Map<string, User>;
  readonly repositories: Map<number, Repo>;
  readonly installations: Map<number, Installation>;
  readonly tokens: Map<string, Token>;
  readonly comments: Map<number, Comment>;
  readonly checks: Map<number, CheckRun>;
  readonly deployments: Map<number, Deployment>;
  /** Names of environments, which stay when their deployments are gone; by repository id. */
  readonly environments: Map<number, Set<string>>;
  nextId(): number;
  now(): string;
};

export function createState(app: { readonly permissions: Readonly<Record<string, string>>; readonly events: readonly string[] }): State {
  // Beyond 32 bits, as GitHub's comment ids are.
  let id = 5_000_000_000;
  const nextId = () => ++id;
  const bot: User = { id: nextId(), login: 'mayfly-preview[bot]', type: 'Bot' };
  return {
    app: { id: 410_207, slug: 'mayfly-preview', bot, deleted: false },
    ...app,
    users: new Map([[bot.login, bot]]),
    repositories: new Map(),
    installations: new Map(),
    tokens: new Map(),
    comments: new Map(),
    checks: new Map(),
    deployments: new Map(),
    environments: new Map(),
    nextId,
    now: () => `${new Date().toISOString().slice(0, 19)}Z`,
  };
}

export const fullName = (repo: Repo): string => `${repo.owner.login}/${repo.name}`;

/** The user of that login, made when there is none. */
export function ensureUser(state: State, login: string, type: User['type'] = 'User'): User {
  const found = state.users.get(login);
  if (found) return found;
  const user: User = { id: state.nextId(), login, type };
  state.users.set(login, user);
  return user;
}

/** The live repository of that name; `moved` when the name is a former one that nobody took since. */
export function findRepo(state: State, name: string): { readonly repo: Repo; readonly moved: boolean } | undefined {
  const wanted = name.toLowerCase();
  const live = [...state.repositories.values()].filter((repo) => !repo.deleted);
  const repo = live.find((candidate) => fullName(candidate).toLowerCase() === wanted);
  if (repo) return { repo, moved: false };
  const former = live.find((candidate) => candidate.formerNames.some((old) => old.toLowerCase() === wanted));
  return former ? { repo: former, moved: true } : undefined;
}

export function installationOf(state: State, owner: User): Installation | undefined {
  return [...state.installations.values()].find((one) => one.account.id === owner.id && !one.deleted);
}

export function roleOf(repo: Repo, login: string): Role {
  if (repo.owner.login === login) return 'admin';
  return repo.roles.get(login) ?? (repo.private ? 'none' : 'read');
}
