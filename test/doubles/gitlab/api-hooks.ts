import { randomUUID } from 'node:crypto';
import { Hono } from 'hono';
import { z } from 'zod';
import { resolve } from '../git/git.ts';
import { type Asked, bad, type Env, flag, MAINTAINER, missing, no, numberOf, page, paging, paramsOf, repoFor, type World } from './door.ts';
import type { Delivery, Happening } from './hooks.ts';
import { ZEROS } from './payloads.ts';
import { hookJson } from './shapes.ts';
import { type Hook, ownerOf, type Repo } from './state.ts';

/** Whether this GitLab knows signing tokens: since 19.0, and a silent nothing before. */
export type Signing = 'signs' | 'cannot sign';

/** Every switch of a hook; pushes are on unless said otherwise, the others off. */
export const SWITCHES = [
  'push_events',
  'issues_events',
  'confidential_issues_events',
  'merge_requests_events',
  'tag_push_events',
  'note_events',
  'confidential_note_events',
  'job_events',
  'pipeline_events',
  'wiki_page_events',
  'deployment_events',
  'feature_flag_events',
  'releases_events',
  'milestone_events',
  'emoji_events',
  'resource_access_token_events',
  'vulnerability_events',
] as const;
const switches = z.object(Object.fromEntries(SWITCHES.map((name) => [name, flag.optional()]))).shape;

const settings = {
  url: z.string(),
  name: z.string().optional(),
  description: z.string().optional(),
  token: z.string().optional(),
  signing_token: z.string().optional(),
  enable_ssl_verification: flag.optional(),
  push_events_branch_filter: z.string().optional(),
  branch_filter_strategy: z.enum(['wildcard', 'regex', 'all_branches']).optional(),
  ...switches,
};
type Wish = { readonly [name: string]: unknown };

/** A hook with nothing on but pushes. */
export function newHook(
  repository: Repo,
  wish: { readonly id: number; readonly now: string; readonly url: string; readonly planted: boolean },
): Hook {
  const events = new Map<string, boolean>(SWITCHES.map((name) => [name, name === 'push_events']));
  const about = { id: wish.id, repository, uuid: randomUUID(), createdAt: wish.now, url: wish.url, planted: wish.planted, events };
  const blank = { name: null, description: null, token: null, signingToken: null, sslVerification: true, branchFilter: null };
  return { ...about, ...blank, branchFilterStrategy: 'wildcard', failures: 0, disabledUntil: null };
}

/** Webhooks of a project, for its Maintainers (https://docs.gitlab.com/api/project_webhooks/). */
export function hookRoutes(world: World, signing: Signing): Hono<Env> {
  const { state } = world;
  const app = new Hono<Env>();
  const path = '/projects/:id/hooks';
  const one = (c: Asked, repo: Repo): Hook => {
    const hook = repo.hooks.get(numberOf(c, 'hook'));
    if (!hook) throw missing();
    return hook;
  };
  const apply = (hook: Hook, wish: Wish): void => {
    const textOr = (name: string, before: string | null): string | null => {
      const value = wish[name];
      return typeof value === 'string' ? (value === '' ? null : value) : before;
    };
    check(wish, signing);
    const url = textOr('url', hook.url) ?? hook.url;
    // Another address does not get the secrets of the one before (`WebHook#reset_token`).
    if (url !== hook.url) {
      hook.token = null;
      hook.signingToken = null;
    }
    hook.url = url;
    hook.name = textOr('name', hook.name);
    hook.description = textOr('description', hook.description);
    hook.token = textOr('token', hook.token);
    if (signing === 'signs') hook.signingToken = textOr('signing_token', hook.signingToken);
    hook.branchFilter = textOr('push_events_branch_filter', hook.branchFilter);
    hook.branchFilterStrategy = textOr('branch_filter_strategy', hook.branchFilterStrategy) ?? 'wildcard';
    if (typeof wish.enable_ssl_verification === 'boolean') hook.sslVerification = wish.enable_ssl_verification;
    for (const name of SWITCHES) if (typeof wish[name] === 'boolean') hook.events.set(name, wish[name] === true);
  };

  app.get(path, async (c) => {
    await paramsOf(world, c, paging);
    return page(c, [...repoFor(world, c, MAINTAINER).hooks.values()], (hook) => hookJson(hook, signing));
  });
  app.post(path, async (c) => {
    const repo = repoFor(world, c, MAINTAINER);
    const wish = await paramsOf(world, c, settings);
    const hook = newHook(repo, { id: state.nextId(), now: state.now(), url: wish.url, planted: false });
    apply(hook, wish);
    repo.hooks.set(hook.id, hook);
    return c.json(hookJson(hook, signing), 201);
  });
  app.get(`${path}/:hook`, async (c) => {
    await paramsOf(world, c, {});
    return c.json(hookJson(one(c, repoFor(world, c, MAINTAINER)), signing));
  });
  app.put(`${path}/:hook`, async (c) => {
    const hook = one(c, repoFor(world, c, MAINTAINER));
    apply(hook, await paramsOf(world, c, { ...settings, url: z.string().optional() }));
    return c.json(hookJson(hook, signing));
  });
  app.delete(`${path}/:hook`, async (c) => {
    await paramsOf(world, c, {});
    const repo = repoFor(world, c, MAINTAINER);
    repo.hooks.delete(one(c, repo).id);
    return c.body(null, 204);
  });
  app.post(`${path}/:hook/test/:trigger`, async (c) => {
    await paramsOf(world, c, {});
    const repo = repoFor(world, c, MAINTAINER);
    const hook = one(c, repo);
    const sample = await sampleOf(world, repo, c.req.param('trigger'));
    if (!sample) throw no(422, 'Ensure the project has at least one event of that kind.');
    const delivery = await world.hooks.sendTo(hook, sample);
    if (delivery.statusCode === 0) throw no(422, 'Failed to open TCP connection');
    return c.json({ message: '201 Created' }, 201);
  });
  eventRoutes(world, app, one);
  return app;
}

/** What a test of a hook sends: something that happened, told again. Undefined when nothing of the kind did. */
async function sampleOf({ payload, state }: World, repo: Repo, trigger: string): Promise<Happening | undefined> {
  const by = ownerOf(state, repo);
  const pull = [...repo.pulls.values()].at(-1);
  if (trigger === 'merge_requests_events') return pull && { trigger, payload: await payload.pull('open', pull, { by }) };
  if (trigger !== 'push_events' || !repo.git) return undefined;
  const after = (await resolve(repo.git, `refs/heads/${repo.defaultBranch}`)) ?? ZEROS;
  return { trigger, payload: await payload.push(repo, { ref: `refs/heads/${repo.defaultBranch}`, before: ZEROS, after, by }) };
}

function check(wish: Wish, signing: Signing): void {
  if (typeof wish.url === 'string' && !/^https?:\/\/[^/\s]+/.test(wish.url)) throw bad(422, 'Invalid url given');
  if (typeof wish.token === 'string' && /[\r\n]/.test(wish.token)) throw no(400, { token: ['is invalid'] });
  const signs = wish.signing_token;
  if (signing === 'signs' && typeof signs === 'string' && signs !== '') {
    const [, key = ''] = /^whsec_([A-Za-z0-9+/]+=*)$/.exec(signs) ?? [];
    if (Buffer.from(key, 'base64').length !== 32)
      throw no(400, { signing_token: ['must be in the format whsec_<base64> and encode a 32-byte key'] });
  }
}

const WEEK_MS = 7 * 86_400_000;
/** Kinds of answers that the record can be asked for, beside a plain number. */
const CATEGORIES: Readonly<Record<string, (code: number) => boolean>> = {
  successful: (code) => code >= 200 && code < 300,
  client_failure: (code) => code >= 400 && code < 500,
  server_failure: (code) => code >= 500 && code < 600,
};

/** What a hook did in the last seven days, the newest first, and the one way to send something again. */
function eventRoutes(world: World, app: Hono<Env>, hookOf: (c: Asked, repo: Repo) => Hook): void {
  const path = '/projects/:id/hooks/:hook/events';
  const resent = new Map<string, number[]>();
  const recordOf = (hook: Hook): Delivery[] =>
    world.hooks.deliveries
      .filter((one) => one.hook === hook && !one.lost && one.at > Date.now() - WEEK_MS)
      .sort((a, b) => b.at - a.at || Number(b.id) - Number(a.id));

  app.get(path, async (c) => {
    const hook = hookOf(c, repoFor(world, c, MAINTAINER));
    // Twenty to a page and no more here: a hundred are refused (lib/api/hooks/events.rb).
    const wish = await paramsOf(world, c, {
      ...paging,
      per_page: z.coerce.number().int().min(1).max(20).optional(),
      status: z.string().optional(),
    });
    const wanted = wish.status?.split(',');
    const fits = ({ statusCode }: Delivery) =>
      wanted === undefined || wanted.some((one) => CATEGORIES[one]?.(statusCode) ?? one === String(statusCode));
    return page(c, recordOf(hook).filter(fits), eventJson);
  });
  app.post(`${path}/:event/resend`, async (c) => {
    await paramsOf(world, c, {});
    const hook = hookOf(c, repoFor(world, c, MAINTAINER));
    const delivery = recordOf(hook).find(({ id }) => id === c.req.param('event'));
    if (!delivery) throw missing();
    // Five a minute for each hook and user (https://docs.gitlab.com/api/project_webhooks/#resend-a-project-webhook-event).
    const key = `${hook.id} ${c.get('token').user.id}`;
    const lately = (resent.get(key) ?? []).filter((at) => at > Date.now() - 60_000);
    if (lately.length >= 5)
      throw no(429, { error: 'This endpoint has been requested too many times. Try again later.' }, { 'retry-after': '60' });
    resent.set(key, [...lately, Date.now()]);
    if (delivery.url !== hook.url) throw no(422, 'The hook URL has changed, and this log entry cannot be retried');
    const again = await world.hooks.redeliver(delivery);
    if (again.lost) throw no(422, 'Hook disabled');
    if (again.statusCode === 0) throw no(422, 'Failed to open TCP connection');
    return c.json({ response_status: again.statusCode }, 201);
  });
}

const eventJson = (delivery: Delivery) => ({
  id: Number(delivery.id),
  url: delivery.url,
  trigger: delivery.trigger,
  request_headers: { ...delivery.headers, ...(delivery.headers['X-Gitlab-Token'] ? { 'X-Gitlab-Token': '[REDACTED]' } : {}) },
  request_data: JSON.parse(delivery.body),
  response_headers: delivery.responseHeaders,
  response_body: delivery.responseBody,
  execution_duration: delivery.durationMs / 1000,
  response_status: delivery.statusCode === 0 ? 'internal error' : String(delivery.statusCode),
});
