import { randomBytes } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Hono } from 'hono';
import { HTTPException } from 'hono/http-exception';
import type { GitFetch } from './git/backend.ts';
import { environmentRoutes } from './gitlab/api-environments.ts';
import { factRoutes } from './gitlab/api-facts.ts';
import { hookRoutes, type Signing } from './gitlab/api-hooks.ts';
import { noteRoutes } from './gitlab/api-notes.ts';
import { type DiffLimits, pullRoutes } from './gitlab/api-pulls.ts';
import { statusRoutes } from './gitlab/api-statuses.ts';
import { treeRoutes } from './gitlab/api-trees.ts';
import { bad, type Env, type World } from './gitlab/door.ts';
import { gitRoutes } from './gitlab/git-http.ts';
import { createHooks } from './gitlab/hooks.ts';
import { payloads } from './gitlab/payloads.ts';
import { apiDoor, rateLimit, type Seen, watching } from './gitlab/server.ts';
import {
  type Comment,
  createState,
  type Deployment,
  type Environment,
  ensureUser,
  type Pull,
  type Repo,
  type Token,
} from './gitlab/state.ts';
import { commentVerbs } from './gitlab/verbs-comment.ts';
import { pullVerbs } from './gitlab/verbs-pull.ts';
import { repositoryVerbs } from './gitlab/verbs-repository.ts';
import { createFailures, type Failure } from './http/failures.ts';
import { listen } from './http/listen.ts';

export type { Files } from './git/git.ts';
export type { Delivery } from './gitlab/hooks.ts';
export type { Comment, CommitStatus, Deployment, Environment, Hook, Pull, Repo } from './gitlab/state.ts';

/** A webhook secret (`X-Gitlab-Token`) as long as Mayfly asks for. */
export const WEBHOOK_SECRET = 'a-webhook-secret-of-the-double-of-gitlab';
/** A signing token: `whsec_` and 32 bytes in base64. */
export const SIGNING_TOKEN = `whsec_${Buffer.from('a-signing-key-of-gitlabs-double!').toString('base64')}`;

export type GitLab = Awaited<ReturnType<typeof createGitLab>>;
export type Options = {
  /** Base path of the instance, as where it lives under `https://example.com/gitlab`; none unless given. */
  readonly path?: string;
  readonly webhookUrl?: string;
  /** Of the planted hooks; null leaves it away. */
  readonly secret?: string | null;
  readonly signingToken?: string | null;
  /** `cannot sign`: before 19.0, where a signing token is passed over in silence. */
  readonly signing?: Signing;
  /** Whose the token is: the bot user of a group's or project's access token, or a person. */
  readonly as?: 'bot' | 'person';
  /** Requests a minute for a token; beyond that 429. */
  readonly rateLimit?: number;
};

/**
 * A strict GitLab: REST API v4 and git over real HTTP, real bare repositories, webhooks with token and signature. A route or parameter that
 * it does not know is noted in `unknownRequests`; GitLab itself passes over the latter.
 */
export async function createGitLab(options: Options = {}) {
  const base = options.path ?? '';
  const we = options.as === 'person' ? { login: 'mayfly', type: 'User' as const } : { login: 'group_7_bot_0c1d2e3f', type: 'Bot' as const };
  const state = createState(we);
  const folder = mkdtempSync(join(tmpdir(), 'gitlab-'));
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 3 }));

  const requests: Seen[] = [];
  const fetches: GitFetch[] = [];
  const unknownRequests: string[] = [];
  const failures = createFailures();
  const limits: DiffLimits = { maxFiles: 1_000 };
  const signing = options.signing ?? 'signs';
  const app = new Hono<Env>();
  const server = stack.use(await listen(app));
  const url = `http://127.0.0.1:${server.port}${base}`;
  // `X-Gitlab-Instance` is the origin alone, whatever the base path (`Settings.gitlab.base_url`).
  const failed = (why: unknown) => void unknownRequests.push(`a webhook that the double could not send: ${why}`);
  const hooks = createHooks({ instance: new URL(url).origin, nextId: state.nextId, failed });
  // Nowhere to send to is as if GitLab had never sent it: an address that refuses would put the hooks to sleep.
  if (options.webhookUrl === undefined) hooks.lost = 'what planted hooks want';
  stack.defer(() => hooks.stop());
  const payload = payloads(state, url);
  const unknown = (what: string) => void unknownRequests.push(what);
  const world: World = { state, url, hooks, payload, version: signing === 'signs' ? '19.1.2' : '18.5.1', unknown };

  const api = new Hono<Env>();
  api.use(apiDoor({ state, base, unknown }));
  if (options.rateLimit !== undefined) api.use(rateLimit(options.rateLimit));
  const routes = [factRoutes(world), pullRoutes(world, limits), noteRoutes(world), statusRoutes(world), environmentRoutes(world)];
  for (const part of [...routes, treeRoutes(world), hookRoutes(world, signing)]) api.route('/', part);
  app.onError((error, c) => {
    if (error instanceof HTTPException) return error.getResponse();
    unknown(`${c.req.method} ${new URL(c.req.url).pathname}, at which the double failed: ${error.stack}`);
    return c.json({ message: '500 Internal Server Error' }, 500);
  });
  app.use(watching(requests, failures, { state, base }));
  app.route(`${base}/api/v4`, api);
  app.route(
    '/',
    gitRoutes(state, base, (fetch) => void fetches.push(fetch)),
  );
  app.all('*', (c) => {
    unknown(`${c.req.method} ${new URL(c.req.url).pathname}`);
    throw bad(404, '404 Not Found');
  });

  function mintToken(wish: { readonly login?: string; readonly scopes?: readonly string[]; readonly expiresAt?: string } = {}): Token {
    const user = wish.login === undefined ? state.us : ensureUser(state, wish.login);
    const about = { id: state.nextId(), token: `glpat-${randomBytes(15).toString('base64url')}`, name: 'mayfly', user };
    const token: Token = { ...about, scopes: wish.scopes ?? ['api'], expiresAt: wish.expiresAt ?? '2099-12-31', revoked: false };
    state.tokens.set(token.token, token);
    return token;
  }
  const ours = mintToken();
  const secret = options.secret === undefined ? WEBHOOK_SECRET : options.secret;
  const signingToken = options.signingToken === undefined ? SIGNING_TOKEN : options.signingToken;
  const hook = { url: options.webhookUrl ?? null, token: secret, signingToken: signing === 'signs' ? signingToken : null };
  const making = { state, url, hooks, payload };
  const commenting = commentVerbs(making);
  const isOurs = (comment: Comment): boolean => comment.author.id === state.us.id && !comment.system;
  const parts = stack.move();
  return {
    /** Of the instance (`GITLAB_URL`), its base path included. */
    url,
    token: ours.token,
    webhookSecret: secret,
    signingToken: hook.signingToken,
    us: state.us,
    state,
    requests,
    fetches,
    unknownRequests,
    limits,
    ...pullVerbs(making),
    ...commenting,
    ...repositoryVerbs(making, { folder, hook }),
    /** Comments of ours on the merge request. */
    ourComments: (pull: Pull): Comment[] => commenting.commentsOf(pull).filter(isOurs),
    /** The one comment of ours; throws when there are several. */
    ourComment(pull: Pull): Comment | undefined {
      const found = commenting.commentsOf(pull).filter(isOurs);
      if (found.length > 1) throw new Error(`${found.length} comments of ours on !${pull.number}`);
      return found[0];
    },
    statusesOf: (sha: string) => [...state.statuses.values()].filter((status) => status.sha === sha),
    deployments: (repo: Repo): Deployment[] => [...state.deployments.values()].filter((deployment) => deployment.repository === repo),
    environments: (repo: Repo): Environment[] => [...state.environments.values()].filter((one) => one.repository === repo),
    /** Another token, of ours or of somebody else. */
    mintToken,
    /** Our token is void from now on. */
    revokeToken(): void {
      ours.revoked = true;
    },
    /** Our token's last day was yesterday. */
    expireToken(): void {
      ours.expiresAt = '2020-01-01';
    },
    /** The next matching requests go wrong, to the API and to git alike. */
    fail: (failure: Failure) => failures.plan(failure),
    deliveries: hooks.deliveries,
    redeliver: hooks.redeliver,
    /** Any event to a project's hooks, signed and sent. */
    deliver: hooks.send,
    payload,
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  };
}
