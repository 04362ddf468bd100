import type { Context } from 'hono';
import { Hono } from 'hono';
import { z } from 'zod';
import type { App } from './polish.ts';

/** What GitHub has and the emulator lacks: deployments with their statuses, and reactions. Kept in memory. */
export interface Gaps {
  readonly routes: Hono;
  readonly deployments: () => readonly Deployment[];
  readonly reactions: (comment: number) => readonly string[];
}

type Status = { readonly id: number; readonly state: string; readonly environment_url: string; readonly description: string };
type Deployment = {
  readonly id: number;
  readonly sha: string;
  readonly ref: string;
  readonly environment: string;
  readonly rest: Readonly<Record<string, unknown>>;
  readonly statuses: Status[];
};
type Reaction = { readonly id: number; readonly comment: number; readonly content: string; readonly user: User };

const NewDeployment = z.looseObject({ ref: z.string(), environment: z.string().default('production') });
const NewStatus = z.looseObject({
  state: z.enum(['error', 'failure', 'inactive', 'in_progress', 'queued', 'pending', 'success']),
  environment_url: z.string().default(''),
  description: z.string().max(140).default(''),
});
const CONTENTS = ['+1', '-1', 'laugh', 'confused', 'heart', 'hooray', 'rocket', 'eyes'] as const;
const NewReaction = z.object({ content: z.enum(CONTENTS) });

const notFound = (c: Context) => c.json({ message: 'Not Found', documentation_url: 'https://docs.github.com/rest' }, 404);
const invalid = (c: Context, message: string) => c.json({ message, documentation_url: 'https://docs.github.com/rest' }, 422);
const body = async (c: Context): Promise<unknown> => c.req.json().catch(() => ({})); // not JSON: refused by the schema that reads it

export type User = { readonly id: number; readonly login: string; readonly type: string };

export type Setting = {
  readonly url: string;
  readonly app: App;
  /** The commit that a branch, or a hash, stands for. */
  readonly resolve: (ref: string) => Promise<string | undefined>;
  /** Who asks, by the token; undefined when nobody that is known. */
  readonly actor: (c: Context) => Promise<User | undefined>;
};

function addDeployments(routes: Hono, setting: Setting, deployments: Map<number, Deployment>, nextId: () => number): void {
  const at = '/repos/:owner/:repo/deployments';
  const link = (c: Context, id: number) => `${setting.url}/repos/${c.req.param('owner')}/${c.req.param('repo')}/deployments/${id}`;
  const show = (c: Context, { id, sha, ref, environment, rest }: Deployment) => ({
    ...rest,
    ...{ id, sha, ref, environment, original_environment: environment, url: link(c, id), statuses_url: `${link(c, id)}/statuses` },
  });
  const find = (c: Context) => deployments.get(Number(c.req.param('id')));
  routes.post(at, async (c) => {
    const wanted = NewDeployment.safeParse(await body(c));
    if (!wanted.success) return invalid(c, 'Validation Failed');
    const { ref, environment, ...rest } = wanted.data;
    const [sha, creator] = [await setting.resolve(ref), await setting.actor(c)];
    if (sha === undefined) return invalid(c, `No ref found for: ${ref}`);
    const via = creator?.type === 'Bot' ? { ...setting.app } : null;
    const times = { created_at: new Date().toISOString(), updated_at: new Date().toISOString() };
    const made: Deployment = {
      id: nextId(),
      sha,
      ref,
      environment,
      rest: { task: 'deploy', payload: {}, ...rest, ...times, creator, performed_via_github_app: via },
      statuses: [],
    };
    deployments.set(made.id, made);
    return c.json(show(c, made), 201);
  });
  routes.get(at, (c) => {
    const { sha, ref, environment, page = '1', per_page = '30' } = c.req.query();
    const all = [...deployments.values()].reverse();
    const wanted = all.filter(
      (one) => (!sha || one.sha === sha) && (!ref || one.ref === ref) && (!environment || one.environment === environment),
    );
    const start = (Number(page) - 1) * Number(per_page);
    return c.json(wanted.slice(start, start + Number(per_page)).map((one) => show(c, one)));
  });
  routes.get(`${at}/:id{[0-9]+}`, (c) => {
    const one = find(c);
    return one === undefined ? notFound(c) : c.json(show(c, one));
  });
  routes.delete(`${at}/:id{[0-9]+}`, (c) => {
    const one = find(c);
    if (one === undefined) return notFound(c);
    const active = one.statuses.at(-1)?.state !== 'inactive';
    if (active && deployments.size > 1) return invalid(c, 'We cannot delete an active deployment unless it is the only deployment.');
    deployments.delete(one.id);
    return c.body(null, 204);
  });
  routes.post(`${at}/:id{[0-9]+}/statuses`, async (c) => {
    const one = find(c);
    const wanted = NewStatus.safeParse(await body(c));
    if (one === undefined) return notFound(c);
    if (!wanted.success) return invalid(c, 'Validation Failed');
    const status = { ...wanted.data, id: nextId(), deployment_url: link(c, one.id), created_at: new Date().toISOString() };
    one.statuses.push(status);
    return c.json(status, 201);
  });
  routes.get(`${at}/:id{[0-9]+}/statuses`, (c) => {
    const one = find(c);
    return one === undefined ? notFound(c) : c.json([...one.statuses].reverse());
  });
}

function addReactions(routes: Hono, setting: Setting, reactions: Map<number, Reaction>, nextId: () => number): void {
  const at = '/repos/:owner/:repo/issues/comments/:comment{[0-9]+}/reactions';
  const show = ({ id, content, user }: Reaction) => ({ id, content, user });
  const on = (c: Context) => [...reactions.values()].filter((one) => one.comment === Number(c.req.param('comment')));
  routes.post(at, async (c) => {
    const wanted = NewReaction.safeParse(await body(c));
    const user = await setting.actor(c);
    if (!wanted.success || user === undefined) return invalid(c, 'Validation Failed');
    const before = on(c).find((one) => one.user.id === user.id && one.content === wanted.data.content);
    if (before !== undefined) return c.json(show(before), 200);
    const made = { id: nextId(), comment: Number(c.req.param('comment')), content: wanted.data.content, user };
    reactions.set(made.id, made);
    return c.json(show(made), 201);
  });
  routes.get(at, (c) => {
    const { content } = c.req.query();
    return c.json(
      on(c)
        .filter((one) => !content || one.content === content)
        .map(show),
    );
  });
  routes.delete(`${at}/:id{[0-9]+}`, (c) => (reactions.delete(Number(c.req.param('id'))) ? c.body(null, 204) : notFound(c)));
}

export function createGaps(setting: Setting): Gaps {
  const deployments = new Map<number, Deployment>();
  const reactions = new Map<number, Reaction>();
  let last = 0;
  const nextId = () => ++last;
  const routes = new Hono();
  for (const path of ['/repos/:owner/:repo/deployments/*', '/repos/:owner/:repo/issues/comments/:comment/reactions/*']) {
    routes.use(path, async (c, next) => ((await setting.actor(c)) === undefined ? c.json({ message: 'Bad credentials' }, 401) : next()));
  }
  addDeployments(routes, setting, deployments, nextId);
  addReactions(routes, setting, reactions, nextId);
  return {
    routes,
    deployments: () => [...deployments.values()],
    reactions: (comment) => [...reactions.values()].filter((one) => one.comment === comment).map((one) => one.content),
  };
}
