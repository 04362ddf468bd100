import { join } from 'node:path';
import { commit, type Files, git, initBare, resolve } from '../git/git.ts';
import { newHook } from './api-hooks.ts';
import { ZEROS } from './payloads.ts';
import {
  type Deployment,
  type Environment,
  ensureGroup,
  ensureUser,
  fullName,
  type Hook,
  LEVELS,
  type Level,
  ownerOf,
  type Pull,
  type Repo,
  type Role,
} from './state.ts';
import { announcePull, announcePush, gitOf, type Making } from './verbs-pull.ts';

export type NewRepository = {
  /** Full path, `group/project` or `group/subgroup/project`. */
  readonly name: string;
  readonly files?: Files;
  readonly private?: boolean;
  /** False: it exists, but we are no member of it, and it has no hook. */
  readonly installed?: boolean;
  /** Our level in it; Maintainer unless said otherwise. */
  readonly level?: Level;
  /** `none`: the hook is left for Mayfly to make. */
  readonly hook?: 'planted' | 'none';
};
/** Of the hooks that are planted: as `npm run connect` would make them. */
export type HookWishes = { url: string | null; readonly token: string | null; readonly signingToken: string | null };

const NOBODY = 'http://127.0.0.1:9/';
const WANTED = ['push_events', 'merge_requests_events', 'note_events', 'emoji_events'];

/** What owners do to projects. */
export function repositoryVerbs(making: Making, options: { readonly folder: string; readonly hook: HookWishes }) {
  const { state, hooks } = making;
  const all = (): Hook[] => [...state.repositories.values()].flatMap((repo) => [...repo.hooks.values()]);

  function plantHook(repo: Repo, wish: { readonly events?: readonly string[] } = {}): Hook {
    const hook = newHook(repo, { id: state.nextId(), now: state.now(), url: options.hook.url ?? NOBODY, planted: true });
    hook.token = options.hook.token;
    hook.signingToken = options.hook.signingToken;
    for (const name of wish.events ?? WANTED) hook.events.set(name, true);
    repo.hooks.set(hook.id, hook);
    return hook;
  }
  function addRepository(
    repo: Repo,
    wish: { readonly level?: Level | undefined; readonly hook?: 'planted' | 'none' | undefined } = {},
  ): void {
    repo.roles.set(state.us.login, wish.level ?? 40);
    if (wish.hook !== 'none') plantHook(repo);
  }

  async function pushTo(repo: Repo, branch: string, commits: readonly Files[]): Promise<string> {
    const bare = gitOf(repo);
    const ref = `refs/heads/${branch}`;
    const before = await resolve(bare, ref);
    const by = ownerOf(state, repo);
    let after = before ?? (await resolve(bare, `refs/heads/${repo.defaultBranch}`)) ?? '';
    for (const files of commits) after = await commit(bare, ref, { files, message: 'change', author: by.login, parents: [after] });
    await announcePush(making, repo, { ref, before: before ?? ZEROS, after, by });
    for (const pull of openFrom(repo, branch)) {
      const oldrev = pull.sha;
      pull.sha = after;
      await git(bare, ['update-ref', `refs/merge-requests/${pull.number}/head`, after]);
      await announcePull(making, 'update', pull, { by, more: { oldrev } });
    }
    return after;
  }

  return {
    /** A project with one commit on `main`, our token's owner a Maintainer of it, with a hook. Private unless said otherwise. */
    async createRepository(wish: NewRepository): Promise<Repo> {
      const at = wish.name.lastIndexOf('/');
      const owner = ensureGroup(state, wish.name.slice(0, at));
      const id = state.nextId();
      const bare = join(options.folder, `${id}.git`);
      const about = {
        id,
        owner,
        name: wish.name.slice(at + 1),
        private: wish.private ?? true,
        forkedFrom: null,
        defaultBranch: 'main',
        git: bare,
      };
      const none = { roles: new Map(), awaiting: new Set<string>(), formerNames: [], pulls: new Map(), hooks: new Map() };
      const repo: Repo = { ...about, ...none, deleted: false, archived: false, deletedOn: null, nextNumber: 1 };
      await initBare(bare);
      const files = wish.files ?? { 'README.md': `# ${repo.name}\n` };
      await commit(bare, 'refs/heads/main', { files, message: 'begin', author: ownerOf(state, repo).login, parents: [] });
      state.repositories.set(id, repo);
      if (wish.installed ?? true) addRepository(repo, wish);
      return repo;
    },
    plantHook,
    hooksOf: (repo: Repo): Hook[] => [...repo.hooks.values()],
    /** The time that a failing hook sleeps is up for all of them; what is disabled for good stays so. */
    wakeHooks(): void {
      for (const hook of all()) if (hook.disabledUntil !== null) hook.disabledUntil = Date.now() - 1;
    },
    /** All hooks are enabled again, as after a test that went well: their failures are forgotten. */
    enableHooks(): void {
      for (const hook of all()) Object.assign(hook, { failures: 0, disabledUntil: null });
    },
    /** Where the planted hooks lead from now on; null: GitLab loses every event. One that sleeps after failures sleeps on. */
    sendWebhooksTo(url: string | null): void {
      hooks.lost = url === null ? 'everything' : 'nothing';
      options.hook.url = url;
      for (const hook of all()) if (hook.planted && url !== null) hook.url = url;
    },
    /** Webhooks reach nobody from now on, and count as failures: the network's fault, their addresses stay. */
    unplug(): void {
      hooks.unplugged = true;
    },
    plugIn(): void {
      hooks.unplugged = false;
    },
    /** One more commit on a branch, made from the default one when it is new; the merge requests from it move along. Returns its id. */
    pushToBranch: (repo: Repo, branch: string, files: Files): Promise<string> => pushTo(repo, branch, [files]),
    /** Many commits in one push, of which the webhook shows the newest twenty. Returns the last one's id. */
    pushCommits: (repo: Repo, branch: string, commits: readonly Files[]): Promise<string> => pushTo(repo, branch, commits),
    /** A tag on the default branch's newest commit. */
    async tag(repo: Repo, name: string): Promise<void> {
      const after = (await resolve(gitOf(repo), `refs/heads/${repo.defaultBranch}`)) ?? '';
      await git(gitOf(repo), ['update-ref', `refs/tags/${name}`, after]);
      const push = await making.payload.push(repo, { ref: `refs/tags/${name}`, before: ZEROS, after, by: ownerOf(state, repo) });
      const payload = { ...push, object_kind: 'tag_push', event_name: 'tag_push' };
      await hooks.send(repo, { trigger: 'tag_push_events', payload });
    },
    /** A branch goes; GitLab closes the open merge requests from it (`close_upon_missing_source_branch_ref`). */
    async deleteBranch(repo: Repo, branch: string): Promise<void> {
      const before = (await resolve(gitOf(repo), `refs/heads/${branch}`)) ?? ZEROS;
      await git(gitOf(repo), ['update-ref', '-d', `refs/heads/${branch}`]);
      await announcePush(making, repo, { ref: `refs/heads/${branch}`, before, after: ZEROS, by: ownerOf(state, repo) });
      for (const pull of openFrom(repo, branch)) {
        pull.state = 'closed';
        pull.closedAt = state.now();
        await announcePull(making, 'close', pull);
      }
    },
    /** A level as such, or in GitHub's words: none (a Guest), read, write, maintain, admin; `stranger` takes the membership away. */
    setPermission(repo: Repo, login: string, role: Role | Level): void {
      ensureUser(state, login);
      if (role === 'stranger') repo.roles.delete(login);
      else repo.roles.set(login, typeof role === 'number' ? role : LEVELS[role]);
    },
    /** The whole account, by an administrator of the instance; its memberships stay on record. */
    block(login: string): void {
      ensureUser(state, login).state = 'blocked';
    },
    /** A member whose seat nobody has approved yet. */
    awaitSeat(repo: Repo, login: string): void {
      repo.awaiting.add(ensureUser(state, login).login);
    },
    /** To another name in the same group. Hooks of a project do not hear of it; what is sent later bears the new path. */
    async rename(repo: Repo, name: string): Promise<void> {
      repo.formerNames.push(fullName(repo));
      repo.name = name;
    },
    /** To another group. Direct members and hooks go with it; what was inherited is lost. */
    async transfer(repo: Repo, group: string): Promise<void> {
      repo.formerNames.push(fullName(repo));
      repo.owner = ensureGroup(state, group);
    },
    /** At once; its hooks go with it, and nobody is told. */
    async deleteRepository(repo: Repo): Promise<void> {
      repo.deleted = true;
      repo.hooks.clear();
    },
    /** As people delete since 18.0: the project stays for a while, read-only, under another path, with the day on which it goes. */
    async scheduleDeletion(repo: Repo): Promise<void> {
      repo.name = `${repo.name}-deletion_scheduled-${repo.id}`;
      repo.deletedOn = '2099-01-01';
    },
    /** Nothing in it can be written from then on. */
    archive(repo: Repo): void {
      repo.archived = true;
    },
    /** We are no member any more, and the hook is gone: nothing is told to anybody. */
    async removeRepository(repo: Repo): Promise<void> {
      repo.roles.delete(state.us.login);
      for (const hook of repo.hooks.values()) if (hook.planted) repo.hooks.delete(hook.id);
    },
    addRepository: async (repo: Repo, wish: { readonly level?: Level } = {}): Promise<void> => addRepository(repo, wish),
    /** A deployment as ours are, by us, by somebody else or by a pipeline's job, that is there without our asking for it. */
    plantDeployment(
      repo: Repo,
      wish: { readonly sha: string; readonly environment: string; readonly by?: string; readonly made?: 'job' },
    ): Deployment {
      const user = wish.by === undefined ? state.us : ensureUser(state, wish.by);
      const named = [...state.environments.values()].find(({ repository, name }) => repository === repo && name === wish.environment);
      const when = { createdAt: state.now(), updatedAt: state.now() };
      const fresh = { id: state.nextId(), repository: repo, name: wish.environment, slug: `planted-${state.nextId()}`, ...when };
      const environment: Environment = named ?? { ...fresh, externalUrl: null, tier: 'other', state: 'available', urls: [null] };
      state.environments.set(environment.id, environment);
      const id = state.nextId();
      const about = { id, iid: id, repository: repo, environment, sha: wish.sha, ref: wish.sha, tag: false, user, ...when };
      const job = wish.made === 'job' ? state.nextId() : null;
      const deployment: Deployment = { ...about, job, status: 'success', statuses: [{ state: 'success' }] };
      state.deployments.set(id, deployment);
      return deployment;
    },
  };
}

const openFrom = (repo: Repo, branch: string): Pull[] =>
  [...repo.pulls.values()].filter((pull) => pull.state === 'open' && pull.branch === branch && pull.headRepository === repo);
