import type { CheckRun, Comment, Deployment, DeploymentStatus, Pull, Reaction, Repo, State, User } from './state.ts';
import { fullName, roleOf } from './state.ts';

/** How GitHub writes things in JSON: the fields that matter and their neighbours, without the lists of addresses. */
export type Addresses = { readonly api: string; readonly web: string };

const nodeId = (kind: string, id: number): string => Buffer.from(`${kind}${id}`).toString('base64');

export const userJson = (user: User, at: Addresses) => ({
  login: user.login,
  id: user.id,
  node_id: nodeId('User', user.id),
  avatar_url: `${at.web}/avatars/${user.id}`,
  gravatar_id: '',
  url: `${at.api}/users/${encodeURIComponent(user.login)}`,
  html_url: `${at.web}/${user.login}`,
  type: user.type,
  user_view_type: 'public',
  site_admin: false,
});

export const repoJson = (repo: Repo, at: Addresses) => ({
  id: repo.id,
  node_id: nodeId('R', repo.id),
  name: repo.name,
  full_name: fullName(repo),
  private: repo.private,
  owner: userJson(repo.owner, at),
  html_url: `${at.web}/${fullName(repo)}`,
  description: null,
  fork: repo.fork,
  url: `${at.api}/repos/${fullName(repo)}`,
  clone_url: `${at.web}/${fullName(repo)}.git`,
  default_branch: repo.defaultBranch,
  archived: false,
  disabled: false,
  has_issues: true,
  visibility: repo.private ? 'private' : 'public',
});

/** `list` is how a pull looks among others: without what costs GitHub a calculation. */
export function pullJson(pull: Pull, at: Addresses, view: 'list' | 'single') {
  const { repository, headRepository } = pull;
  const url = `${at.api}/repos/${fullName(repository)}`;
  const short = {
    url: `${url}/pulls/${pull.number}`,
    id: pull.id,
    node_id: nodeId('PR', pull.id),
    html_url: `${at.web}/${fullName(repository)}/pull/${pull.number}`,
    issue_url: `${url}/issues/${pull.number}`,
    comments_url: `${url}/issues/${pull.number}/comments`,
    number: pull.number,
    state: pull.state,
    locked: pull.locked,
    title: pull.title,
    user: userJson(pull.author, at),
    body: pull.body,
    labels: pull.labels.map((name, id) => ({ id: id + 1, name, color: 'ededed', default: false, description: null })),
    milestone: null,
    draft: pull.draft,
    assignees: [],
    created_at: pull.createdAt,
    updated_at: pull.createdAt,
    closed_at: pull.closedAt,
    merged_at: pull.mergedAt,
    head: {
      label: `${headRepository?.owner.login ?? 'unknown'}:${pull.branch}`,
      ref: pull.branch,
      sha: pull.sha,
      user: headRepository ? userJson(headRepository.owner, at) : null,
      repo: headRepository ? repoJson(headRepository, at) : null,
    },
    base: {
      label: `${repository.owner.login}:${pull.base}`,
      ref: pull.base,
      user: userJson(repository.owner, at),
      repo: repoJson(repository, at),
    },
    author_association: 'CONTRIBUTOR',
    auto_merge: null,
  };
  return view === 'list' ? short : { ...short, merged: pull.mergedAt !== null, mergeable: null, comments: 0, commits: 1, changed_files: 1 };
}

const appJson = (state: State, id: number | null, at: Addresses) =>
  id === null ? null : { id, slug: state.app.slug, name: 'Mayfly', owner: null, html_url: `${at.web}/apps/${state.app.slug}` };

export const commentJson = (state: State, comment: Comment, at: Addresses) => ({
  id: comment.id,
  node_id: nodeId('IC', comment.id),
  url: `${at.api}/repos/${fullName(comment.repository)}/issues/comments/${comment.id}`,
  html_url: `${at.web}/${fullName(comment.repository)}/pull/${comment.number}#issuecomment-${comment.id}`,
  issue_url: `${at.api}/repos/${fullName(comment.repository)}/issues/${comment.number}`,
  user: userJson(comment.author, at),
  created_at: comment.createdAt,
  updated_at: comment.updatedAt,
  author_association: comment.author.type === 'Bot' ? 'NONE' : 'MEMBER',
  body: comment.body,
  performed_via_github_app: appJson(state, comment.viaApp, at),
});

export const reactionJson = (reaction: Reaction, at: Addresses) => ({
  id: reaction.id,
  node_id: nodeId('REA', reaction.id),
  user: userJson(reaction.user, at),
  content: reaction.content,
  created_at: '2026-01-01T00:00:00Z',
});

export const checkJson = (state: State, check: CheckRun, at: Addresses) => ({
  id: check.id,
  node_id: nodeId('CR', check.id),
  name: check.name,
  head_sha: check.sha,
  external_id: check.externalId,
  url: `${at.api}/repos/${fullName(check.repository)}/check-runs/${check.id}`,
  html_url: `${at.web}/${fullName(check.repository)}/runs/${check.id}`,
  details_url: check.detailsUrl ?? `${at.web}/${fullName(check.repository)}/runs/${check.id}`,
  status: check.status,
  conclusion: check.conclusion,
  started_at: check.startedAt,
  completed_at: check.completedAt,
  output: { ...check.output, annotations_count: 0, annotations_url: '' },
  app: appJson(state, state.app.id, at),
  pull_requests: [],
});

export const deploymentJson = (state: State, deployment: Deployment, at: Addresses) => ({
  url: `${at.api}/repos/${fullName(deployment.repository)}/deployments/${deployment.id}`,
  id: deployment.id,
  node_id: nodeId('DE', deployment.id),
  sha: deployment.sha,
  ref: deployment.ref,
  task: deployment.task,
  payload: deployment.payload,
  original_environment: deployment.environment,
  environment: deployment.environment,
  description: deployment.description,
  creator: userJson(deployment.creator, at),
  created_at: deployment.createdAt,
  updated_at: deployment.createdAt,
  statuses_url: `${at.api}/repos/${fullName(deployment.repository)}/deployments/${deployment.id}/statuses`,
  transient_environment: deployment.transient,
  production_environment: deployment.production,
  performed_via_github_app: appJson(state, deployment.viaApp, at),
});

export const statusJson = (state: State, status: DeploymentStatus, at: Addresses) => ({
  id: status.id,
  state: status.state,
  description: status.description,
  environment_url: status.environmentUrl,
  log_url: status.logUrl,
  created_at: status.createdAt,
  creator: userJson(state.app.bot, at),
  performed_via_github_app: appJson(state, state.app.id, at),
});

/** GitHub's coarse `permission` knows four words; `user.permissions` says it exactly. */
export function permissionJson(repo: Repo, user: User, at: Addresses) {
  const role = roleOf(repo, user.login);
  const rank = ['none', 'read', 'triage', 'write', 'maintain', 'admin'].indexOf(role);
  const coarse = role === 'maintain' ? 'write' : role === 'triage' ? 'read' : role;
  const permissions = { pull: rank >= 1, triage: rank >= 2, push: rank >= 3, maintain: rank >= 4, admin: rank >= 5 };
  return { permission: coarse, role_name: role, user: { ...userJson(user, at), permissions, role_name: role } };
}
