import { Hono } from 'hono';
import { z } from 'zod';
import {
  type Asked,
  bad,
  type Env,
  flag,
  forbidden,
  MAINTAINER,
  missing,
  no,
  numberOf,
  page,
  paging,
  paramsOf,
  pullFor,
  READER,
  type World,
} from './door.ts';
import { awardJson, noteJson } from './shapes.ts';
import { type Comment, type Pull, type Reaction, rightsOf } from './state.ts';

/** https://docs.gitlab.com/administration/instance_limits/#size-of-comments-and-descriptions */
const LONGEST = 1_000_000;
const NAMES = /^[a-z0-9_+-]+$/;
/** A line that begins so is an order, given with the author's rights; only some of them are told here. In code blocks GitLab mostly looks past them. */
const QUICK_ACTION = /^[^\S\n]*\/(?:close|reopen|merge|approve|label|unlabel|assign|draft|ready|title|rebase)\b/m;

const TOO_LONG = 'Note {:note=>["is too long (maximum is 1000000 characters)"]}';

/** Comments of merge requests, and the emoji on them. */
export function noteRoutes(world: World): Hono<Env> {
  const { state, url } = world;
  const app = new Hono<Env>();
  const path = '/projects/:id/merge_requests/:iid/notes';

  const mayRead = (c: Asked, comment: Comment): boolean => !comment.internal || rightsOf(comment.repository, c.get('token').user) >= READER;
  const noteOf = (c: Asked, pull: Pull): Comment => {
    const comment = state.comments.get(numberOf(c, 'note'));
    if (!comment || comment.repository !== pull.repository || comment.number !== pull.number || !mayRead(c, comment)) throw missing();
    return comment;
  };
  /** The author's own, or any for a Maintainer (`admin_note`); nobody's when GitLab wrote it. */
  const adminOf = (c: Asked, pull: Pull): Comment => {
    const comment = noteOf(c, pull);
    const { user } = c.get('token');
    const may = comment.author.id === user.id || rightsOf(pull.repository, user) >= MAINTAINER;
    if (comment.system || !may) throw forbidden();
    return comment;
  };
  /** Our own words come back to us as webhooks, too. */
  const tell = async (action: 'create' | 'update', pull: Pull, comment: Comment): Promise<void> => {
    const trigger = comment.internal ? 'confidential_note_events' : 'note_events';
    await world.hooks.send(pull.repository, { trigger, payload: await world.payload.note(action, pull, comment) });
  };

  app.get(path, async (c) => {
    const wish = await paramsOf(world, c, {
      ...paging,
      order_by: z.enum(['created_at', 'updated_at']).optional(),
      sort: z.enum(['asc', 'desc']).optional(),
      activity_filter: z.enum(['all_notes', 'only_comments', 'only_activity']).optional(),
    });
    const pull = pullFor(world, c);
    const filter = wish.activity_filter ?? 'all_notes';
    const notes = [...state.comments.values()]
      .filter((one) => one.repository === pull.repository && one.number === pull.number && mayRead(c, one))
      .filter((one) => filter === 'all_notes' || one.system === (filter === 'only_activity'));
    notes.sort((a, b) => (wish.sort === 'asc' ? a.id - b.id : b.id - a.id)); // the newest first unless asked otherwise
    return page(c, notes, (comment) => noteJson(comment, pull, url));
  });
  app.post(path, async (c) => {
    const pull = pullFor(world, c);
    const wish = await paramsOf(world, c, {
      body: z.string(),
      internal: flag.optional(),
      confidential: flag.optional(),
      created_at: z.string().optional(),
      merge_request_diff_head_sha: z.string().optional(),
    });
    const { user } = c.get('token');
    if (rightsOf(pull.repository, user) < (pull.locked ? 10 : 0)) throw forbidden();
    if (wish.body.trim() === '') throw no(400, `400 Bad request - Note {:note=>["can't be blank"]}`);
    if (wish.body.length > LONGEST) throw no(400, `400 Bad request - ${TOO_LONG}`);
    if (QUICK_ACTION.test(wish.body)) {
      world.unknown(`a note that GitLab takes for a quick action: ${wish.body.slice(0, 40)}`);
      return c.json({ commands_changes: {}, summary: ['Applied'] }, 202);
    }
    const now = state.now();
    const about = { id: state.nextId(), repository: pull.repository, number: pull.number, author: user, createdAt: now, updatedAt: now };
    const kind = { system: false, internal: wish.internal ?? wish.confidential ?? false };
    const comment: Comment = { ...about, ...kind, body: wish.body, bodies: [wish.body], reactions: [], reacted: [] };
    state.comments.set(comment.id, comment);
    world.hooks.later(() => tell('create', pull, comment));
    return c.json(noteJson(comment, pull, url), 201);
  });
  app.get(`${path}/:note`, async (c) => {
    await paramsOf(world, c, {});
    const pull = pullFor(world, c);
    return c.json(noteJson(noteOf(c, pull), pull, url));
  });
  app.put(`${path}/:note`, async (c) => {
    const pull = pullFor(world, c);
    const { body } = await paramsOf(world, c, { body: z.string().optional() });
    const comment = adminOf(c, pull);
    if (body === undefined || body === comment.body) return c.json(noteJson(comment, pull, url));
    if (body.trim() === '') throw bad(400, 'body is empty');
    if (body.length > LONGEST) throw no(400, `400 Bad request - ${TOO_LONG}`);
    if (QUICK_ACTION.test(body)) world.unknown(`a note that GitLab takes for a quick action: ${body.slice(0, 40)}`);
    comment.body = body;
    comment.bodies.push(body);
    comment.updatedAt = state.now();
    world.hooks.later(() => tell('update', pull, comment));
    return c.json(noteJson(comment, pull, url));
  });
  app.delete(`${path}/:note`, async (c) => {
    await paramsOf(world, c, {});
    state.comments.delete(adminOf(c, pullFor(world, c)).id);
    return c.body(null, 204);
  });
  awardRoutes(world, app, noteOf);
  return app;
}

function awardRoutes(world: World, app: Hono<Env>, noteOf: (c: Asked, pull: Pull) => Comment): void {
  const { state, url } = world;
  const path = '/projects/:id/merge_requests/:iid/notes/:note/award_emoji';
  const tell = async (
    action: 'award' | 'revoke',
    pull: Pull,
    on: { readonly comment: Comment; readonly reaction: Reaction },
  ): Promise<void> => {
    await world.hooks.send(pull.repository, { trigger: 'emoji_events', payload: await world.payload.emoji(action, pull, on) });
  };
  app.get(path, async (c) => {
    await paramsOf(world, c, paging);
    const comment = noteOf(c, pullFor(world, c));
    return page(c, comment.reactions, (reaction) => awardJson(reaction, comment, url));
  });
  app.post(path, async (c) => {
    const pull = pullFor(world, c);
    const comment = noteOf(c, pull);
    const { name } = await paramsOf(world, c, { name: z.string() });
    const { user } = c.get('token');
    // Both in GitLab's words: a 404 whose text alone tells them from a note that is gone.
    if (!NAMES.test(name)) throw no(404, '404 Award Emoji Name is not a valid emoji name Not Found');
    if (comment.reactions.some((one) => one.content === name && one.user.id === user.id))
      throw no(404, '404 Award Emoji Name has already been taken Not Found');
    const reaction: Reaction = { id: state.nextId(), user, content: name, createdAt: state.now() };
    comment.reactions.push(reaction);
    comment.reacted.push(name);
    world.hooks.later(() => tell('award', pull, { comment, reaction }));
    return c.json(awardJson(reaction, comment, url), 201);
  });
  app.delete(`${path}/:award`, async (c) => {
    await paramsOf(world, c, {});
    const pull = pullFor(world, c);
    const comment = noteOf(c, pull);
    const reaction = comment.reactions.find((one) => one.id === numberOf(c, 'award'));
    if (!reaction) throw missing();
    // Another's is not for us to take back: 401, not 403 (`unauthorized!` in lib/api/award_emoji.rb).
    if (reaction.user.id !== c.get('token').user.id) throw no(401, '401 Unauthorized');
    comment.reactions = comment.reactions.filter((one) => one !== reaction);
    world.hooks.later(() => tell('revoke', pull, { comment, reaction }));
    return c.body(null, 204);
  });
}
