import { type Change, commit, type Files, git, resolve } from '../git/git.ts';
import type { Hooks } from './hooks.ts';
import type { payloads } from './payloads.ts';
import type { Addresses } from './shapes.ts';
import { commentJson } from './shapes.ts';
import { type Comment, ensureUser, type Pull, type Repo, type State } from './state.ts';

export type Making = {
  readonly state: State;
  readonly at: Addresses;
  readonly hooks: Hooks;
  readonly payload: ReturnType<typeof payloads>;
};
export type { Change, Files };

export type Opening = {
  readonly files?: Files;
  readonly branch?: string;
  readonly base?: string;
  readonly title?: string;
  readonly body?: string;
  readonly author?: string;
  /** Login of the fork's owner; absent: a branch of the repository itself. */
  readonly from?: string;
  readonly draft?: boolean;
  readonly labels?: readonly string[];
  /** The commit's message; the pull's title unless given. */
  readonly message?: string;
};

const ZEROS = '0'.repeat(40);
const gitOf = (repo: Repo): string => {
  if (!repo.git) throw new Error('a fork has no git of its own here');
  return repo.git;
};
const own = (pull: Pull): boolean => pull.headRepository?.id === pull.repository.id;

/** What people do to pulls. Each verb resolves once its webhooks were answered, or given up on. */
export function pullVerbs(making: Making) {
  const { state, hooks, payload } = making;
  const announce = (action: string, pull: Pull, more?: object) =>
    hooks.send({ event: 'pull_request', payload: payload.pull(action, pull, more) });

  async function place(pull: Pull, sha: string): Promise<void> {
    const before = pull.sha;
    pull.sha = sha;
    await git(gitOf(pull.repository), ['update-ref', `refs/pull/${pull.number}/head`, sha]);
    if (!own(pull)) return;
    await git(gitOf(pull.repository), ['update-ref', `refs/heads/${pull.branch}`, sha]);
    const push = { ref: `refs/heads/${pull.branch}`, before: before || ZEROS, after: sha, files: [], by: pull.author };
    await hooks.send({ event: 'push', payload: payload.push(pull.repository, push) });
  }

  return {
    /** Opens a pull with one commit on top of its base branch. */
    async openPull(repo: Repo, opening: Opening = {}): Promise<Pull> {
      const number = repo.nextNumber++;
      const author = ensureUser(state, opening.author ?? opening.from ?? repo.owner.login);
      const title = opening.title ?? `Change ${number}`;
      const base = opening.base ?? repo.defaultBranch;
      const now = state.now();
      const about = { id: state.nextId(), number, repository: repo, author, branch: opening.branch ?? `change-${number}`, createdAt: now };
      const headRepository = opening.from === undefined ? repo : fork(state, repo, opening.from);
      const said = { title, body: opening.body ?? null, base, sha: '', headRepository, labels: [...(opening.labels ?? [])] };
      const pull: Pull = { ...about, ...said, state: 'open', mergedAt: null, closedAt: null, draft: opening.draft ?? false, locked: false };
      repo.pulls.set(number, pull);
      const parent = await resolve(gitOf(repo), `refs/heads/${base}`);
      const what = { files: opening.files ?? { [`change-${number}.txt`]: title }, message: opening.message ?? title, author: author.login };
      await place(pull, await commit(gitOf(repo), `refs/pull/${number}/head`, { ...what, parents: parent ? [parent] : [] }));
      await announce('opened', pull);
      return pull;
    },
    /** One more commit on the pull; `{}` is an empty one. `force` replaces what was there. Returns its id. */
    async push(pull: Pull, files: Files, how: { readonly message?: string; readonly force?: boolean } = {}): Promise<string> {
      const before = pull.sha;
      const parent = how.force ? await resolve(gitOf(pull.repository), `refs/heads/${pull.base}`) : pull.sha;
      const what = { files, message: how.message ?? 'change', author: pull.author.login, parents: parent ? [parent] : [] };
      const sha = await commit(gitOf(pull.repository), `refs/pull/${pull.number}/head`, what);
      await place(pull, sha);
      if (pull.state === 'open') await announce('synchronize', pull, { before, after: sha });
      return sha;
    },
    async close(pull: Pull): Promise<void> {
      pull.state = 'closed';
      pull.closedAt = state.now();
      await announce('closed', pull);
    },
    async merge(pull: Pull): Promise<void> {
      const folder = gitOf(pull.repository);
      const base = (await resolve(folder, `refs/heads/${pull.base}`)) ?? '';
      const tree = (await git(folder, ['merge-tree', '--write-tree', base, pull.sha])).trim().split('\n')[0] ?? '';
      const identity = ['-c', 'user.name=GitHub', '-c', 'user.email=noreply@github.com'];
      const merged = (
        await git(folder, [...identity, 'commit-tree', tree, '-p', base, '-p', pull.sha, '-m', `Merge pull request #${pull.number}`])
      ).trim();
      await git(folder, ['update-ref', `refs/heads/${pull.base}`, merged]);
      pull.state = 'closed';
      pull.mergedAt = pull.closedAt = state.now();
      await announce('closed', pull);
      const files = (await git(folder, ['diff', '--name-only', '-z', base, merged])).split('\0').filter(Boolean);
      const push = { ref: `refs/heads/${pull.base}`, before: base, after: merged, files, by: pull.author };
      await hooks.send({ event: 'push', payload: payload.push(pull.repository, push) });
    },
    async reopen(pull: Pull): Promise<void> {
      pull.state = 'open';
      pull.closedAt = null;
      await announce('reopened', pull);
    },
    async retarget(pull: Pull, base: string): Promise<void> {
      const from = pull.base;
      pull.base = base;
      await announce('edited', pull, { changes: { base: { ref: { from }, sha: { from: pull.sha } } } });
    },
    async retitle(pull: Pull, title: string): Promise<void> {
      const from = pull.title;
      pull.title = title;
      await announce('edited', pull, { changes: { title: { from } } });
    },
    async label(pull: Pull, name: string): Promise<void> {
      pull.labels.push(name);
      await announce('labeled', pull, { label: { id: 1, name, color: 'ededed' } });
    },
    async unlabel(pull: Pull, name: string): Promise<void> {
      pull.labels = pull.labels.filter((label) => label !== name);
      await announce('unlabeled', pull, { label: { id: 1, name, color: 'ededed' } });
    },
    async draft(pull: Pull): Promise<void> {
      pull.draft = true;
      await announce('converted_to_draft', pull);
    },
    async readyForReview(pull: Pull): Promise<void> {
      pull.draft = false;
      await announce('ready_for_review', pull);
    },
    /** No app can comment on it from then on. */
    lock(pull: Pull): void {
      pull.locked = true;
    },
    /** The fork is deleted; the pull stays, its head repository is null. */
    deleteFork(pull: Pull): void {
      if (pull.headRepository?.fork) pull.headRepository.deleted = true;
      pull.headRepository = null;
    },
  };
}

function fork(state: State, repo: Repo, login: string): Repo {
  const owner = ensureUser(state, login);
  const existing = [...state.repositories.values()].find(
    (one) => one.fork && !one.deleted && one.owner === owner && one.name === repo.name,
  );
  if (existing) return existing;
  const about = {
    id: state.nextId(),
    owner,
    name: repo.name,
    private: repo.private,
    fork: true,
    defaultBranch: repo.defaultBranch,
    git: null,
  };
  const made: Repo = { ...about, installed: false, deleted: false, roles: new Map(), formerNames: [], nextNumber: 1, pulls: new Map() };
  state.repositories.set(made.id, made);
  return made;
}

/** What people write. */
export function commentVerbs({ state, at, hooks, payload }: Making) {
  const add = (pull: Pull, login: string, body: string): Comment => {
    const now = state.now();
    const author = login === state.app.bot.login ? state.app.bot : ensureUser(state, login, login.endsWith('[bot]') ? 'Bot' : 'User');
    const viaApp = author === state.app.bot ? state.app.id : null;
    const about = { id: state.nextId(), repository: pull.repository, number: pull.number, author, viaApp, createdAt: now, updatedAt: now };
    const comment: Comment = { ...about, body, bodies: [body], reactions: [], reacted: [] };
    state.comments.set(comment.id, comment);
    return comment;
  };
  const announce = (action: string, pull: Pull, wish: { readonly comment: Comment; readonly onPull: boolean }) => {
    const { comment, onPull } = wish;
    return hooks.send({
      event: 'issue_comment',
      payload: payload.comment(action, pull, { json: commentJson(state, comment, at), author: comment.author, onPull }),
    });
  };
  return {
    async comment(pull: Pull, login: string, body: string): Promise<Comment> {
      const comment = add(pull, login, body);
      await announce('created', pull, { comment, onPull: true });
      return comment;
    },
    /** The same on an issue that is no pull, which borrows the pull's number here. */
    async commentOnIssue(pull: Pull, login: string, body: string): Promise<void> {
      const comment = add(pull, login, body);
      state.comments.delete(comment.id);
      await announce('created', pull, { comment, onPull: false });
    },
    async editComment(pull: Pull, comment: Comment, body: string): Promise<void> {
      comment.body = body;
      comment.bodies.push(body);
      await announce('edited', pull, { comment, onPull: true });
    },
    /** A comment that is there without a webhook, e.g. one of ours from before. */
    plantComment: add,
    commentsOf: (pull: Pull): Comment[] =>
      [...state.comments.values()].filter((comment) => comment.repository === pull.repository && comment.number === pull.number),
  };
}
