import type { Context } from 'hono';
import { HTTPException } from 'hono/http-exception';
import { z } from 'zod';
import type { Hooks } from './hooks.ts';
import type { payloads } from './payloads.ts';
import { findRepo, type Pull, type Repo, rightsOf, type State, type Token, type User } from './state.ts';

export type Env = { Variables: { token: Token }; Bindings: { incoming: import('node:http').IncomingMessage } };
export type Asked = Context<Env>;
export type World = {
  readonly state: State;
  /** Address of the instance, its base path included, without a slash at the end. */
  readonly url: string;
  readonly hooks: Hooks;
  readonly payload: ReturnType<typeof payloads>;
  readonly version: string;
  /** Notes what GitLab would pass over in silence and we must not: a route, a parameter that it does not know. */
  readonly unknown: (what: string) => void;
};

type Status = 301 | 400 | 401 | 403 | 404 | 405 | 409 | 413 | 415 | 422 | 429;
const answer = (status: Status, body: object, headers: Record<string, string> = {}) =>
  new HTTPException(status as 403, { res: Response.json(body, { status, headers }) });

/** An answer of GitLab's own (`render_api_error!`): `{"message": …}`. */
export const no = (status: Status, message: string | object, headers?: Record<string, string>) => answer(status, { message }, headers);
/** An answer of the layer that checks parameters and tokens: `{"error": …}`. */
export const bad = (status: Status, error: string, more: object = {}) => answer(status, { error, ...more });
/** What a record that is not there gets, wherever GitLab did not name the kind of thing. */
export const missing = () => no(404, '404 Not found');
export const notFound = (kind: string) => no(404, `404 ${kind} Not Found`);
export const forbidden = () => no(403, '403 Forbidden');

/** The least that lets see a private project: Minimal Access (5) does not. */
const GUEST = 10;
/** Private projects exist only for their members; all see what is public. */
export const sees = (repo: Repo, user: User): boolean => !repo.deleted && (!repo.private || rightsOf(repo, user) >= GUEST);

/**
 * The project of the path (its id, or its full path URL-encoded) for somebody with that level. A former path redirects what is read to the
 * id, and refuses what is written with 405 (`find_project!` in GitLab's lib/api/helpers.rb, since 15.6).
 */
export function repoFor({ state, url }: World, c: Asked, least = 0): Repo {
  const wish = c.req.param('id') ?? '';
  const byId = /^\d+$/.test(wish) ? state.repositories.get(Number(wish)) : undefined;
  const found = byId ? { repo: byId, moved: false } : findRepo(state, wish);
  const { user } = c.get('token');
  if (!found || !sees(found.repo, user)) throw notFound('Project');
  if (found.moved) {
    if (c.req.method !== 'GET') throw no(405, 'Non GET methods are not allowed for moved projects');
    const asked = new URL(c.req.url);
    const rest = asked.pathname.split(`/projects/${encodeURIComponent(wish)}`)[1] ?? '';
    const to = `${url}/api/v4/projects/${found.repo.id}${rest}${asked.search}`;
    throw no(301, `This resource has been moved permanently to ${to}`, { location: to });
  }
  const isReadOnly = found.repo.archived || found.repo.deletedOn !== null;
  if (rightsOf(found.repo, user) < least || (isReadOnly && c.req.method !== 'GET')) throw forbidden();
  return found.repo;
}

/** In a private project code and merge requests are not for Guests. */
export const READER = 20;
/** https://docs.gitlab.com/user/permissions: Developers write, Maintainers administer. */
export const DEVELOPER = 30;
export const MAINTAINER = 40;
export const readerOf = (world: World, c: Asked): Repo => {
  const repo = repoFor(world, c);
  if (repo.private && rightsOf(repo, c.get('token').user) < READER) throw forbidden();
  return repo;
};

/** The merge request of the path, for somebody with that level in its project. */
export function pullFor(world: World, c: Asked, least = 0): Pull {
  const repo = repoFor(world, c, least);
  const user = c.get('token').user;
  if (repo.private && rightsOf(repo, user) < READER) throw missing();
  const pull = repo.pulls.get(numberOf(c, 'iid'));
  if (!pull) throw missing();
  return pull;
}

export const numberOf = (c: Asked, name: string): number => {
  const value = Number(c.req.param(name));
  if (!Number.isSafeInteger(value)) throw bad(400, `${name} is invalid`);
  return value;
};

/** Booleans and numbers as they come in a query or form, or as themselves in JSON. */
export const flag = z.union([z.boolean(), z.enum(['true', 'false', '1', '0']).transform((text) => text === 'true' || text === '1')]);
export const count = z.coerce.number().int();
export const paging = { page: count.min(1).optional(), per_page: count.min(1).optional() };

async function sent(c: Asked): Promise<Record<string, unknown>> {
  const query: Record<string, unknown> = {};
  for (const [name, values] of Object.entries(c.req.queries())) query[name] = name.endsWith('[]') ? values : (values[0] ?? '');
  if (c.req.method === 'GET') return query;
  const text = await c.req.text();
  const type = c.req.header('content-type') ?? '';
  if (text === '') return query;
  if (type.startsWith('application/x-www-form-urlencoded')) return { ...query, ...Object.fromEntries(new URLSearchParams(text)) };
  if (!type.startsWith('application/json')) throw bad(415, `The provided content-type '${type}' is not supported.`);
  try {
    const body: unknown = JSON.parse(text);
    if (typeof body === 'object' && body !== null && !Array.isArray(body)) return { ...query, ...body };
  } catch {
    // whatever it was, it was not JSON
  }
  throw bad(400, 'Problems parsing JSON');
}

/**
 * What was sent, checked strictly. GitLab passes over a parameter that it does not know; here it is noted and refused, since it is a
 * mistake of ours. What is missing or wrong is refused in the words of GitLab's validations (`body is missing`).
 */
export async function paramsOf<S extends z.ZodRawShape>(world: World, c: Asked, shape: S): Promise<z.infer<z.ZodObject<S>>> {
  const given = await sent(c);
  const strange = Object.keys(given).filter((name) => !(name in shape));
  if (strange.length > 0) {
    const what = `${c.req.method} ${new URL(c.req.url).pathname}: parameter ${strange.join(', ')}`;
    world.unknown(what);
    throw bad(400, `The double knows no ${what}`);
  }
  const parsed = z.object(shape).safeParse(given);
  if (parsed.success) return parsed.data;
  const said = parsed.error.issues.map((issue) => {
    const name = issue.path.join('.');
    if (given[name] === undefined) return `${name} is missing`;
    return issue.code === 'invalid_value' || issue.code === 'too_big' || issue.code === 'too_small'
      ? `${name} does not have a valid value`
      : `${name} is invalid`;
  });
  throw bad(400, said.join(', '));
}

/** One page of a list by its number: 20 by default, 100 at most (https://docs.gitlab.com/api/rest/#offset-based-pagination). */
export function page<T>(c: Asked, items: readonly T[], toJson: (item: T) => unknown): Response {
  const size = Math.min(Number(c.req.query('per_page') ?? 20) || 20, 100);
  const number = Math.max(Number(c.req.query('page') ?? 1) || 1, 1);
  const last = Math.max(Math.ceil(items.length / size), 1);
  const link = (to: number, rel: string) => {
    const url = new URL(c.req.url);
    url.searchParams.set('page', String(to));
    url.searchParams.set('per_page', String(size));
    return `<${url}>; rel="${rel}"`;
  };
  const links = [link(1, 'first'), link(last, 'last')];
  if (number < last) links.unshift(link(number + 1, 'next'));
  if (number > 1) links.unshift(link(number - 1, 'prev'));
  c.header('link', links.join(', '));
  c.header('x-page', String(number));
  c.header('x-per-page', String(size));
  c.header('x-prev-page', number > 1 ? String(number - 1) : '');
  c.header('x-next-page', number < last ? String(number + 1) : '');
  // Left out of lists over 10,000, as GitLab does: counting them is dear.
  if (items.length <= 10_000) {
    c.header('x-total', String(items.length));
    c.header('x-total-pages', String(last));
  }
  return c.json(items.slice((number - 1) * size, number * size).map(toJson));
}

/** One page of a list by the last id seen; only the next page is known (https://docs.gitlab.com/api/rest/#keyset-based-pagination). */
export function keyset<T extends { readonly id: number }>(c: Asked, items: readonly T[], toJson: (item: T) => unknown): Response {
  if (c.req.query('order_by') !== 'id') throw bad(405, 'Keyset pagination is not yet available for this type of request');
  const ascending = c.req.query('sort') === 'asc';
  const size = Math.min(Number(c.req.query('per_page') ?? 20) || 20, 100);
  const after = Number(c.req.query('id_after') ?? 0);
  const before = Number(c.req.query('id_before') ?? Number.MAX_SAFE_INTEGER);
  const left = items.filter(({ id }) => id > after && id < before).sort((a, b) => (ascending ? a.id - b.id : b.id - a.id));
  const shown = left.slice(0, size);
  const last = shown.at(-1);
  if (last && left.length > size) {
    const url = new URL(c.req.url);
    url.searchParams.set(ascending ? 'id_after' : 'id_before', String(last.id));
    c.header('link', `<${url}>; rel="next"`);
  }
  return c.json(shown.map(toJson));
}
