import { createHash } from 'node:crypto';
import type { MiddlewareHandler } from 'hono';
import { closed, type Failures } from '../http/failures.ts';
import { refuseJwt, tokenOf } from './auth.ts';
import { type Env, no } from './door.ts';
import type { State } from './state.ts';

export type Seen = {
  readonly at: number;
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  readonly query: string;
  readonly body: string;
  /** Installation whose token came with it; null for the app itself and for strangers. */
  readonly installation: number | null;
  /** 0 when it was never answered. */
  status: number;
};

/** Notes every request, and lets it fail where a failure is planned. */
export function watching(seen: Seen[], failures: Failures, state: State): MiddlewareHandler<Env> {
  return async (c, next) => {
    const { pathname, search } = new URL(c.req.url);
    const token = tokenOf(state, /^(?:token|bearer) (.+)$/i.exec(c.req.header('authorization') ?? '')?.[1] ?? '');
    const installation = token?.installation.id ?? null;
    const isText = (c.req.header('content-type') ?? 'application/json').startsWith('application/json');
    const body = isText ? await c.req.text() : '';
    const entry: Seen = { at: Date.now(), method: c.req.method, path: pathname, query: search, body, installation, status: 0 };
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
      return Response.json({ message, documentation_url: 'https://docs.github.com/rest' }, { status, headers });
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

/** What GitHub asks of every request to its API, and who is asking. */
export function apiDoor(state: State, publicKey: string): MiddlewareHandler<Env> {
  return async (c, next) => {
    if (!c.req.header('user-agent'))
      throw no(403, 'Request forbidden by administrative rules. Please make sure your request has a User-Agent header');
    if (!/application\/(?:vnd\.github[.+a-z0-9-]*\+?json|json)|\*\/\*/.test(c.req.header('accept') ?? ''))
      throw no(415, 'Unsupported Accept header');
    const [, kind, credential = ''] = /^(token|bearer) (.+)$/i.exec(c.req.header('authorization') ?? '') ?? [];
    if (kind && credential.split('.').length === 3) {
      const refusal = refuseJwt(credential, { id: state.app.id, publicKey });
      if (refusal) throw no(401, refusal);
      if (state.app.deleted) throw no(404, 'Integration not found');
      c.set('app', true);
    } else if (kind || c.req.header('authorization')) {
      const token = tokenOf(state, credential);
      if (!token) throw no(401, 'Bad credentials');
      c.set('token', token);
    }
    await next();
    c.header('x-github-media-type', 'github.v3; format=json');
    c.header('x-ratelimit-limit', '5000');
    c.header('x-ratelimit-remaining', '4900');
    c.header('x-ratelimit-reset', String(Math.ceil(Date.now() / 1000) + 3600));
    if (c.req.method !== 'GET' || c.res.status !== 200) return;
    const etag = `W/"${createHash('sha256')
      .update(Buffer.from(await c.res.clone().arrayBuffer()))
      .digest('hex')}"`;
    c.header('etag', etag);
    if (c.req.header('if-none-match') === etag) c.res = new Response(null, { status: 304, headers: c.res.headers });
  };
}

/** GitHub's limits, for each installation: 80 contents a minute and 500 an hour; 900 points a minute, a write being 5 and a read 1. */
export function contentLimit(): MiddlewareHandler<Env> {
  const content = new Map<number, number[]>();
  const points = new Map<number, { at: number; cost: number }[]>();
  return async (c, next) => {
    const token = c.get('token');
    if (!token) return next();
    const now = Date.now();
    const isWrite = c.req.method !== 'GET';
    const isContent = ['POST', 'PATCH', 'PUT'].includes(c.req.method) && /\/(?:comments|reactions)(?:\/|$)/.test(c.req.path);
    const made = (content.get(token.installation.id) ?? []).filter((at) => at > now - 3_600_000);
    const spent = (points.get(token.installation.id) ?? []).filter(({ at }) => at > now - 60_000);
    const lastMinute = made.filter((at) => at > now - 60_000);
    const tooMuch = isContent && (lastMinute.length >= 80 || made.length >= 500);
    if (tooMuch || spent.reduce((sum, { cost }) => sum + cost, 0) >= 900) {
      const url = 'https://docs.github.com/rest/overview/rate-limits-for-the-rest-api#about-secondary-rate-limits';
      throw no(403, 'You have exceeded a secondary rate limit.', { headers: { 'retry-after': '60' }, url });
    }
    if (isContent) content.set(token.installation.id, [...made, now]);
    points.set(token.installation.id, [...spent, { at: now, cost: isWrite ? 5 : 1 }]);
    return next();
  };
}
