import { Hono } from 'hono';
import { answerGit, type GitFetch, wantsOf } from '../git/backend.ts';
import { allows, tokenOf } from './auth.ts';
import { findRepo, fullName, type State } from './state.ts';

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
    return answerGit(c, { folder: found.repo.git, path: rest, body, user: 'x-access-token' });
  });
  return app;
}

/** The password when the user is `x-access-token`, as GitHub wants it; anything else is no credential at all but a wrong one. */
function basic(header: string | undefined): string | undefined {
  if (header === undefined) return undefined;
  const decoded = Buffer.from(/^basic (.+)$/i.exec(header)?.[1] ?? '', 'base64').toString();
  return decoded.startsWith('x-access-token:') ? decoded.slice('x-access-token:'.length) : '';
}
