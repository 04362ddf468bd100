import type { Comment, CommitStatus, Deployment, Environment, Hook, Pull, Reaction, Repo, User } from './state.ts';
import { fullName, levelOf } from './state.ts';

/** How GitLab writes things in JSON: the fields that matter and their neighbours, without the lists of addresses. `url` is the instance's. */

export const titleOf = (pull: Pull): string => (pull.draft ? `Draft: ${pull.title}` : pull.title);
export const stateOf = (pull: Pull): 'opened' | 'closed' | 'merged' =>
  pull.mergedAt === null ? (pull.state === 'open' ? 'opened' : 'closed') : 'merged';

/** Wherever a person stands in something else. */
export const userBasic = (user: User, url: string) => ({
  id: user.id,
  username: user.login,
  public_email: null,
  name: user.login,
  state: user.state,
  locked: false,
  avatar_url: `${url}/uploads/-/system/user/avatar/${user.id}/avatar.png`,
  web_url: `${url}/${user.login}`,
});

export const userJson = (user: User, url: string) => ({
  ...userBasic(user, url),
  created_at: '2024-01-02T03:04:05.006Z',
  bio: '',
  location: null,
  linkedin: '',
  twitter: '',
  discord: '',
  website_url: '',
  github: '',
  job_title: '',
  pronouns: null,
  organization: null,
  bot: user.type === 'Bot',
  work_information: null,
  followers: 0,
  following: 0,
  is_followed: false,
  local_time: null,
});

/** `GET /user`: what is said to oneself. */
export const selfJson = (user: User, url: string) => ({
  ...userJson(user, url),
  last_sign_in_at: null,
  confirmed_at: '2024-01-02T03:04:05.006Z',
  last_activity_on: null,
  email: `${user.login}@noreply.gitlab.test`,
  theme_id: 3,
  color_scheme_id: 1,
  projects_limit: 0,
  current_sign_in_at: null,
  identities: [],
  can_create_group: false,
  can_create_project: false,
  two_factor_enabled: false,
  external: false,
  private_profile: false,
  commit_email: `${user.login}@noreply.gitlab.test`,
});

export function namespaceJson(repo: Repo, url: string) {
  const { owner } = repo;
  return {
    id: owner.id,
    name: owner.login.split('/').at(-1),
    path: owner.login.split('/').at(-1),
    kind: 'group',
    full_path: owner.login,
    parent_id: owner.parent?.id ?? null,
    avatar_url: null,
    web_url: `${url}/groups/${owner.login}`,
  };
}

export function projectJson(repo: Repo, viewer: User, url: string) {
  const path = fullName(repo);
  const direct = repo.roles.get(viewer.login);
  const through = levelOf(repo, viewer.login);
  return {
    id: repo.id,
    description: null,
    name: repo.name,
    name_with_namespace: path.split('/').join(' / '),
    path: repo.name,
    path_with_namespace: path,
    created_at: '2024-01-02T03:04:05.006Z',
    default_branch: repo.defaultBranch,
    tag_list: [],
    topics: [],
    ssh_url_to_repo: `git@${new URL(url).hostname}:${path}.git`,
    http_url_to_repo: `${url}/${path}.git`,
    web_url: `${url}/${path}`,
    readme_url: null,
    forks_count: 0,
    avatar_url: null,
    star_count: 0,
    last_activity_at: '2024-01-02T03:04:05.006Z',
    namespace: namespaceJson(repo, url),
    visibility: repo.private ? 'private' : 'public',
    archived: repo.archived,
    empty_repo: repo.git === null,
    merge_requests_enabled: true,
    merge_requests_access_level: 'enabled',
    environments_access_level: 'enabled',
    marked_for_deletion_on: repo.deletedOn,
    ...(repo.forkedFrom ? { forked_from_project: { id: repo.forkedFrom.id, path_with_namespace: fullName(repo.forkedFrom) } } : {}),
    permissions: {
      project_access: direct === undefined ? null : { access_level: direct, notification_level: 3 },
      group_access: through === undefined || through === direct ? null : { access_level: through, notification_level: 3 },
    },
  };
}

export const memberJson = (repo: Repo, user: User, url: string) => ({
  ...userBasic(user, url),
  access_level: levelOf(repo, user.login),
  created_at: '2024-01-02T03:04:05.006Z',
  expires_at: null,
  membership_state: repo.awaiting.has(user.login) ? 'awaiting' : 'active',
});

/** `list` is how a merge request looks among others: without what costs GitLab a calculation. */
export function pullJson(pull: Pull, url: string) {
  const path = fullName(pull.repository);
  const isFork = pull.headRepository?.id !== pull.repository.id;
  return {
    id: pull.id,
    iid: pull.number,
    project_id: pull.repository.id,
    title: titleOf(pull),
    description: pull.body,
    state: stateOf(pull),
    created_at: pull.createdAt,
    updated_at: pull.updatedAt,
    merged_by: null,
    merge_user: null,
    merged_at: pull.mergedAt,
    closed_by: null,
    closed_at: pull.closedAt,
    target_branch: pull.base,
    source_branch: pull.branch,
    user_notes_count: 0,
    upvotes: 0,
    downvotes: 0,
    author: userBasic(pull.author, url),
    assignees: [],
    assignee: null,
    reviewers: [],
    source_project_id: pull.headRepository?.id ?? null,
    target_project_id: pull.repository.id,
    labels: [...pull.labels].sort(),
    draft: pull.draft,
    imported: false,
    imported_from: 'none',
    work_in_progress: pull.draft,
    milestone: null,
    merge_when_pipeline_succeeds: false,
    merge_status: 'can_be_merged',
    detailed_merge_status: 'mergeable',
    merge_after: null,
    sha: pull.sha,
    merge_commit_sha: pull.mergeCommit,
    squash_commit_sha: null,
    discussion_locked: pull.locked || null,
    should_remove_source_branch: null,
    force_remove_source_branch: false,
    prepared_at: pull.createdAt,
    ...(isFork ? { allow_collaboration: false, allow_maintainer_to_push: false } : {}),
    reference: `!${pull.number}`,
    references: { short: `!${pull.number}`, relative: `!${pull.number}`, full: `${path}!${pull.number}` },
    web_url: `${url}/${path}/-/merge_requests/${pull.number}`,
    time_stats: { time_estimate: 0, total_time_spent: 0, human_time_estimate: null, human_total_time_spent: null },
    squash: false,
    squash_on_merge: false,
    task_completion_status: { count: 0, completed_count: 0 },
    has_conflicts: false,
    blocking_discussions_resolved: true,
  };
}

export const noteJson = (comment: Comment, pull: Pull, url: string) => ({
  id: comment.id,
  type: null,
  body: comment.body,
  author: userBasic(comment.author, url),
  created_at: comment.createdAt,
  updated_at: comment.updatedAt,
  system: comment.system,
  noteable_id: pull.id,
  noteable_type: 'MergeRequest',
  project_id: comment.repository.id,
  resolvable: false,
  confidential: comment.internal,
  internal: comment.internal,
  imported: false,
  imported_from: 'none',
  noteable_iid: pull.number,
  commands_changes: {},
});

export const awardJson = (reaction: Reaction, comment: Comment, url: string) => ({
  id: reaction.id,
  name: reaction.content,
  user: userBasic(reaction.user, url),
  created_at: reaction.createdAt,
  updated_at: reaction.createdAt,
  awardable_id: comment.id,
  awardable_type: 'Note',
  url: null,
});

export const statusJson = (status: CommitStatus, url: string) => ({
  id: status.id,
  sha: status.sha,
  ref: status.ref,
  status: status.status,
  name: status.name,
  target_url: status.targetUrl,
  description: status.description,
  created_at: status.createdAt,
  started_at: status.startedAt,
  finished_at: status.finishedAt,
  allow_failure: false,
  coverage: null,
  pipeline_id: status.pipeline,
  author: userBasic(status.user, url),
});

const environmentBasic = (environment: Environment) => ({
  id: environment.id,
  name: environment.name,
  slug: environment.slug,
  external_url: environment.externalUrl,
  created_at: environment.createdAt,
  updated_at: environment.updatedAt,
});
export const environmentJson = (environment: Environment, url: string) => ({
  ...environmentBasic(environment),
  tier: environment.tier,
  state: environment.state,
  description: null,
  auto_stop_at: null,
  auto_stop_setting: 'always',
  kubernetes_namespace: null,
  flux_resource_path: null,
  cluster_agent: null,
  project: {
    id: environment.repository.id,
    path_with_namespace: fullName(environment.repository),
    web_url: `${url}/${fullName(environment.repository)}`,
  },
});
export const deploymentJson = (deployment: Deployment, url: string) => ({
  id: deployment.id,
  iid: deployment.iid,
  ref: deployment.ref,
  sha: deployment.sha,
  created_at: deployment.createdAt,
  updated_at: deployment.updatedAt,
  user: userBasic(deployment.user, url),
  environment: environmentBasic(deployment.environment),
  deployable: deployment.job === null ? null : { id: deployment.job, name: 'deploy', stage: 'deploy', status: deployment.status },
  status: deployment.status,
});

export const isDisabled = (hook: Hook): boolean => hook.failures > 39 || (hook.disabledUntil !== null && hook.disabledUntil >= Date.now());

/** `executable`, `temporarily_disabled` or `disabled` (GitLab's app/models/concerns/web_hooks/auto_disabling.rb). */
export const alertOf = (hook: Hook): string => (hook.failures > 39 ? 'disabled' : isDisabled(hook) ? 'temporarily_disabled' : 'executable');

/** Neither secret is ever shown; that a signing token is there, since GitLab 19.0. */
export const hookJson = (hook: Hook, signs: 'signs' | 'cannot sign') => ({
  id: hook.id,
  url: hook.url,
  name: hook.name,
  description: hook.description,
  created_at: hook.createdAt,
  ...Object.fromEntries(hook.events),
  repository_update_events: false,
  enable_ssl_verification: hook.sslVerification,
  alert_status: alertOf(hook),
  disabled_until: hook.disabledUntil === null ? null : new Date(hook.disabledUntil).toISOString(),
  url_variables: [],
  push_events_branch_filter: hook.branchFilter,
  branch_filter_strategy: hook.branchFilterStrategy,
  custom_webhook_template: null,
  custom_headers: [],
  project_id: hook.repository.id,
  ...(signs === 'signs' ? { token_present: hook.token !== null, signing_token_present: hook.signingToken !== null } : {}),
});
