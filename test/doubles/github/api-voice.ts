import { Hono } from 'hono';
import { z } from 'zod';
import { resolve } from '../git/git.ts';
import { deploymentRoutes } from './api-deployments.ts';
import { type Asked, bodyOf, type Env, found, isIn, no, numberOf, page, queryOf, repoFor, type World } from './door.ts';
import { checkJson, commentJson, reactionJson } from './shapes.ts';
import type { CheckRun, Comment } from './state.ts';

const commentBody = z.strictObject({ body: z.string().min(1).max(65_536) });
const reactionBody = z.strictObject({ content: z.enum(['+1', '-1', 'laugh', 'confused', 'heart', 'hooray', 'rocket', 'eyes']) });
const output = z.strictObject({ title: z.string(), summary: z.string().max(65_535), text: z.string().max(65_535).optional() });
const conclusion = z.enum(['action_required', 'cancelled', 'failure', 'neutral', 'success', 'skipped', 'timed_out']);
const checkFields = {
  details_url: z.url().optional(),
  external_id: z.string().optional(),
  status: z.enum(['queued', 'in_progress', 'completed']).optional(),
  started_at: z.iso.datetime().optional(),
  conclusion: conclusion.optional(),
  completed_at: z.iso.datetime().optional(),
  output: output.optional(),
};
const newCheck = z.strictObject({ name: z.string().min(1), head_sha: z.string().regex(/^[0-9a-f]{40}$/), ...checkFields });
const checkChange = z.strictObject({ name: z.string().min(1).optional(), ...checkFields });
/** What is written: comments and reactions, checks, deployments. */
export function voiceRoutes(world: World): Hono<Env> {
  const app = new Hono<Env>();
  commentRoutes(world, app);
  reactionRoutes(world, app);
  checkRoutes(world, app);
  deploymentRoutes(world, app);
  return app;
}

function commentRoutes({ state, at }: World, app: Hono<Env>): void {
  const world = { state, at };
  const own = (comment: Comment): Comment => {
    if (comment.viaApp !== state.app.id) throw no(403, 'Resource not accessible by integration');
    return comment;
  };
  app.get('/repos/:owner/:repo/issues/:number/comments', (c) => {
    const repo = repoFor(world, c, 'pull_requests');
    queryOf(c, ['per_page', 'page', 'since']);
    const number = numberOf(c, 'number');
    if (!repo.pulls.has(number)) throw no(404, 'Not Found');
    const comments = [...state.comments.values()].filter((comment) => isIn(repo)(comment) && comment.number === number);
    return page(c, comments, (comment) => commentJson(state, comment, at));
  });
  app.post('/repos/:owner/:repo/issues/:number/comments', async (c) => {
    const repo = repoFor(world, c, 'pull_requests', 'write');
    const pull = repo.pulls.get(numberOf(c, 'number'));
    if (!pull) throw no(404, 'Not Found');
    const { body } = await bodyOf(c, commentBody);
    if (pull.locked) throw no(403, 'Unable to create comment because issue is locked.');
    const now = state.now();
    const shared = { repository: repo, number: pull.number, author: state.app.bot, viaApp: state.app.id, createdAt: now, updatedAt: now };
    const comment: Comment = { id: state.nextId(), ...shared, body, bodies: [body], reactions: [], reacted: [] };
    state.comments.set(comment.id, comment);
    return c.json(commentJson(state, comment, at), 201);
  });
  app.get('/repos/:owner/:repo/issues/comments/:id', (c) => {
    const repo = repoFor(world, c, 'pull_requests');
    return c.json(commentJson(state, found(state.comments.get(numberOf(c, 'id')), repo), at));
  });
  app.patch('/repos/:owner/:repo/issues/comments/:id', async (c) => {
    const repo = repoFor(world, c, 'pull_requests', 'write');
    const comment = own(found(state.comments.get(numberOf(c, 'id')), repo));
    const { body } = await bodyOf(c, commentBody);
    comment.body = body;
    comment.bodies.push(body);
    comment.updatedAt = state.now();
    return c.json(commentJson(state, comment, at));
  });
  app.delete('/repos/:owner/:repo/issues/comments/:id', (c) => {
    const repo = repoFor(world, c, 'pull_requests', 'write');
    state.comments.delete(own(found(state.comments.get(numberOf(c, 'id')), repo)).id);
    return c.body(null, 204);
  });
}

function reactionRoutes({ state, at }: World, app: Hono<Env>): void {
  const world = { state, at };
  const path = '/repos/:owner/:repo/issues/comments/:id/reactions';
  const on = (c: Asked, level: 'read' | 'write') => found(state.comments.get(numberOf(c, 'id')), repoFor(world, c, 'pull_requests', level));
  app.get(path, (c) => {
    queryOf(c, ['content', 'per_page', 'page']);
    return page(c, on(c, 'read').reactions, (reaction) => reactionJson(reaction, at));
  });
  app.post(path, async (c) => {
    const comment = on(c, 'write');
    const { content } = await bodyOf(c, reactionBody);
    const same = comment.reactions.find((reaction) => reaction.content === content && reaction.user.id === state.app.bot.id);
    if (same) return c.json(reactionJson(same, at), 200);
    const reaction = { id: state.nextId(), user: state.app.bot, content };
    comment.reactions.push(reaction);
    comment.reacted.push(content);
    return c.json(reactionJson(reaction, at), 201);
  });
  app.delete(`${path}/:reaction`, (c) => {
    const comment = on(c, 'write');
    const reaction = comment.reactions.find((one) => one.id === numberOf(c, 'reaction'));
    if (!reaction || reaction.user.id !== state.app.bot.id) throw no(404, 'Not Found');
    comment.reactions = comment.reactions.filter((one) => one !== reaction);
    return c.body(null, 204);
  });
}

function change(check: CheckRun, fields: z.infer<typeof checkChange>, now: string): void {
  const status = fields.conclusion ? 'completed' : (fields.status ?? check.status);
  if (status === 'completed' && !(fields.conclusion ?? check.conclusion)) throw no(422, 'Invalid request.\n\nMissing conclusion.');
  check.status = status;
  check.conclusion = status === 'completed' ? (fields.conclusion ?? check.conclusion) : null;
  check.completedAt = status === 'completed' ? (fields.completed_at ?? now) : null;
  check.detailsUrl = fields.details_url ?? check.detailsUrl;
  check.externalId = fields.external_id ?? check.externalId;
  if (fields.output) check.output = { ...fields.output, text: fields.output.text ?? null };
  check.path.push(check.conclusion ?? status);
}

function checkRoutes({ state, at }: World, app: Hono<Env>): void {
  const world = { state, at };
  app.post('/repos/:owner/:repo/check-runs', async (c) => {
    const repo = repoFor(world, c, 'checks', 'write');
    const { name, head_sha: sha, ...fields } = await bodyOf(c, newCheck);
    if (!(await resolve(repo.git ?? '', sha))) throw no(422, `No commit found for SHA: ${sha}`);
    const blank = { detailsUrl: null, completedAt: null, conclusion: null, output: { title: null, summary: null, text: null } };
    const check: CheckRun = {
      id: state.nextId(),
      repository: repo,
      name,
      sha,
      startedAt: state.now(),
      externalId: '',
      status: 'queued',
      ...blank,
      path: [],
    };
    change(check, fields, state.now());
    state.checks.set(check.id, check);
    return c.json(checkJson(state, check, at), 201);
  });
  app.get('/repos/:owner/:repo/check-runs/:id', (c) => {
    const repo = repoFor(world, c, 'checks');
    return c.json(checkJson(state, found(state.checks.get(numberOf(c, 'id')), repo), at));
  });
  app.patch('/repos/:owner/:repo/check-runs/:id', async (c) => {
    const repo = repoFor(world, c, 'checks', 'write');
    const check = found(state.checks.get(numberOf(c, 'id')), repo);
    change(check, await bodyOf(c, checkChange), state.now());
    return c.json(checkJson(state, check, at));
  });
  app.get('/repos/:owner/:repo/commits/:sha/check-runs', (c) => {
    const repo = repoFor(world, c, 'checks');
    const query = queryOf(c, ['check_name', 'status', 'filter', 'app_id', 'per_page', 'page']);
    const runs = [...state.checks.values()]
      .filter(isIn(repo))
      .filter((check) => check.sha === c.req.param('sha') && check.name === (query.check_name ?? check.name));
    // `latest`, the default, is the newest of each name.
    const shown = query.filter === 'all' ? runs : runs.filter((run) => !runs.some((other) => other.name === run.name && other.id > run.id));
    return page(
      c,
      [...shown].reverse(),
      (check) => checkJson(state, check, at),
      (list) => ({ total_count: shown.length, check_runs: list }),
    );
  });
}
