import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Hono } from 'hono';
import { parse } from 'yaml';
import { z } from 'zod';
import type { GitFetch } from './git/backend.ts';
import { appRoutes } from './github/api-app.ts';
import { factRoutes } from './github/api-facts.ts';
import { voiceRoutes } from './github/api-voice.ts';
import { type Env, no } from './github/door.ts';
import { gitRoutes } from './github/git-http.ts';
import { createHooks } from './github/hooks.ts';
import { createRegistration } from './github/manifest.ts';
import { payloads } from './github/payloads.ts';
import { apiDoor, contentLimit, type Seen, watching } from './github/server.ts';
import { type Comment, createState, type Pull, type Repo } from './github/state.ts';
import { commentVerbs, pullVerbs } from './github/verbs-pull.ts';
import { repositoryVerbs } from './github/verbs-repository.ts';
import { createFailures, type Failure } from './http/failures.ts';
import { listen } from './http/listen.ts';

export type { Files } from './git/git.ts';
export type { Delivery } from './github/hooks.ts';
export type { CheckRun, Comment, Deployment, Pull, Repo } from './github/state.ts';

/** A webhook secret as long as Mayfly asks for. */
export const WEBHOOK_SECRET = 'a-webhook-secret-of-the-double-of-github';
const manifest = z.object({ default_permissions: z.record(z.string(), z.string()), default_events: z.array(z.string()) });
// One pair for the process: making it costs 0.1 s, and no test is about the key.
const KEYS = generateKeyPairSync('rsa', {
  modulusLength: 2048,
  publicKeyEncoding: { type: 'spki', format: 'pem' },
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
});

export type GitHub = Awaited<ReturnType<typeof createGitHub>>;

/**
 * A strict GitHub: REST API and github.com's git over real HTTP, real bare repositories, signed webhooks. It grants what `app.yml` asks
 * for and nothing else; a route, query or body field that it does not know is refused, and routes are noted in `unknownRequests`.
 */
export async function createGitHub(options: { readonly webhookUrl?: string; readonly secret?: string } = {}) {
  const wanted = manifest.parse(parse(readFileSync(new URL('../../app.yml', import.meta.url), 'utf8')));
  const state = createState({ permissions: wanted.default_permissions, events: wanted.default_events });
  const folder = mkdtempSync(join(tmpdir(), 'github-'));
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 3 }));

  const secret = options.secret ?? WEBHOOK_SECRET;
  const requests: Seen[] = [];
  const fetches: GitFetch[] = [];
  const unknownRequests: string[] = [];
  const failures = createFailures();
  const hooks = createHooks({ url: options.webhookUrl ?? null, secret, appId: state.app.id, nextId: state.nextId });

  const api = new Hono<Env>();
  const web = new Hono<Env>();
  web.use(watching(requests, failures, state));
  web.route(
    '/',
    gitRoutes(state, (fetch) => void fetches.push(fetch)),
  );
  const webServer = stack.use(await listen(web));
  const apiServer = stack.use(await listen(api));
  const at = { api: `http://127.0.0.1:${apiServer.port}`, web: `http://127.0.0.1:${webServer.port}` };
  const world = { state, at };
  api.use(watching(requests, failures, state), apiDoor(state, KEYS.publicKey), contentLimit());
  const registration = createRegistration(world, hooks, KEYS);
  web.route('/', registration.web);
  api.route('/', registration.api);
  api.route('/', appRoutes(world, hooks));
  api.route('/', voiceRoutes(world));
  api.route('/', factRoutes(world));
  for (const [name, app] of Object.entries({ api, web })) {
    app.all('*', (c) => {
      unknownRequests.push(`${name} ${c.req.method} ${new URL(c.req.url).pathname}`);
      throw no(404, 'Not Found');
    });
  }

  const making = { state, at, hooks, payload: payloads(state, at) };
  const commenting = commentVerbs(making);
  const repositories = repositoryVerbs(making, folder);
  const parts = stack.move();
  return {
    /** Of the API (`GITHUB_API_URL`). */
    url: at.api,
    /** Of the pages and of git (`GITHUB_SERVER_URL`). */
    serverUrl: at.web,
    appId: state.app.id,
    privateKey: KEYS.privateKey,
    webhookSecret: secret,
    state,
    requests,
    fetches,
    unknownRequests,
    ...pullVerbs(making),
    ...commenting,
    ...repositories,
    /** Comments of ours on the pull: of the app, with a marker. */
    ourComments: (pull: Pull): Comment[] => commenting.commentsOf(pull).filter((comment) => comment.viaApp === state.app.id),
    /** The one comment of ours; throws when there are several. */
    ourComment(pull: Pull): Comment | undefined {
      const ours = commenting.commentsOf(pull).filter((comment) => comment.viaApp === state.app.id);
      if (ours.length > 1) throw new Error(`${ours.length} comments of ours on #${pull.number}`);
      return ours[0];
    },
    checksOf: (sha: string) => [...state.checks.values()].filter((check) => check.sha === sha),
    deployments: (repo: Repo) => [...state.deployments.values()].filter((deployment) => deployment.repository === repo),
    environments: (repo: Repo) => [...(state.environments.get(repo.id) ?? [])],
    /** The next matching requests go wrong, to the API and to git alike. */
    fail: (failure: Failure) => failures.plan(failure),
    /** Where webhooks are sent from now on; null loses them. */
    sendWebhooksTo(url: string | null): void {
      hooks.url = url;
    },
    deliveries: hooks.deliveries,
    /** Apps that were made from a manifest, also those whose code nobody used. */
    made: registration.made,
    /** What webhooks are signed with now. */
    hookSecret: (): string => hooks.secret,
    /** As its owner does on the App's page: GitHub tells every installation, and knows nothing of it from then on. */
    async deleteApp(): Promise<void> {
      for (const { account } of [...state.installations.values()].filter(({ deleted }) => !deleted))
        await repositories.uninstall(account.login);
      state.app.deleted = true;
    },
    redeliver: hooks.redeliver,
    /** Any webhook, signed and sent. */
    deliver: hooks.send,
    payload: making.payload,
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  };
}
