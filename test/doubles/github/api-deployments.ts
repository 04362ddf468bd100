import type { Hono } from 'hono';
import { z } from 'zod';
import { resolve } from '../git/git.ts';
import { type Asked, bodyOf, type Env, found, isIn, no, numberOf, page, queryOf, repoFor, type World } from './door.ts';
import { deploymentJson, statusJson } from './shapes.ts';
import type { Deployment } from './state.ts';

const newDeployment = z.strictObject({
  ref: z.string().min(1),
  task: z.string().optional(),
  auto_merge: z.boolean().optional(),
  required_contexts: z.array(z.string()).optional(),
  payload: z.union([z.string(), z.record(z.string(), z.unknown())]).optional(),
  environment: z.string().optional(),
  description: z.string().max(140).nullable().optional(),
  transient_environment: z.boolean().optional(),
  production_environment: z.boolean().optional(),
});
const newStatus = z.strictObject({
  state: z.enum(['error', 'failure', 'inactive', 'in_progress', 'queued', 'pending', 'success']),
  log_url: z.union([z.url(), z.literal('')]).optional(),
  description: z.string().max(140).optional(),
  environment: z.string().optional(),
  environment_url: z.union([z.url(), z.literal('')]).optional(),
  auto_inactive: z.boolean().optional(),
});

export function deploymentRoutes({ state, at }: World, app: Hono<Env>): void {
  const world = { state, at };
  const path = '/repos/:owner/:repo/deployments';
  const one = (c: Asked, level: 'read' | 'write') =>
    found(state.deployments.get(numberOf(c, 'id')), repoFor(world, c, 'deployments', level));
  const isActive = (deployment: Deployment) => deployment.statuses.at(-1)?.state !== 'inactive';

  app.get(path, (c) => {
    const repo = repoFor(world, c, 'deployments');
    const query = queryOf(c, ['sha', 'ref', 'task', 'environment', 'per_page', 'page']);
    const list = [...state.deployments.values()]
      .filter(isIn(repo))
      .filter((d) => d.sha === (query.sha ?? d.sha) && d.environment === (query.environment ?? d.environment));
    return page(c, list.reverse(), (deployment) => deploymentJson(state, deployment, at));
  });
  app.post(path, async (c) => {
    const repo = repoFor(world, c, 'deployments', 'write');
    const wish = await bodyOf(c, newDeployment);
    const sha = await resolve(repo.git ?? '', wish.ref);
    if (!sha) throw no(422, `No ref found for: ${wish.ref}`);
    const unfinished = [...state.checks.values()].some((check) => check.sha === sha && check.conclusion !== 'success');
    if (wish.required_contexts === undefined && unfinished) throw no(409, 'Conflict: Commit status checks failed for the ref.');
    if (wish.auto_merge !== false && sha !== (await resolve(repo.git ?? '', repo.defaultBranch)))
      return c.json({ message: 'Auto-merged main into the ref on deployment.' }, 202);
    const environment = wish.environment ?? 'production';
    const made = { creator: state.app.bot, viaApp: state.app.id, createdAt: state.now(), statuses: [] };
    const kind = {
      transient: wish.transient_environment ?? false,
      production: wish.production_environment ?? environment === 'production',
    };
    const deployment: Deployment = {
      id: state.nextId(),
      repository: repo,
      sha,
      ref: wish.ref,
      task: wish.task ?? 'deploy',
      environment,
      description: wish.description ?? null,
      payload: wish.payload ?? {},
      ...kind,
      ...made,
    };
    state.deployments.set(deployment.id, deployment);
    state.environments.set(repo.id, (state.environments.get(repo.id) ?? new Set()).add(environment));
    return c.json(deploymentJson(state, deployment, at), 201);
  });
  app.get(`${path}/:id`, (c) => c.json(deploymentJson(state, one(c, 'read'), at)));
  app.delete(`${path}/:id`, (c) => {
    const deployment = one(c, 'write');
    const alone = ![...state.deployments.values()].some(
      (other) => other !== deployment && other.repository.id === deployment.repository.id,
    );
    if (isActive(deployment) && !alone)
      throw no(422, 'We cannot delete an active deployment unless it is the only deployment in a given environment.');
    state.deployments.delete(deployment.id);
    return c.body(null, 204);
  });
  app.get(`${path}/:id/statuses`, (c) => page(c, [...one(c, 'read').statuses].reverse(), (status) => statusJson(state, status, at)));
  app.post(`${path}/:id/statuses`, async (c) => {
    const deployment = one(c, 'write');
    const wish = await bodyOf(c, newStatus);
    const urls = { environmentUrl: wish.environment_url ?? '', logUrl: wish.log_url ?? '' };
    const status = { id: state.nextId(), state: wish.state, description: wish.description ?? '', ...urls, createdAt: state.now() };
    if (wish.state === 'success' && wish.auto_inactive !== false) silenceOthers(world, deployment);
    deployment.statuses.push(status);
    return c.json(statusJson(state, status, at), 201);
  });
}

/** `auto_inactive`: a success ends every earlier deployment of its environment that is neither transient nor production. */
function silenceOthers({ state }: World, newest: Deployment): void {
  for (const other of state.deployments.values()) {
    if (other.id >= newest.id || !isIn(newest.repository)(other) || other.environment !== newest.environment) continue;
    if (other.transient || other.production) continue;
    other.statuses.push({ id: state.nextId(), state: 'inactive', description: '', environmentUrl: '', logUrl: '', createdAt: state.now() });
  }
}
