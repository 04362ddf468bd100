import { type Addresses, pullJson, repoJson, userJson } from './shapes.ts';
import { fullName, installationOf, type Pull, type Repo, type State, type User } from './state.ts';

/** What webhooks say, in GitHub's shape. */
export function payloads(state: State, at: Addresses) {
  const frame = (repo: Repo, sender: User) => {
    const installation = installationOf(state, repo.owner);
    const organisation = { login: repo.owner.login, id: repo.owner.id, description: null };
    return {
      repository: repoJson(repo, at),
      ...(repo.owner.type === 'Organization' ? { organization: organisation } : {}),
      sender: userJson(sender, at),
      ...(installation ? { installation: { id: installation.id, node_id: `I_${installation.id}` } } : {}),
    };
  };
  return {
    pull: (action: string, pull: Pull, more: object = {}) => ({
      action,
      number: pull.number,
      pull_request: pullJson(pull, at, 'single'),
      ...more,
      ...frame(pull.repository, pull.author),
    }),
    comment: (action: string, pull: Pull, comment: { readonly json: object; readonly author: User; readonly onPull: boolean }) => ({
      action,
      issue: {
        id: pull.id,
        number: pull.number,
        title: pull.title,
        state: pull.state,
        locked: pull.locked,
        user: userJson(pull.author, at),
        ...(comment.onPull ? { pull_request: { url: `${at.api}/repos/${fullName(pull.repository)}/pulls/${pull.number}` } } : {}),
      },
      comment: comment.json,
      ...frame(pull.repository, comment.author),
    }),
    push: (
      repo: Repo,
      push: {
        readonly ref: string;
        readonly before: string;
        readonly after: string;
        readonly files: readonly string[];
        readonly forced?: boolean;
        readonly by: User;
      },
    ) => ({
      ref: push.ref,
      before: push.before,
      after: push.after,
      created: /^0+$/.test(push.before),
      deleted: /^0+$/.test(push.after),
      forced: push.forced ?? false,
      base_ref: null,
      compare: `${at.web}/${fullName(repo)}/compare`,
      commits: [{ id: push.after, message: 'change', added: push.files, removed: [], modified: [], distinct: true }],
      head_commit: null,
      pusher: { name: push.by.login, email: null },
      ...frame(repo, push.by),
    }),
    repository: (action: string, repo: Repo, changes?: object) => ({ action, ...(changes ? { changes } : {}), ...frame(repo, repo.owner) }),
    installation: (action: string, owner: User, repositories: readonly Repo[]) => ({
      action,
      installation: {
        id: installationOf(state, owner)?.id,
        account: userJson(owner, at),
        app_id: state.app.id,
        app_slug: state.app.slug,
        suspended_at: null,
      },
      repositories: repositories.map(short),
      sender: userJson(owner, at),
    }),
    installationRepositories: (action: 'added' | 'removed', owner: User, repositories: readonly Repo[]) => ({
      action,
      installation: { id: installationOf(state, owner)?.id, account: userJson(owner, at), app_id: state.app.id },
      repository_selection: 'selected',
      repositories_added: action === 'added' ? repositories.map(short) : [],
      repositories_removed: action === 'removed' ? repositories.map(short) : [],
      requester: null,
      sender: userJson(owner, at),
    }),
  };
}

const short = (repo: Repo) => ({ id: repo.id, node_id: `R_${repo.id}`, name: repo.name, full_name: fullName(repo), private: repo.private });
