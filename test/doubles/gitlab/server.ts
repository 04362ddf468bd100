import type { MiddlewareHandler } from 'hono';
import { closed, type Failures } from '../http/failures.ts';
import { bad, type Env, no } from './door.ts';
import type { State, Token } from './state.ts';

export type Seen = {
  readonly at: number;
  readonly method: string;
  /** Without the query, below the instance's base path: `/api/v4/…`, `/acme/shop.git/…`. */
  readonly path: string;
  readonly query: string;
  readonly body: string;
  /** Login of whose token came with it; null for strangers. */
  readonly user: string | null;
  /** 0 when it was never answered. */
  status: number;
};

/** The token that came with a request to the API, as GitLab looks for it: its own header, or the bearer's. */
const carried = (header: (name: string) => string | undefined): string | undefined =>
  header('private-token') ?? /^bearer (.+)$/i.exec(header('authorization') ?? '')?.[1];

/** Notes every request, and lets it fail where a failure is planned. */
export function watching(
  seen: Seen[],
  failures: Failures,
  world: { readonly state: State; readonly base: string },
): MiddlewareHandler<Env> {
  return async (c, next) => {
    const { pathname, search } = new URL(c.req.url);
    const path = pathname.slice(world.base.length);
    const user = world.state.tokens.get(carried((name) => c.req.header(name)) ?? '')?.user.login ?? null;
    const isGit = path.includes('.git/');
    const body = isGit ? '' : await c.req.text();
    const entry: Seen = { at: Date.now(), method: c.req.method, path, query: search, body, user, status: 0 };
    seen.push(entry);
    const failure = failures.take(entry);
    if (failure?.answer === 'hang') {
      await closed(c.env.incoming);
      return c.body(null, 408);
    }
    if (typeof failure?.answer === 'object') {
      const { status, headers = {}, message = 'Planned failure', page } = failure.answer;
      entry.status = status;
      if (page !== undefined) return new Response(page, { status, headers });
      return Response.json({ message }, { status, headers });
    }
    await next();
    if (failure?.answer === 'cut') {
      c.env.incoming.socket.destroy();
      return;
    }
    entry.status = c.res.status;
    return;
  };
}

/** Why a token is not good for anything; undefined when it is. */
export function refusal(token: Token): string | undefined {
  if (token.revoked) return 'Token was revoked. You have to re-authorize from the user.';
  if (token.expiresAt <= new Date().toISOString().slice(0, 10)) {
    return 'Token is expired. You can either do re-authorization or token refresh.';
  }
  return undefined;
}

/** Scopes of which one is asked for (`allow_access_with_scope`); a token may always look at itself. */
function scopesFor(method: string, path: string): readonly string[] | 'any' {
  if (path === '/personal_access_tokens/self') return 'any';
  if (method !== 'GET') return ['api'];
  if (path === '/user' || path.startsWith('/users/') || path === '/version' || path === '/metadata')
    return ['api', 'read_user', 'read_api'];
  return ['api', 'read_api'];
}

/** Who is asking. The shapes are those of GitLab's lib/api/api_guard.rb. */
export function apiDoor(world: {
  readonly state: State;
  readonly base: string;
  readonly unknown: (what: string) => void;
}): MiddlewareHandler<Env> {
  return async (c, next) => {
    const path = new URL(c.req.url).pathname.slice(`${world.base}/api/v4`.length);
    const named = ['private_token', 'access_token', 'job_token'].filter((name) => c.req.query(name) !== undefined);
    if (named.length > 0) {
      // GitLab takes it. It would stand in every log on the way.
      world.unknown(`${c.req.method} ${path}: a token in the address`);
      throw bad(400, 'The double takes no token in the address');
    }
    const token = world.state.tokens.get(carried((name) => c.req.header(name)) ?? '');
    if (!token) throw no(401, '401 Unauthorized');
    const why = refusal(token);
    if (why) throw bad(401, 'invalid_token', { error_description: why });
    if (token.user.state === 'blocked') throw no(403, '403 Forbidden - Your account has been blocked.');
    const scopes = scopesFor(c.req.method, path);
    if (scopes !== 'any' && !scopes.some((scope) => token.scopes.includes(scope))) {
      const error_description = 'The request requires higher privileges than provided by the access token.';
      throw bad(403, 'insufficient_scope', { error_description, scope: scopes.join(' ') });
    }
    c.set('token', token);
    await next();
    c.header('x-gitlab-meta', JSON.stringify({ correlation_id: 'double', version: '1' }));
  };
}

/** The instance's limit for users of its API (https://docs.gitlab.com/administration/settings/user_and_ip_rate_limits/), for each token. */
export function rateLimit(perMinute: number): MiddlewareHandler<Env> {
  const made = new Map<string, number[]>();
  return async (c, next) => {
    const key = c.get('token').token;
    const now = Date.now();
    const lately = (made.get(key) ?? []).filter((at) => at > now - 60_000);
    const resets = Math.ceil(((lately[0] ?? now) + 60_000 - now) / 1000);
    const headers = {
      'ratelimit-limit': String(perMinute),
      'ratelimit-name': 'throttle_authenticated_api',
      'ratelimit-observed': String(lately.length + 1),
      'ratelimit-remaining': String(Math.max(perMinute - lately.length - 1, 0)),
      'ratelimit-reset': String(Math.ceil(now / 1000) + resets),
    };
    if (lately.length >= perMinute)
      return new Response('Retry later\n', { status: 429, headers: { ...headers, 'retry-after': String(resets) } });
    made.set(key, [...lately, now]);
    await next();
    for (const [name, value] of Object.entries(headers)) c.header(name, value);
    return;
  };
}
