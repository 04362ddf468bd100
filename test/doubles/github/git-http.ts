import { spawn } from 'node:child_process';
import { dirname } from 'node:path';
import { Readable } from 'node:stream';
import { gunzipSync } from 'node:zlib';
import type { Context } from 'hono';
import { Hono } from 'hono';
import { allows, tokenOf } from './auth.ts';
import { findRepo, fullName, type Repo, type State } from './state.ts';

/** One question that git asked: the refs, or the objects of some commits. */
export type GitFetch = {
  readonly repository: string;
  readonly at: number;
  readonly kind: 'refs' | 'pack';
  readonly wants: readonly string[];
};

/** Smart HTTP of github.com: `/{owner}/{name}.git/…`, for installation tokens as the password, by `git http-backend`. */
export function gitRoutes(state: State, log: (fetch: GitFetch) => void): Hono {
  const app = new Hono();
  app.on(['GET', 'POST'], '/:owner/:name{.+\\.git}/*', async (c) => {
    const url = new URL(c.req.url);
    const match = /^\/([^/]+)\/([^/]+)\.git(\/.*)$/.exec(decodeURIComponent(url.pathname));
    const found = match && findRepo(state, `${match[1]}/${match[2]}`);
    const denied = (status: 401 | 404) =>
      c.text(status === 401 ? 'Authentication required' : 'Not Found', status, { 'www-authenticate': 'Basic realm="GitHub"' });
    const credentials = basic(c.req.header('authorization'));
    const token = credentials === undefined ? undefined : tokenOf(state, credentials);
    if (credentials !== undefined && !token) return denied(401);
    if (!match || !found?.repo.git) return denied(token ? 404 : 401);
    if (!(token ? allows(state, token, found.repo, 'contents', 'read') : !found.repo.private)) return denied(token ? 404 : 401);
    const rest = match[3] ?? '';
    if (found.moved) return c.redirect(`/${fullName(found.repo)}.git${rest}${url.search}`, 301);
    if (rest === '/info/refs' ? url.searchParams.get('service') !== 'git-upload-pack' : rest !== '/git-upload-pack') {
      return c.text('Write access to repository not granted.', 403);
    }
    const body = Buffer.from(await c.req.arrayBuffer());
    const wants = wantsOf(body);
    log({ repository: fullName(found.repo), at: Date.now(), kind: wants.length === 0 ? 'refs' : 'pack', wants });
    return backend(c, found.repo, { path: rest, body });
  });
  return app;
}

/** The password when the user is `x-access-token`, as GitHub wants it; anything else is no credential at all but a wrong one. */
function basic(header: string | undefined): string | undefined {
  if (header === undefined) return undefined;
  const decoded = Buffer.from(/^basic (.+)$/i.exec(header)?.[1] ?? '', 'base64').toString();
  return decoded.startsWith('x-access-token:') ? decoded.slice('x-access-token:'.length) : '';
}

function wantsOf(body: Buffer): string[] {
  const text = (body[0] === 0x1f && body[1] === 0x8b ? gunzipSync(body) : body).toString('latin1');
  return [...text.matchAll(/want ([0-9a-f]{40})/g)].map((want) => want[1] ?? '');
}

async function backend(c: Context, repo: Repo, request: { readonly path: string; readonly body: Buffer }): Promise<Response> {
  const folder = repo.git ?? '';
  const header = (name: string) => c.req.header(name) ?? '';
  const child = spawn('git', ['http-backend'], {
    stdio: ['pipe', 'pipe', 'ignore'],
    env: {
      PATH: process.env.PATH ?? '',
      HOME: '/nonexistent',
      GIT_CONFIG_COUNT: '1',
      GIT_CONFIG_KEY_0: 'safe.directory',
      GIT_CONFIG_VALUE_0: '*',
      GIT_PROJECT_ROOT: dirname(folder),
      GIT_HTTP_EXPORT_ALL: '1',
      PATH_INFO: `${folder.slice(dirname(folder).length)}${request.path}`,
      QUERY_STRING: new URL(c.req.url).search.slice(1),
      REQUEST_METHOD: c.req.method,
      CONTENT_TYPE: header('content-type'),
      CONTENT_LENGTH: String(request.body.length),
      HTTP_CONTENT_ENCODING: header('content-encoding'),
      GIT_PROTOCOL: header('git-protocol'),
      REMOTE_USER: 'x-access-token',
      REMOTE_ADDR: '127.0.0.1',
    },
  });
  child.stdin.on('error', () => {}); // the backend may answer before it has read everything
  child.stdin.end(request.body);
  const { head, rest } = await untilBlankLine(child.stdout);
  const headers = new Headers();
  for (const line of head.split('\r\n')) headers.append(line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim());
  const status = Number.parseInt(headers.get('status') ?? '200', 10);
  headers.delete('status');
  return new Response(Readable.toWeb(rest) as ReadableStream<Uint8Array>, { status, headers });
}

/** Splits a CGI answer into its header lines and the stream of what follows. */
async function untilBlankLine(stream: Readable): Promise<{ readonly head: string; readonly rest: Readable }> {
  const chunks = stream[Symbol.asyncIterator]();
  let seen = Buffer.alloc(0);
  while (!seen.includes('\r\n\r\n')) {
    const next = await chunks.next();
    if (next.done) throw new Error('git http-backend gave no headers');
    seen = Buffer.concat([seen, next.value]);
  }
  const end = seen.indexOf('\r\n\r\n');
  const rest = Readable.from(
    (async function* () {
      yield seen.subarray(end + 4);
      for (let next = await chunks.next(); !next.done; next = await chunks.next()) yield next.value;
    })(),
    { objectMode: false },
  );
  return { head: seen.subarray(0, end).toString(), rest };
}
