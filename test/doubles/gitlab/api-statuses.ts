import { Hono } from 'hono';
import { z } from 'zod';
import { git, resolve } from '../git/git.ts';
import { bad, count, DEVELOPER, type Env, flag, no, notFound, page, paging, paramsOf, readerOf, repoFor, type World } from './door.ts';
import { statusJson } from './shapes.ts';
import type { CommitState, CommitStatus, Repo, State, User } from './state.ts';

const short = z.string().max(255);
const wishes = {
  state: z.enum(['pending', 'running', 'success', 'failed', 'canceled', 'skipped']),
  name: short.optional(),
  context: short.optional(),
  ref: short.optional(),
  target_url: z.string().optional(),
  description: z.string().optional(),
  coverage: z.coerce.number().optional(),
  pipeline_id: count.optional(),
};

/** From which states each event leads on (app/models/commit_status.rb); what is finished is never moved, but followed by another. */
const EVENTS: Readonly<Record<CommitState, { readonly event: string; readonly from: readonly CommitStatus['status'][] }>> = {
  pending: { event: 'enqueue', from: ['created'] },
  running: { event: 'run', from: ['created', 'pending'] },
  success: { event: 'success', from: ['created', 'pending', 'running'] },
  failed: { event: 'drop', from: ['created', 'pending', 'running'] },
  canceled: { event: 'cancel', from: ['created', 'pending', 'running'] },
  skipped: { event: 'skip', from: ['created', 'pending'] },
};

/** Statuses of commits (app/services/ci/create_commit_status_service.rb). */
export function statusRoutes(world: World): Hono<Env> {
  const { state, url } = world;
  const app = new Hono<Env>();
  const pipelines: { readonly id: number; readonly repository: Repo; readonly sha: string; readonly ref: string }[] = [];

  app.get('/projects/:id/repository/commits/:sha/statuses', async (c) => {
    const wish = await paramsOf(world, c, {
      ...paging,
      ref: z.string().optional(),
      stage: z.string().optional(),
      name: z.string().optional(),
      all: flag.optional(),
      pipeline_id: count.optional(),
      order_by: z.enum(['id', 'pipeline_id']).optional(),
      sort: z.enum(['asc', 'desc']).optional(),
    });
    const repo = readerOf(world, c);
    const sha = await resolve(repo.git ?? '', c.req.param('sha'));
    if (!sha) throw notFound('Commit');
    const found = [...state.statuses.values()].filter(
      (one) =>
        one.repository === repo &&
        one.sha === sha &&
        (wish.all || !one.retried) &&
        one.ref === (wish.ref ?? one.ref) &&
        one.name === (wish.name ?? one.name) &&
        one.pipeline === (wish.pipeline_id ?? one.pipeline),
    );
    return page(c, wish.sort === 'desc' ? found.reverse() : found, (status) => statusJson(status, url));
  });

  app.post('/projects/:id/statuses/:sha', async (c) => {
    const repo = repoFor(world, c, DEVELOPER);
    const wish = await paramsOf(world, c, wishes);
    if (!/^[0-9a-f]{7,40}$/.test(c.req.param('sha'))) throw bad(400, 'sha is invalid');
    const sha = repo.git ? await resolve(repo.git, c.req.param('sha')) : undefined;
    if (!sha) throw notFound('Commit');
    const known = [...pipelines]
      .reverse()
      .find(
        (one) => one.repository === repo && one.sha === sha && one.ref === (wish.ref ?? one.ref) && one.id === (wish.pipeline_id ?? one.id),
      );
    const ref = wish.ref ?? known?.ref ?? (await branchWith(repo, sha));
    if (ref === undefined) throw notFound('References for commit');
    if (wish.pipeline_id !== undefined && !known) throw notFound('Pipeline for pipeline_id, sha and ref');
    const problems = problemsOf(wish);
    if (problems) throw no(400, problems);
    const pipeline = known ?? { id: state.nextId(), repository: repo, sha, ref };
    if (!known) pipelines.push(pipeline);
    const status = move(state, { repo, sha, ref, pipeline: pipeline.id, user: c.get('token').user }, wish);
    return c.json(statusJson(status, url), 201);
  });
  return app;
}

/** The first branch that has the commit. A fork's commit is on none of the target's. */
async function branchWith(repo: Repo, sha: string): Promise<string | undefined> {
  const names = await git(repo.git ?? '', ['for-each-ref', '--contains', sha, '--format=%(refname:short)', 'refs/heads/']);
  return names.split('\n').find(Boolean);
}

function problemsOf(wish: { readonly target_url?: string | undefined; readonly description?: string | undefined }): object | undefined {
  const tooLong = ['is too long (maximum is 255 characters)'];
  const target = wish.target_url ?? '';
  const target_url =
    target.length > 255
      ? tooLong
      : target !== '' && !/^https?:\/\//.test(target)
        ? ['is blocked: Only allowed schemes are http, https']
        : undefined;
  const description = (wish.description ?? '').length > 255 ? tooLong : undefined;
  return target_url || description ? { ...(target_url ? { target_url } : {}), ...(description ? { description } : {}) } : undefined;
}

type Place = { readonly repo: Repo; readonly sha: string; readonly ref: string; readonly pipeline: number; readonly user: User };
type Wish = { readonly state: CommitState; readonly name?: string | undefined; readonly context?: string | undefined } & {
  readonly target_url?: string | undefined;
  readonly description?: string | undefined;
};

/** Moves the unfinished status of that name, or begins another. A step that the states do not allow is refused and changes nothing. */
function move(state: State, place: Place, wish: Wish): CommitStatus {
  const name = wish.name ?? wish.context ?? 'default';
  const named = [...state.statuses.values()].filter(
    (one) => one.repository === place.repo && one.pipeline === place.pipeline && one.name === name,
  );
  const open = named.find(
    (one) => ['pending', 'running'].includes(one.status) && one.ref === place.ref && one.user.id === place.user.id && !one.retried,
  );
  const { event, from } = EVENTS[wish.state];
  const now = state.now();
  const about = {
    id: state.nextId(),
    repository: place.repo,
    pipeline: place.pipeline,
    sha: place.sha,
    ref: place.ref,
    name,
    user: place.user,
  };
  const blank = { targetUrl: null, description: null, startedAt: null, finishedAt: null, retried: false, path: [] };
  const status: CommitStatus = open ?? { ...about, createdAt: now, status: 'created', ...blank };
  if (!from.includes(status.status)) {
    throw no(400, `Cannot transition status via :${event} from :${status.status} (Reason(s): Status cannot transition via "${event}")`);
  }
  if (!open) {
    for (const older of named) older.retried = true;
    state.statuses.set(status.id, status);
  }
  status.status = wish.state;
  status.path.push(wish.state);
  status.targetUrl = wish.target_url ?? status.targetUrl;
  status.description = wish.description ?? status.description;
  if (wish.state === 'running') status.startedAt = now;
  if (!['pending', 'running'].includes(wish.state)) status.finishedAt = now;
  return status;
}
