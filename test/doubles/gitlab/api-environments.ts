import { Hono } from 'hono';
import { z } from 'zod';
import {
  type Asked,
  bad,
  DEVELOPER,
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
  readerOf,
  repoFor,
  type World,
} from './door.ts';
import { deploymentJson, environmentJson } from './shapes.ts';
import { type Deployment, type DeploymentState, type Environment, type Repo, rightsOf, type State, type User } from './state.ts';

/** `Gitlab::Regex.environment_name_regex` */
const NAME = /^[a-zA-Z0-9_\\${}. -](?:[a-zA-Z0-9_\\/${}. -]*[a-zA-Z0-9_\\${}. -])?$/;
const tier = z.enum(['production', 'staging', 'testing', 'development', 'other']);

export function environmentRoutes(world: World): Hono<Env> {
  const { state, url } = world;
  const app = new Hono<Env>();
  const path = '/projects/:id/environments';
  const one = (c: Asked, repo: Repo): Environment => {
    const environment = state.environments.get(numberOf(c, 'environment'));
    if (environment?.repository !== repo) throw missing();
    return environment;
  };

  app.get(path, async (c) => {
    const wish = await paramsOf(world, c, {
      ...paging,
      name: z.string().optional(),
      search: z.string().optional(),
      states: z.enum(['available', 'stopping', 'stopped']).optional(),
    });
    const repo = readerOf(world, c);
    if (wish.name !== undefined && wish.search !== undefined) throw bad(400, 'name, search cannot be used together');
    if (wish.search !== undefined && wish.search.length < 3) throw no(400, '400 Bad request - Search query is less than 3 characters');
    const found = [...state.environments.values()]
      .filter((environment) => environment.repository === repo)
      .filter(({ name }) => name === (wish.name ?? name) && name.toLowerCase().startsWith((wish.search ?? '').toLowerCase()))
      .filter((environment) => environment.state === (wish.states ?? environment.state));
    return page(c, found.reverse(), (environment) => environmentJson(environment, url));
  });
  app.post(path, async (c) => {
    const repo = repoFor(world, c, DEVELOPER);
    const wish = await paramsOf(world, c, {
      name: z.string(),
      description: z.string().optional(),
      external_url: z.string().optional(),
      tier: tier.optional(),
      auto_stop_setting: z.enum(['always', 'with_action']).optional(),
    });
    const environment = create(state, repo, wish);
    return c.json(environmentJson(environment, url), 201);
  });
  app.get(`${path}/:environment`, async (c) => {
    await paramsOf(world, c, {});
    const environment = one(c, readerOf(world, c));
    const last = lastDeployment(state, environment);
    return c.json({ ...environmentJson(environment, url), last_deployment: last ? deploymentJson(last, url) : null });
  });
  app.put(`${path}/:environment`, async (c) => {
    const environment = one(c, repoFor(world, c, DEVELOPER));
    const wish = await paramsOf(world, c, {
      description: z.string().optional(),
      external_url: z.string().optional(),
      tier: tier.optional(),
      auto_stop_setting: z.enum(['always', 'with_action']).optional(),
    });
    const problem = urlProblem(wish.external_url);
    if (problem) throw no(400, { external_url: [problem] });
    if (wish.external_url !== undefined) address(state, environment, wish.external_url);
    environment.tier = wish.tier ?? environment.tier;
    return c.json(environmentJson(environment, url));
  });
  app.post(`${path}/:environment/stop`, async (c) => {
    await paramsOf(world, c, { force: flag.optional() });
    const repo = readerOf(world, c);
    const environment = one(c, repo);
    if (rightsOf(repo, c.get('token').user) < DEVELOPER) throw forbidden();
    environment.state = 'stopped';
    environment.updatedAt = state.now();
    return c.json(environmentJson(environment, url));
  });
  app.delete(`${path}/:environment`, async (c) => {
    await paramsOf(world, c, {});
    const repo = readerOf(world, c);
    const environment = one(c, repo);
    // Nobody may delete what runs (app/policies/environment_policy.rb: `~stopped` prevents it).
    if (rightsOf(repo, c.get('token').user) < DEVELOPER || environment.state !== 'stopped') throw forbidden();
    state.environments.delete(environment.id);
    for (const { id, environment: of } of [...state.deployments.values()]) if (of === environment) state.deployments.delete(id);
    return c.body(null, 204);
  });
  deploymentRoutes(world, app);
  return app;
}

function urlProblem(address: string | undefined): string | undefined {
  if (address === undefined || address === '') return undefined;
  if (address.length > 255) return 'is too long (maximum is 255 characters)';
  return /^https?:\/\/[^/]/.test(address) ? undefined : 'is blocked: Only allowed schemes are http, https';
}

function address(state: State, environment: Environment, to: string): void {
  environment.externalUrl = to === '' ? null : to;
  environment.urls.push(environment.externalUrl);
  environment.updatedAt = state.now();
}

/** Names are unique in a project, whatever the state: a stopped one holds its name until it is deleted. */
function create(
  state: State,
  repo: Repo,
  wish: { readonly name: string; readonly external_url?: string | undefined; readonly tier?: string | undefined },
): Environment {
  const taken = [...state.environments.values()].some(({ repository, name }) => repository === repo && name === wish.name);
  if (taken) throw no(400, { name: ['has already been taken'] });
  if (wish.name.length > 255) throw no(400, { name: ['is too long (maximum is 255 characters)'] });
  if (!NAME.test(wish.name)) {
    const may = "can contain only letters, digits, '-', '_', '/', '$', '{', '}', '.', and spaces, but it cannot start or end with '/'";
    throw no(400, { name: [may] });
  }
  const problem = urlProblem(wish.external_url);
  if (problem) throw no(400, { external_url: [problem] });
  const id = state.nextId();
  const slug = `${wish.name
    .toLowerCase()
    .replace(/[^a-z0-9]/g, '-')
    .slice(0, 17)}-${id.toString(36)}`.slice(0, 24);
  const when = { createdAt: state.now(), updatedAt: state.now() };
  const externalUrl = wish.external_url === undefined || wish.external_url === '' ? null : wish.external_url;
  const about = { id, repository: repo, name: wish.name, slug, ...when };
  const environment: Environment = { ...about, externalUrl, tier: wish.tier ?? 'other', state: 'available', urls: [externalUrl] };
  state.environments.set(id, environment);
  return environment;
}

/** The newest that succeeded: what GitLab takes to be there now. */
const lastDeployment = (state: State, environment: Environment): Deployment | undefined =>
  [...state.deployments.values()].reverse().find((one) => one.environment === environment && one.status === 'success');

const finished: readonly DeploymentState[] = ['success', 'failed', 'canceled'];
const status = z.enum(['running', 'success', 'failed', 'canceled']);
const LISTED = ['created', 'running', 'success', 'failed', 'canceled', 'blocked'] as const;

function deploymentRoutes(world: World, app: Hono<Env>): void {
  const { state, url } = world;
  const path = '/projects/:id/deployments';
  const one = (c: Asked, repo: Repo): Deployment => {
    const deployment = state.deployments.get(numberOf(c, 'deployment'));
    if (deployment?.repository !== repo) throw missing();
    return deployment;
  };

  app.get(path, async (c) => {
    const wish = await paramsOf(world, c, {
      ...paging,
      order_by: z.enum(['id', 'iid', 'created_at', 'updated_at', 'finished_at', 'ref']).optional(),
      sort: z.enum(['asc', 'desc']).optional(),
      environment: z.string().optional(),
      status: z.enum(LISTED).optional(),
      updated_after: z.string().optional(),
      updated_before: z.string().optional(),
    });
    const repo = readerOf(world, c);
    if ((wish.updated_after ?? wish.updated_before) !== undefined && wish.order_by !== 'updated_at')
      throw no(400, '400 Bad request - `updated_at` filter and `updated_at` sorting must be paired');
    const found = [...state.deployments.values()].filter(
      (deployment) =>
        deployment.repository === repo &&
        deployment.environment.name === (wish.environment ?? deployment.environment.name) &&
        deployment.status === (wish.status ?? deployment.status),
    );
    return page(c, wish.sort === 'desc' ? found.reverse() : found, (deployment) => deploymentJson(deployment, url));
  });
  app.post(path, async (c) => {
    const repo = repoFor(world, c, DEVELOPER);
    const wish = await paramsOf(world, c, { environment: z.string(), sha: z.string(), ref: z.string(), tag: flag, status: status });
    const named = [...state.environments.values()].find(({ repository, name }) => repository === repo && name === wish.environment);
    const environment = named ?? create(state, repo, { name: wish.environment });
    const deployment = deploy(state, environment, { ...wish, user: c.get('token').user });
    return c.json(deploymentJson(deployment, url), 201);
  });
  app.get(`${path}/:deployment`, async (c) => {
    await paramsOf(world, c, {});
    return c.json(deploymentJson(one(c, readerOf(world, c)), url));
  });
  app.put(`${path}/:deployment`, async (c) => {
    const deployment = one(c, repoFor(world, c, DEVELOPER));
    const wish = await paramsOf(world, c, { status });
    if (deployment.job !== null) throw no(403, '403 Forbidden - Deployments created using GitLab CI can not be updated using the API');
    // `run` leads on from `created` alone; the others from anything but themselves (app/models/deployment.rb).
    if (wish.status === 'running' || wish.status === deployment.status) {
      const event = { running: 'run', success: 'succeed', failed: 'drop', canceled: 'cancel' }[wish.status];
      throw no(400, { status: [`cannot transition via "${event}"`] });
    }
    enter(state, deployment, wish.status);
    return c.json(deploymentJson(deployment, url));
  });
  app.delete(`${path}/:deployment`, async (c) => {
    await paramsOf(world, c, {});
    const deployment = one(c, readerOf(world, c));
    // Maintainers alone: the role above that which may create them (app/policies/project_policy.rb).
    if (rightsOf(deployment.repository, c.get('token').user) < MAINTAINER) throw forbidden();
    if (deployment.status === 'running') throw no(400, 'Cannot destroy running deployment');
    if (lastDeployment(state, deployment.environment) === deployment) throw no(400, 'Deployment currently deployed to environment');
    state.deployments.delete(deployment.id);
    return c.body(null, 204);
  });
}

function enter(state: State, deployment: Deployment, to: DeploymentState): void {
  deployment.status = to;
  deployment.statuses.push({ state: to });
  deployment.updatedAt = state.now();
  // What is deployed to is there again, even if it had been stopped (`Deployments::UpdateEnvironmentService`).
  if (to === 'success') deployment.environment.state = 'available';
  if (finished.includes(to)) deployment.environment.updatedAt = state.now();
}

/** A new one; the last again when nothing differs from it (`Deployment#equal_to?`). */
function deploy(
  state: State,
  environment: Environment,
  wish: { readonly sha: string; readonly ref: string; readonly tag: boolean; readonly status: DeploymentState; readonly user: User },
): Deployment {
  const last = lastDeployment(state, environment);
  if (last && last.sha === wish.sha && last.ref === wish.ref && last.tag === wish.tag && last.status === wish.status) return last;
  const repository = environment.repository;
  const iid = 1 + Math.max(0, ...[...state.deployments.values()].filter((one) => one.repository === repository).map((one) => one.iid));
  const about = {
    id: state.nextId(),
    iid,
    repository,
    environment,
    sha: wish.sha,
    ref: wish.ref,
    tag: wish.tag,
    user: wish.user,
    job: null,
  };
  const deployment: Deployment = { ...about, createdAt: state.now(), updatedAt: state.now(), status: 'created', statuses: [] };
  state.deployments.set(deployment.id, deployment);
  enter(state, deployment, wish.status);
  return deployment;
}
