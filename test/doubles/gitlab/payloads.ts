import { git } from '../git/git.ts';
import { stateOf, titleOf } from './shapes.ts';
import { type Comment, fullName, type Pull, type Reaction, type Repo, type State, type User } from './state.ts';

export const ZEROS = '0'.repeat(40);
/** How a time stands in a webhook: `2015-05-17 18:21:36 UTC`. */
const inWords = (iso: string): string => `${iso.slice(0, 10)} ${iso.slice(11, 19)} UTC`;
const COMMITS_SHOWN = 20;

export type PushFacts = { readonly ref: string; readonly before: string; readonly after: string; readonly by: User };

/** What webhooks say (https://docs.gitlab.com/user/project/integrations/webhook_events/). */
export function payloads(state: State, url: string) {
  const user = (who: User) => ({
    id: who.id,
    name: who.login,
    username: who.login,
    avatar_url: `${url}/uploads/-/system/user/avatar/${who.id}/avatar.png`,
    email: '[REDACTED]',
  });
  const project = (repo: Repo) => {
    const path = fullName(repo);
    const ssh = `git@${new URL(url).hostname}:${path}.git`;
    return {
      id: repo.id,
      name: repo.name,
      description: '',
      web_url: `${url}/${path}`,
      avatar_url: null,
      git_ssh_url: ssh,
      git_http_url: `${url}/${path}.git`,
      namespace: repo.owner.login.split('/').at(-1),
      visibility_level: repo.private ? 0 : 20,
      path_with_namespace: path,
      default_branch: repo.defaultBranch,
      ci_config_path: null,
      homepage: `${url}/${path}`,
      url: ssh,
      ssh_url: ssh,
      http_url: `${url}/${path}.git`,
    };
  };
  const repository = (repo: Repo) => {
    const { name, url: ssh, description, homepage } = project(repo);
    return { name, url: ssh, description, homepage };
  };
  const label = (pull: Pull) => (title: string) => ({
    id: 206,
    title,
    color: '#dc143c',
    project_id: pull.repository.id,
    created_at: inWords(pull.createdAt),
    updated_at: inWords(pull.createdAt),
    template: false,
    description: null,
    type: 'ProjectLabel',
    group_id: null,
  });

  async function commitJson(repo: Repo, sha: string) {
    const folder = repo.git ?? '';
    const [name = '', date = '', ...message] = (await git(folder, ['show', '-s', '--format=%an%n%aI%n%B', sha])).split('\n');
    const text = message.join('\n').trimEnd();
    return {
      id: sha,
      message: text,
      title: text.split('\n')[0],
      timestamp: date,
      url: `${url}/${fullName(repo)}/-/commit/${sha}`,
      author: { name, email: '[REDACTED]' },
    };
  }

  async function changedBy(repo: Repo, sha: string) {
    const raw = await git(repo.git ?? '', ['show', '--format=', '--name-status', '--no-renames', '-m', '--first-parent', '-z', sha]);
    const parts = raw.split('\0').filter(Boolean);
    const of = (letter: string) => parts.filter((_, at) => at % 2 === 1 && parts[at - 1] === letter);
    return {
      added: of('A'),
      modified: parts.filter((_, at) => at % 2 === 1 && !['A', 'D'].includes(parts[at - 1] ?? '')),
      removed: of('D'),
    };
  }

  async function attributes(pull: Pull) {
    const path = fullName(pull.repository);
    return {
      assignee_id: null,
      author_id: pull.author.id,
      created_at: inWords(pull.createdAt),
      description: pull.body ?? '',
      draft: pull.draft,
      head_pipeline_id: null,
      id: pull.id,
      iid: pull.number,
      last_edited_at: null,
      last_edited_by_id: null,
      merge_commit_sha: pull.mergeCommit,
      merge_error: null,
      merge_params: { force_remove_source_branch: '0' },
      merge_status: 'can_be_merged',
      merge_user_id: null,
      merge_when_pipeline_succeeds: false,
      milestone_id: null,
      source_branch: pull.branch,
      source_project_id: pull.headRepository?.id ?? null,
      state_id: { opened: 1, closed: 2, merged: 3 }[stateOf(pull)],
      target_branch: pull.base,
      target_project_id: pull.repository.id,
      time_estimate: 0,
      title: titleOf(pull),
      updated_at: inWords(pull.updatedAt),
      updated_by_id: null,
      prepared_at: inWords(pull.createdAt),
      assignee_ids: [],
      blocking_discussions_resolved: true,
      detailed_merge_status: 'mergeable',
      first_contribution: false,
      human_time_change: null,
      human_time_estimate: null,
      human_total_time_spent: null,
      labels: pull.labels.map(label(pull)),
      last_commit: await commitJson(pull.repository, pull.sha),
      reviewer_ids: [],
      source: pull.headRepository ? project(pull.headRepository) : null,
      state: stateOf(pull),
      target: project(pull.repository),
      time_change: 0,
      total_time_spent: 0,
      url: `${url}/${path}/-/merge_requests/${pull.number}`,
      work_in_progress: pull.draft,
    };
  }

  const note = (
    comment: Comment,
    about: { readonly type: string; readonly id: number | null; readonly url: string; readonly commit?: string },
  ) => ({
    attachment: null,
    author_id: comment.author.id,
    change_position: null,
    commit_id: about.commit ?? null,
    created_at: inWords(comment.createdAt),
    discussion_id: `${comment.id}`.padStart(40, 'd'),
    id: comment.id,
    internal: comment.internal,
    line_code: null,
    note: comment.body,
    noteable_id: about.id,
    noteable_type: about.type,
    original_position: null,
    position: null,
    project_id: comment.repository.id,
    resolved_at: null,
    resolved_by_id: null,
    resolved_by_push: null,
    st_diff: null,
    system: comment.system,
    type: null,
    updated_at: inWords(comment.updatedAt),
    updated_by_id: null,
    description: comment.body,
    url: `${about.url}#note_${comment.id}`,
  });
  const onPull = (pull: Pull) => ({
    type: 'MergeRequest',
    id: pull.id,
    url: `${url}/${fullName(pull.repository)}/-/merge_requests/${pull.number}`,
  });
  const noteFrame = (comment: Comment, by: User) => ({
    object_kind: 'note',
    event_type: comment.internal ? 'confidential_note' : 'note',
    user: user(by),
    project_id: comment.repository.id,
    project: project(comment.repository),
  });

  return {
    /** `more` goes into the attributes (`oldrev`), `changes` beside them. */
    pull: async (action: string, pull: Pull, wish: { readonly by: User; readonly more?: object; readonly changes?: object }) => ({
      object_kind: 'merge_request',
      event_type: 'merge_request',
      user: user(wish.by),
      project: project(pull.repository),
      object_attributes: { ...(await attributes(pull)), action, ...wish.more },
      labels: pull.labels.map(label(pull)),
      changes: wish.changes ?? {},
      repository: repository(pull.repository),
    }),
    labels: (pull: Pull, titles: readonly string[]) => titles.map(label(pull)),
    note: async (action: 'create' | 'update', pull: Pull, comment: Comment) => ({
      ...noteFrame(comment, comment.author),
      object_attributes: { ...note(comment, onPull(pull)), action },
      repository: repository(pull.repository),
      merge_request: await attributes(pull),
    }),
    noteOnIssue: (repo: Repo, number: number, comment: Comment) => {
      const about = { type: 'Issue', id: number + 900, url: `${url}/${fullName(repo)}/-/issues/${number}` };
      return {
        ...noteFrame(comment, comment.author),
        object_attributes: { ...note(comment, about), action: 'create' },
        repository: repository(repo),
        issue: {
          id: about.id,
          iid: number,
          title: 'An issue',
          author_id: comment.author.id,
          project_id: repo.id,
          state: 'opened',
          confidential: false,
        },
      };
    },
    noteOnCommit: async (repo: Repo, sha: string, comment: Comment) => {
      const about = { type: 'Commit', id: null, url: `${url}/${fullName(repo)}/-/commit/${sha}`, commit: sha };
      return {
        ...noteFrame(comment, comment.author),
        object_attributes: { ...note(comment, about), action: 'create' },
        repository: repository(repo),
        commit: await commitJson(repo, sha),
      };
    },
    emoji: async (action: 'award' | 'revoke', pull: Pull, on: { readonly comment: Comment; readonly reaction: Reaction }) => ({
      object_kind: 'emoji',
      event_type: action,
      user: user(on.reaction.user),
      project_id: pull.repository.id,
      project: project(pull.repository),
      object_attributes: {
        user_id: on.reaction.user.id,
        created_at: inWords(on.reaction.createdAt),
        id: on.reaction.id,
        name: on.reaction.content,
        awardable_type: 'Note',
        awardable_id: on.comment.id,
        updated_at: inWords(on.reaction.createdAt),
        action,
        awarded_on_url: `${onPull(pull).url}#note_${on.comment.id}`,
      },
      note: note(on.comment, onPull(pull)),
      merge_request: await attributes(pull),
    }),
    /** The newest twenty commits, the oldest of them first; for a new branch, those that the default one has not (`DataBuilder::Push`). */
    push: async (repo: Repo, { ref, before, after, by }: PushFacts) => {
      const folder = repo.git ?? '';
      const isGone = after === ZEROS;
      const from = before === ZEROS ? `refs/heads/${repo.defaultBranch}` : before;
      const list = isGone ? '' : await git(folder, ['rev-list', '--reverse', after, `^${from}`]).catch(() => `${after}\n`);
      const shas = list.split('\n').filter(Boolean);
      const commits = [];
      for (const sha of shas.slice(-COMMITS_SHOWN)) commits.push({ ...(await commitJson(repo, sha)), ...(await changedBy(repo, sha)) });
      return {
        object_kind: 'push',
        event_name: 'push',
        before,
        after,
        ref,
        ref_protected: ref === `refs/heads/${repo.defaultBranch}`,
        checkout_sha: isGone ? null : after,
        message: null,
        user_id: by.id,
        user_name: by.login,
        user_username: by.login,
        user_email: null,
        user_avatar: `${url}/uploads/-/system/user/avatar/${by.id}/avatar.png`,
        project_id: repo.id,
        project: project(repo),
        commits,
        total_commits_count: shas.length,
        push_options: {},
        repository: { ...repository(repo), git_http_url: `${url}/${fullName(repo)}.git`, visibility_level: repo.private ? 0 : 20 },
      };
    },
    /** The time as webhooks write it. */
    time: () => inWords(state.now()),
  };
}
