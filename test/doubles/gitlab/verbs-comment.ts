import { type Comment, ensureUser, type Pull, type Reaction, type Repo } from './state.ts';
import type { Making } from './verbs-pull.ts';

/** Names that GitLab gives to the users behind access tokens and service accounts. */
const BOT = /^(?:project|group)_\d+_bot(?:_|$)|^service_account_|bot$|\[bot\]$/;
type Kind = { readonly internal?: boolean; readonly system?: boolean };

/** What people write. */
export function commentVerbs(making: Making) {
  const { state, hooks, payload } = making;
  const make = (repo: Repo, number: number, wish: { readonly login: string; readonly body: string } & Kind): Comment => {
    const now = state.now();
    const author = wish.login === state.us.login ? state.us : ensureUser(state, wish.login, BOT.test(wish.login) ? 'Bot' : 'User');
    const about = { id: state.nextId(), repository: repo, number, author, createdAt: now, updatedAt: now };
    const kind = { system: wish.system ?? false, internal: wish.internal ?? false };
    return { ...about, ...kind, body: wish.body, bodies: [wish.body], reactions: [], reacted: [] };
  };
  const add = (pull: Pull, login: string, body: string, kind: Kind = {}): Comment => {
    const comment = make(pull.repository, pull.number, { login, body, ...kind });
    state.comments.set(comment.id, comment);
    return comment;
  };
  const announce = async (action: 'create' | 'update', pull: Pull, comment: Comment): Promise<void> => {
    if (comment.system) return; // GitLab's own notes are no events
    const trigger = comment.internal ? 'confidential_note_events' : 'note_events';
    await hooks.send(pull.repository, { trigger, payload: await payload.note(action, pull, comment) });
  };
  return {
    async comment(pull: Pull, login: string, body: string): Promise<Comment> {
      const comment = add(pull, login, body);
      await announce('create', pull, comment);
      return comment;
    },
    /** A note that only members with some rights see. It comes as a `Confidential Note Hook`, to hooks that ask for them. */
    async commentInternally(pull: Pull, login: string, body: string): Promise<Comment> {
      const comment = add(pull, login, body, { internal: true });
      await announce('create', pull, comment);
      return comment;
    },
    /** The same on an issue, which borrows the merge request's number here. */
    async commentOnIssue(pull: Pull, login: string, body: string): Promise<void> {
      const comment = make(pull.repository, pull.number, { login, body });
      await hooks.send(pull.repository, { trigger: 'note_events', payload: payload.noteOnIssue(pull.repository, pull.number, comment) });
    },
    /** The same on the merge request's newest commit. */
    async commentOnCommit(pull: Pull, login: string, body: string): Promise<void> {
      const comment = make(pull.repository, pull.number, { login, body });
      await hooks.send(pull.repository, {
        trigger: 'note_events',
        payload: await payload.noteOnCommit(pull.repository, pull.sha, comment),
      });
    },
    async editComment(pull: Pull, comment: Comment, body: string): Promise<void> {
      comment.body = body;
      comment.bodies.push(body);
      comment.updatedAt = state.now();
      await announce('update', pull, comment);
    },
    /** Somebody puts an emoji on a note. */
    async react(pull: Pull, on: { readonly comment: Comment; readonly login: string; readonly content: string }): Promise<void> {
      const reaction: Reaction = { id: state.nextId(), user: ensureUser(state, on.login), content: on.content, createdAt: state.now() };
      on.comment.reactions.push(reaction);
      on.comment.reacted.push(on.content);
      await hooks.send(pull.repository, {
        trigger: 'emoji_events',
        payload: await payload.emoji('award', pull, { comment: on.comment, reaction }),
      });
    },
    /** A comment that is there without a webhook, e.g. one of ours from before, or one of GitLab's own. */
    plantComment: add,
    commentsOf: (pull: Pull): Comment[] =>
      [...state.comments.values()].filter((comment) => comment.repository === pull.repository && comment.number === pull.number),
  };
}
