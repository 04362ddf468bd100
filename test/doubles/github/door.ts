import type { Context } from 'hono';
import { HTTPException } from 'hono/http-exception';
import type { z } from 'zod';
import { allows, covers } from './auth.ts';
import type { Addresses } from './shapes.ts';
import { findRepo, type Repo, type State, type Token } from './state.ts';

export type Env = { Variables: { token: Token | undefined; app: boolean }; Bindings: { incoming: import('node:http').IncomingMessage } };
export type Asked = Context<Env>;
export type World = { readonly state: State; readonly at: Addresses };

/** An answer of GitHub's that is not a success. `headers` such as `retry-after` may be set. */
export function no(
  status: 301 | 307 | 400 | 401 | 403 | 404 | 409 | 410 | 415 | 422 | 429,
  message: string,
  more: { headers?: Record<string, string>; errors?: unknown; url?: string } = {},
) {
  const body = {
    message,
    ...(more.errors === undefined ? {} : { errors: more.errors }),
    ...(more.url ? { url: more.url } : {}),
    documentation_url: 'https://docs.github.com/rest',
    status: String(status),
  };
  return new HTTPException(status as 403, { res: Response.json(body, { status, headers: more.headers ?? {} }) });
}

/** The repository of the path for somebody with that permission, or GitHub's way of saying no. */
export function repoFor(world: World, c: Asked, permission: string, level: 'read' | 'write' = 'read'): Repo {
  const name = `${c.req.param('owner')}/${c.req.param('repo')}`;
  const found = findRepo(world.state, name);
  if (!found) throw no(404, 'Not Found');
  if (found.moved) {
    const url = new URL(c.req.url);
    const rest = url.pathname.split('/').slice(4).join('/');
    const to = `${world.at.api}/repositories/${found.repo.id}${rest ? `/${rest}` : ''}${url.search}`;
    throw no(c.req.method === 'GET' ? 301 : 307, c.req.method === 'GET' ? 'Moved Permanently' : 'Temporary Redirect', {
      url: to,
      headers: { location: to },
    });
  }
  return allowed(world, c, { repo: found.repo, permission, level });
}

export function allowed(
  world: World,
  c: Asked,
  wish: { readonly repo: Repo; readonly permission: string; readonly level: 'read' | 'write' },
): Repo {
  const token = c.get('token');
  if (!token) throw no(401, 'Requires authentication');
  if (!covers(token, wish.repo)) {
    if (wish.repo.private || wish.repo.deleted) throw no(404, 'Not Found');
    if (wish.level === 'write') throw no(403, 'Resource not accessible by integration');
    return wish.repo;
  }
  if (!allows(world.state, token, wish.repo, wish.permission, wish.level)) throw no(403, 'Resource not accessible by integration');
  return wish.repo;
}

/** The body, checked strictly: a field that GitHub does not know is a mistake of ours. */
export async function bodyOf<T>(c: Asked, schema: z.ZodType<T>): Promise<T> {
  if (!/^application\/json/.test(c.req.header('content-type') ?? '')) throw no(415, 'Unsupported Media Type');
  let raw: unknown;
  try {
    raw = await c.req.json();
  } catch {
    throw no(400, 'Problems parsing JSON'); // whatever it was, it was not JSON
  }
  const parsed = schema.safeParse(raw);
  if (!parsed.success)
    throw no(422, 'Validation Failed', {
      errors: parsed.error.issues.map(({ path, message }) => ({ field: path.join('.'), code: 'invalid', message })),
    });
  return parsed.data;
}

/** Only these query parameters are known. */
export function queryOf(c: Asked, known: readonly string[]): Record<string, string> {
  const query = c.req.query();
  const unknown = Object.keys(query).filter((name) => !known.includes(name));
  if (unknown.length > 0) throw no(422, `Unknown query parameters: ${unknown.join(', ')}`);
  return query;
}

/** One page of a list as GitHub cuts it (30 by default, 100 at most), with the `Link` header. */
export function page<T>(
  c: Asked,
  items: readonly T[],
  toJson: (item: T) => unknown,
  wrap: (list: unknown[]) => unknown = (list) => list,
): Response {
  const size = Math.min(Number(c.req.query('per_page') ?? 30) || 30, 100);
  const number = Math.max(Number(c.req.query('page') ?? 1) || 1, 1);
  const last = Math.max(Math.ceil(items.length / size), 1);
  const link = (to: number, rel: string) => {
    const url = new URL(c.req.url);
    url.searchParams.set('page', String(to));
    return `<${url}>; rel="${rel}"`;
  };
  if (last > 1) {
    const links = number < last ? [link(number + 1, 'next'), link(last, 'last')] : [link(1, 'first'), link(number - 1, 'prev')];
    c.header('link', links.join(', '));
  }
  return c.json(wrap(items.slice((number - 1) * size, number * size).map(toJson)) as object);
}

export const numberOf = (c: Asked, name: string): number => {
  const value = Number(c.req.param(name));
  if (!Number.isSafeInteger(value)) throw no(404, 'Not Found');
  return value;
};

export const isIn =
  (repo: Repo) =>
  (thing: { readonly repository: Repo }): boolean =>
    thing.repository.id === repo.id;

/** The thing, if it is the repository's. */
export const found = <T extends { readonly repository: Repo }>(thing: T | undefined, repo: Repo): T => {
  if (!thing || !isIn(repo)(thing)) throw no(404, 'Not Found');
  return thing;
};
