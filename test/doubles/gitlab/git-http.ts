import { Hono } from 'hono';
import { answerGit, type GitFetch, wantsOf } from '../git/backend.ts';
import { sees } from './door.ts';
import { refusal } from './server.ts';
import { findRepo, fullName, rightsOf, type State, type Token } from './state.ts';

/** Scopes with which a token may fetch (https://docs.gitlab.com/user/profile/personal_access_tokens/#personal-access-token-scopes). */
const FETCHES = ['api', 'read_repository', 'write_repository'];
const READER = 20;

/**
 * Smart HTTP of GitLab: `/{group}/…/{project}.git/…`, for a token as the password of any user name that is not empty. A former path is
 * served as the new one is: GitLab answers it and adds a warning for people.
 */
export function gitRoutes(state: State, base: string, log: (fetch: GitFetch) => void): Hono {
  const app = new Hono();
  app.on(['GET', 'POST'], '*', async (c, next) => {
    const url = new URL(c.req.url);
    const match = /^\/(.+)\.git(\/(?:info\/refs|git-[a-z-]+))$/.exec(decodeURIComponent(url.pathname.slice(base.length)));
    if (!match) return next();
    const found = findRepo(state, match[1] ?? '');
    const denied = (status: 401 | 404) =>
      status === 401
        ? c.text('HTTP Basic: Access denied.', 401, { 'www-authenticate': 'Basic realm="GitLab"' })
        : c.text("The project you were looking for could not be found or you don't have permission to view it.", 404);
    const header = c.req.header('authorization');
    const token = header === undefined ? undefined : basic(state, header);
    if (header !== undefined && !token) return denied(401);
    if (!found) return denied(token ? 404 : 401);
    const { repo } = found;
    if (token ? !sees(repo, token.user) : repo.private) return denied(token ? 404 : 401);
    if (token && repo.private && rightsOf(repo, token.user) < READER)
      return c.text('You are not allowed to download code from this project.', 403);
    if (!repo.git) return denied(404);
    const rest = match[2] ?? '';
    if (rest === '/info/refs' ? url.searchParams.get('service') !== 'git-upload-pack' : rest !== '/git-upload-pack') {
      return c.text('You are not allowed to push code to this project.', 403);
    }
    const body = Buffer.from(await c.req.arrayBuffer());
    const wants = wantsOf(body);
    log({ repository: fullName(repo), at: Date.now(), kind: wants.length === 0 ? 'refs' : 'pack', wants });
    return answerGit(c, { folder: repo.git, path: rest, body, user: token?.user.login ?? 'anonymous' });
  });
  return app;
}

function basic(state: State, header: string): Token | undefined {
  const decoded = Buffer.from(/^basic (.+)$/i.exec(header)?.[1] ?? '', 'base64').toString();
  const split = decoded.indexOf(':');
  const token = split < 1 ? undefined : state.tokens.get(decoded.slice(split + 1));
  if (!token || refusal(token) || token.user.state !== 'active') return undefined;
  return token.scopes.some((scope) => FETCHES.includes(scope)) ? token : undefined;
}
