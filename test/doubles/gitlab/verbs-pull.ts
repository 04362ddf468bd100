import { type Change, commit, type Files, git, resolve } from '../git/git.ts';
import type { World } from './door.ts';
import { ZEROS } from './payloads.ts';
import { titleOf } from './shapes.ts';
import { ensureGroup, ensureUser, ownerOf, type Pull, type Repo, type State, type User } from './state.ts';

export type Making = Pick<World, 'state' | 'url' | 'hooks' | 'payload'>;
export type { Change, Files };

export type Opening = {
  readonly files?: Files;
  readonly branch?: string;
  readonly base?: string;
  readonly title?: string;
  readonly body?: string;
  readonly author?: string;
  /** Login of the fork's owner; absent: a branch of the project itself. */
  readonly from?: string;
  readonly draft?: boolean;
  readonly labels?: readonly string[];
  /** The commit's message; the merge request's title unless given. */
  readonly message?: string;
};

export const gitOf = (repo: Repo): string => {
  if (!repo.git) throw new Error('a fork has no git of its own here');
  return repo.git;
};
const own = (pull: Pull): boolean => pull.headRepository?.id === pull.repository.id;

/** Puts a push into the project's webhooks. */
export async function announcePush(
  making: Making,
  repo: Repo,
  push: { ref: string; before: string; after: string; by: User },
): Promise<void> {
  const payload = await making.payload.push(repo, push);
  await making.hooks.send(repo, { trigger: 'push_events', payload, branch: push.ref.replace('refs/heads/', '') });
}

/** One `Merge Request Hook`. */
export async function announcePull(
  making: Making,
  action: string,
  pull: Pull,
  wish: { readonly by?: User; readonly more?: object; readonly changes?: object } = {},
): Promise<void> {
  const before = pull.updatedAt;
  pull.updatedAt = making.state.now();
  const updated = { updated_at: { previous: before, current: pull.updatedAt } };
  const changes = action === 'open' ? {} : { ...updated, ...wish.changes };
  const payload = await making.payload.pull(action, pull, {
    by: wish.by ?? pull.author,
    ...(wish.more ? { more: wish.more } : {}),
    changes,
  });
  await making.hooks.send(pull.repository, { trigger: 'merge_requests_events', payload });
}

/** What people do to merge requests. Each verb resolves once its webhooks were answered, or given up on. */
export function pullVerbs(making: Making) {
  const { state, payload } = making;
  /** What was pushed while a merge request was closed: it keeps its head until it is reopened (`MergeRequest#reload_diff`). */
  const waiting = new WeakMap<Pull, string>();
  const announce = (action: string, pull: Pull, wish?: { readonly by?: User; readonly more?: object; readonly changes?: object }) =>
    announcePull(making, action, pull, wish);

  async function place(pull: Pull, sha: string): Promise<void> {
    const before = pull.sha;
    pull.sha = sha;
    await git(gitOf(pull.repository), ['update-ref', `refs/merge-requests/${pull.number}/head`, sha]);
    await moveBranch(pull, { before: before || ZEROS, after: sha });
  }
  async function moveBranch(pull: Pull, { before, after }: { readonly before: string; readonly after: string }): Promise<void> {
    if (!own(pull)) return;
    const ref = `refs/heads/${pull.branch}`;
    await git(gitOf(pull.repository), ['update-ref', ref, after]);
    await announcePush(making, pull.repository, { ref, before, after, by: pull.author });
  }
  async function close(pull: Pull): Promise<void> {
    pull.state = 'closed';
    pull.closedAt = state.now();
    await announce('close', pull, { changes: { state_id: { previous: 1, current: 2 } } });
  }
  async function setDraft(pull: Pull, to: { readonly draft: boolean }): Promise<void> {
    const title = { previous: titleOf(pull), current: '' };
    pull.draft = to.draft;
    title.current = titleOf(pull);
    await announce('update', pull, { changes: { title, draft: { previous: !to.draft, current: to.draft } } });
  }
  async function setLabels(pull: Pull, labels: readonly string[]): Promise<void> {
    const previous = payload.labels(pull, pull.labels);
    pull.labels = [...labels];
    await announce('update', pull, { changes: { labels: { previous, current: payload.labels(pull, pull.labels) } } });
  }

  return {
    /** Opens a merge request with one commit on top of its target branch. */
    async openPull(repo: Repo, opening: Opening = {}): Promise<Pull> {
      const number = repo.nextNumber++;
      const author = ensureUser(state, opening.author ?? opening.from ?? ownerOf(state, repo).login);
      const title = opening.title ?? `Change ${number}`;
      const base = opening.base ?? repo.defaultBranch;
      const now = state.now();
      const about = { id: state.nextId(), number, repository: repo, author, branch: opening.branch ?? `change-${number}`, createdAt: now };
      const headRepository = opening.from === undefined ? repo : fork(state, repo, opening.from);
      const said = { title, body: opening.body ?? null, base, sha: '', headRepository, labels: [...(opening.labels ?? [])] };
      const blank = { updatedAt: now, mergedAt: null, mergeCommit: null, closedAt: null, locked: false };
      const pull: Pull = { ...about, ...said, ...blank, state: 'open', draft: opening.draft ?? false };
      repo.pulls.set(number, pull);
      const parent = await resolve(gitOf(repo), `refs/heads/${base}`);
      const what = { files: opening.files ?? { [`change-${number}.txt`]: title }, message: opening.message ?? title, author: author.login };
      await place(pull, await commit(gitOf(repo), `refs/merge-requests/${number}/head`, { ...what, parents: parent ? [parent] : [] }));
      await announce('open', pull);
      return pull;
    },
    /** One more commit on the merge request; `{}` is an empty one. `force` replaces what was there. Returns its id. */
    async push(pull: Pull, files: Files, how: { readonly message?: string; readonly force?: boolean } = {}): Promise<string> {
      const before = pull.sha;
      const parent = how.force ? await resolve(gitOf(pull.repository), `refs/heads/${pull.base}`) : (waiting.get(pull) ?? pull.sha);
      const what = { files, message: how.message ?? 'change', author: pull.author.login, parents: parent ? [parent] : [] };
      const sha = await commit(gitOf(pull.repository), `refs/double/${pull.number}`, what);
      if (pull.state === 'open') {
        await place(pull, sha);
        await announce('update', pull, { more: { oldrev: before } });
        return sha;
      }
      waiting.set(pull, sha);
      await moveBranch(pull, { before: parent ?? ZEROS, after: sha });
      return sha;
    },
    close,
    async merge(pull: Pull): Promise<void> {
      const folder = gitOf(pull.repository);
      const base = (await resolve(folder, `refs/heads/${pull.base}`)) ?? '';
      const tree = (await git(folder, ['merge-tree', '--write-tree', base, pull.sha])).trim().split('\n')[0] ?? '';
      const identity = ['-c', 'user.name=GitLab', '-c', 'user.email=noreply@gitlab.test'];
      const message = `Merge branch '${pull.branch}' into '${pull.base}'`;
      const merged = (await git(folder, [...identity, 'commit-tree', tree, '-p', base, '-p', pull.sha, '-m', message])).trim();
      await git(folder, ['update-ref', `refs/heads/${pull.base}`, merged]);
      pull.state = 'closed';
      pull.mergedAt = state.now();
      pull.mergeCommit = merged;
      await announce('merge', pull, { changes: { state_id: { previous: 4, current: 3 } } });
      await announcePush(making, pull.repository, { ref: `refs/heads/${pull.base}`, before: base, after: merged, by: pull.author });
    },
    async reopen(pull: Pull): Promise<void> {
      pull.state = 'open';
      pull.closedAt = null;
      const sha = waiting.get(pull);
      waiting.delete(pull);
      if (sha !== undefined) {
        pull.sha = sha;
        await git(gitOf(pull.repository), ['update-ref', `refs/merge-requests/${pull.number}/head`, sha]);
      }
      await announce('reopen', pull, { changes: { state_id: { previous: 2, current: 1 } } });
    },
    async retarget(pull: Pull, base: string): Promise<void> {
      const previous = pull.base;
      pull.base = base;
      await announce('update', pull, { changes: { target_branch: { previous, current: base } } });
    },
    async retitle(pull: Pull, title: string): Promise<void> {
      const previous = titleOf(pull);
      pull.title = title;
      await announce('update', pull, { changes: { title: { previous, current: titleOf(pull) } } });
    },
    label: (pull: Pull, name: string): Promise<void> => setLabels(pull, [...pull.labels, name]),
    unlabel: (pull: Pull, name: string): Promise<void> =>
      setLabels(
        pull,
        pull.labels.filter((label) => label !== name),
      ),
    draft: (pull: Pull): Promise<void> => setDraft(pull, { draft: true }),
    readyForReview: (pull: Pull): Promise<void> => setDraft(pull, { draft: false }),
    /** Approved by somebody: an event that has nothing to do with previews. `approval` when more are needed. */
    approve: (pull: Pull, login: string, action: 'approved' | 'unapproved' | 'approval' | 'unapproval' = 'approved'): Promise<void> =>
      announce(action, pull, { by: ensureUser(state, login) }),
    /** Somebody assigns it: an update that changes nothing of what is built. */
    assign: (pull: Pull, login: string): Promise<void> =>
      announce('update', pull, { changes: { assignees: { previous: [], current: [{ username: login }] } } }),
    /** Only members can comment on it from then on. */
    lock(pull: Pull): void {
      pull.locked = true;
    },
    /** The fork is deleted: GitLab closes its merge requests, whose source project is null from then on (`UnlinkForkService`). */
    async deleteFork(pull: Pull): Promise<void> {
      if (pull.headRepository?.forkedFrom) pull.headRepository.deleted = true;
      pull.headRepository = null;
      if (pull.state === 'open') await close(pull);
    },
  };
}

/** Somebody's own copy, in a namespace of their name. */
function fork(state: State, repo: Repo, login: string): Repo {
  const owner = ensureGroup(state, login);
  const existing = [...state.repositories.values()].find((one) => one.forkedFrom === repo && !one.deleted && one.owner === owner);
  if (existing) return existing;
  const about = {
    id: state.nextId(),
    owner,
    name: repo.name,
    private: repo.private,
    forkedFrom: repo,
    defaultBranch: repo.defaultBranch,
    git: null,
  };
  const none = { roles: new Map(), awaiting: new Set<string>(), formerNames: [], pulls: new Map(), hooks: new Map() };
  const made: Repo = { ...about, ...none, deleted: false, archived: false, deletedOn: null, nextNumber: 1 };
  state.repositories.set(made.id, made);
  return made;
}
