import type { Context } from 'hono';
import { Hono } from 'hono';
import { isObject, type Json, parseJson } from '../json.ts';
import { type Facts, polish, withPermissions } from './polish.ts';

export type Front = {
  /** Where the emulator listens. */
  readonly emulator: string;
  readonly repository: { readonly id: () => number; readonly fullName: string };
  readonly facts: () => Facts;
  /** Resolves when what was pushed is known to the emulator. */
  readonly ready: () => Promise<void>;
  /** Told of every answer that is an error, for the story to show when a step fails. */
  readonly onRefusal: (line: string) => void;
};

/** Headers that belong to one connection, or that `fetch` sets by itself. */
const HOP = ['host', 'connection', 'content-length', 'transfer-encoding', 'accept-encoding', 'keep-alive', 'if-none-match'];

async function passOn(c: Context, front: Front, path: string): Promise<Response> {
  const headers = new Headers(c.req.raw.headers);
  for (const name of HOP) headers.delete(name);
  const { search } = new URL(c.req.url);
  const body = ['GET', 'HEAD'].includes(c.req.method) ? null : await c.req.arrayBuffer();
  const response = await fetch(`${front.emulator}${path}${search}`, { method: c.req.method, headers, body, redirect: 'manual' });
  if (response.status >= 400) front.onRefusal(`${c.req.method} ${path}${search} → ${response.status}`);
  return response;
}

function answer(response: Response, change: (value: Json) => Json): Promise<Response> | Response {
  const isJson = response.headers.get('content-type')?.includes('application/json') ?? false;
  const headers = new Headers(response.headers);
  for (const name of ['content-length', 'content-encoding', 'transfer-encoding', 'connection', 'keep-alive']) headers.delete(name);
  if (!isJson) return new Response(response.body, { status: response.status, headers });
  return response.text().then((text) => new Response(JSON.stringify(change(parseJson(text))), { status: response.status, headers }));
}

/** GitHub knows a repository by its number as well as by its name; the emulator by name. */
function toNamed(path: string, front: Front): string {
  const [, id, rest] = /^\/repositories\/(\d+)(\/.*)?$/.exec(path) ?? [];
  return id !== undefined && Number(id) === front.repository.id() ? `/repos/${front.repository.fullName}${rest ?? ''}` : path;
}

/** The emulator's REST interface with its gaps filled: mount it after the routes that the emulator lacks. */
export function createFront(front: Front): Hono {
  const app = new Hono();
  app.use(async (_c, next) => {
    await front.ready();
    await next();
  });
  app.get('/repos/:owner/:repo/collaborators/:user/permission', async (c) => {
    const response = await passOn(c, front, c.req.path);
    const stranger = { role_name: '', user: { login: c.req.param('user') } };
    if (response.status === 404) return c.json(withPermissions(stranger));
    return answer(response, (value) => (isObject(value) ? withPermissions(value) : value));
  });
  app.get('/installation/repositories', async (c) => {
    const repository = await (await answer(await passOn(c, front, `/repos/${front.repository.fullName}`), (value) => value)).json();
    return c.json({ total_count: 1, repository_selection: 'all', repositories: [repository] });
  });
  app.all('*', async (c) => answer(await passOn(c, front, toNamed(c.req.path, front)), (value) => polish(value, front.facts())));
  return app;
}
