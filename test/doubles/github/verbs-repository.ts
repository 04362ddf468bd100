import { join } from 'node:path';
import { commit, type Files, initBare, resolve } from '../git/git.ts';
import { type Deployment, ensureUser, fullName, installationOf, type Repo, type Role, type User } from './state.ts';
import type { Making } from './verbs-pull.ts';

export type NewRepository = {
  /** `owner/name`. */
  readonly name: string;
  readonly files?: Files;
  readonly private?: boolean;
  /** False: it exists, but the app is not installed on it. */
  readonly installed?: boolean;
};

const ZEROS = '0'.repeat(40);

/** What owners do to repositories and to the installation of the app. */
export function repositoryVerbs({ state, hooks, payload }: Making, folder: string) {
  const installationFor = (repo: Repo) => installationOf(state, repo.owner);

  function install(owner: string): void {
    const account = ensureUser(state, owner, 'Organization');
    if (installationOf(state, account)) return;
    const id = state.nextId() - 4_900_000_000;
    state.installations.set(id, { id, account, suspended: false, deleted: false });
  }

  return {
    /** A repository with one commit on `main`, the app installed on it. Private unless said otherwise. */
    async createRepository(wish: NewRepository): Promise<Repo> {
      const [login = '', name = ''] = wish.name.split('/');
      const owner = ensureUser(state, login, 'Organization');
      const id = state.nextId() - 4_000_000_000;
      const bare = join(folder, `${id}.git`);
      const about = { id, owner, name, private: wish.private ?? true, fork: false, defaultBranch: 'main', git: bare, deleted: false };
      const repo: Repo = {
        ...about,
        installed: wish.installed ?? true,
        roles: new Map(),
        formerNames: [],
        nextNumber: 1,
        pulls: new Map(),
      };
      await initBare(bare);
      const files = wish.files ?? { 'README.md': `# ${name}\n` };
      await commit(bare, 'refs/heads/main', { files, message: 'begin', author: login, parents: [] });
      state.repositories.set(id, repo);
      if (repo.installed) install(login);
      return repo;
    },
    /** One more commit on a branch, made from the default one when it is new. Returns its id. */
    async pushToBranch(repo: Repo, branch: string, files: Files): Promise<string> {
      const bare = repo.git ?? '';
      const before = await resolve(bare, `refs/heads/${branch}`);
      const parent = before ?? (await resolve(bare, `refs/heads/${repo.defaultBranch}`));
      const what = { files, message: 'change', author: repo.owner.login, parents: parent ? [parent] : [] };
      const after = await commit(bare, `refs/heads/${branch}`, what);
      const push = { ref: `refs/heads/${branch}`, before: before ?? ZEROS, after, files: Object.keys(files), by: repo.owner };
      await hooks.send({ event: 'push', payload: payload.push(repo, push) });
      return after;
    },
    /** A deployment as ours are, by our app or by another, that is there without our asking for it. */
    plantDeployment(
      repo: Repo,
      wish: { readonly sha: string; readonly site: string; readonly by: 'us' | 'another app'; readonly instance?: string },
    ): Deployment {
      const other: User = { id: state.nextId(), login: 'mayfly-two[bot]', type: 'Bot' };
      const [creator, viaApp] = wish.by === 'us' ? [state.app.bot, state.app.id] : [other, state.app.id + 1];
      const about = { id: state.nextId(), repository: repo, sha: wish.sha, ref: wish.sha, task: 'deploy', environment: 'preview' };
      const kind = {
        description: null,
        transient: true,
        production: false,
        payload: { mayfly: { site: wish.site, pull: 9, ...(wish.instance ? { instance: wish.instance } : {}) } },
      };
      const status = { id: state.nextId(), state: 'success', description: '', environmentUrl: '', logUrl: '', createdAt: state.now() };
      const deployment: Deployment = { ...about, ...kind, creator, viaApp, createdAt: state.now(), statuses: [status] };
      state.deployments.set(deployment.id, deployment);
      return deployment;
    },
    setPermission(repo: Repo, login: string, role: Role): void {
      ensureUser(state, login);
      repo.roles.set(login, role);
    },
    async rename(repo: Repo, name: string): Promise<void> {
      const from = repo.name;
      repo.formerNames.push(fullName(repo));
      repo.name = name;
      await hooks.send({ event: 'repository', payload: payload.repository('renamed', repo, { repository: { name: { from } } }) });
    },
    /** To another owner; the app stays with it only if it is installed there. */
    async transfer(repo: Repo, owner: string): Promise<void> {
      const from = repo.owner;
      repo.formerNames.push(fullName(repo));
      repo.owner = ensureUser(state, owner, 'Organization');
      repo.installed = installationFor(repo) !== undefined;
      const changes = { owner: { from: { organization: { login: from.login, id: from.id } } } };
      await hooks.send({ event: 'repository', payload: payload.repository('transferred', repo, changes) });
    },
    async deleteRepository(repo: Repo): Promise<void> {
      const body = payload.repository('deleted', repo);
      repo.deleted = true;
      await hooks.send({ event: 'repository', payload: body });
    },
    /** Takes the repository out of the installation. */
    async removeRepository(repo: Repo): Promise<void> {
      repo.installed = false;
      await hooks.send({ event: 'installation_repositories', payload: payload.installationRepositories('removed', repo.owner, [repo]) });
    },
    async addRepository(repo: Repo): Promise<void> {
      repo.installed = true;
      install(repo.owner.login);
      await hooks.send({ event: 'installation_repositories', payload: payload.installationRepositories('added', repo.owner, [repo]) });
    },
    install,
    async uninstall(owner: string): Promise<void> {
      const account = ensureUser(state, owner);
      const installation = installationOf(state, account);
      if (!installation) return;
      const repositories = [...state.repositories.values()].filter((repo) => repo.owner === account && repo.installed);
      const body = payload.installation('deleted', account, repositories);
      installation.deleted = true;
      for (const repo of repositories) repo.installed = false;
      await hooks.send({ event: 'installation', payload: body });
    },
    async suspend(owner: string, to: 'suspend' | 'unsuspend'): Promise<void> {
      const installation = installationOf(state, ensureUser(state, owner));
      if (!installation) return;
      installation.suspended = to === 'suspend';
      await hooks.send({ event: 'installation', payload: payload.installation(to, installation.account, []) });
    },
    /** Every token that was minted is void at once, as after an hour. */
    expireTokens(): void {
      for (const token of state.tokens.values()) token.expiresAt = 0;
    },
    installationIdOf: (repo: Repo): number => installationFor(repo)?.id ?? 0,
  };
}
