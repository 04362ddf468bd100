import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Logger } from 'pino';
import { Probot, ProbotOctokit } from 'probot';
import type { GitHubConfig } from '../config.ts';
import { createTokens, installationAuth } from './installation-token.ts';

export type Octokit = InstanceType<typeof ProbotOctokit>;

/** GitHub as one registered App sees it. */
export interface GitHubApp {
  readonly appId: number;
  /** Of pages and git, without a slash at the end. */
  readonly serverUrl: string;
  /** Whether the header signs exactly these bytes with our secret. Takes the same time for every wrong signature; never throws. */
  verify(rawBody: Buffer, signature: string | undefined): boolean;
  /** Authenticated as the app itself: for `/app/…` alone. */
  asApp(): Promise<Octokit>;
  /** Authenticated as an installation; a token that GitHub no longer takes is minted anew. */
  forInstallation(id: number): Octokit;
  /** A token of the installation that still lives for a few minutes at least. */
  token(installation: number): Promise<string>;
  /** Drops the installation's token and its client. */
  forget(installation: number): void;
}

/** GitHub cuts its own requests after 10 s; what has not come by then does not come. */
const TIMEOUT_MS = 10_000;
/** A busy App has a few hundred installations; a client is a few closures. */
const MAX_CLIENTS = 500;

/** The built-in fetch with a limit of its own. Redirects are handed back: following one would turn a POST into a GET. */
function timedFetch(timeoutMs: number): typeof fetch {
  return (input, init) => {
    const signals = [AbortSignal.timeout(timeoutMs), ...(init?.signal ? [init.signal] : [])];
    return fetch(input, { ...init, redirect: 'manual', signal: AbortSignal.any(signals) });
  };
}

/** A read that failed may be repeated at once; a write may have been done although its answer never came, so its caller looks first. */
function repeatReadsOnly(octokit: { readonly hook: Octokit['hook'] }): Record<string, never> {
  octokit.hook.before('request', (options) => {
    if (options.method !== 'GET') options.request.retries = 0;
  });
  return {};
}

const MayflyOctokit = ProbotOctokit.plugin(repeatReadsOnly).defaults({
  userAgent: 'mayfly',
  // Off on purpose: the plugin keeps 3 s between comments, sleeps through a limit with the job in its hands, and tells limits apart by
  // the text of a message. `github-limit.ts` keeps to GitHub's limits instead, and a limit becomes a Fault that says until when.
  throttle: { enabled: false },
  retry: { retries: 1, retryAfterBaseValue: 500, doNotRetry: [400, 401, 403, 404, 409, 410, 415, 422, 429, 451] },
});

/** The hex digits of HMAC-SHA256, as GitHub writes them: lower case, behind `sha256=`. */
const SIGNATURE = /^sha256=[0-9a-f]{64}$/;

/**
 * Opens GitHub through Probot: it makes the App's own client (JSON web tokens, request log), from which installations' are minted.
 * Signatures are checked here and not by `probot.webhooks.verify`, which takes text: bytes that are no UTF-8 all decode to the same
 * replacement character, so that a changed body could pass.
 */
export function openGitHub(config: GitHubConfig, options: { readonly log: Logger; readonly timeoutMs?: number }): GitHubApp {
  const shared = { baseUrl: config.apiUrl, request: { fetch: timedFetch(options.timeoutMs ?? TIMEOUT_MS) } };
  const { appId, privateKey, webhookSecret: secret } = config;
  const probot = new Probot({ ...shared, appId, privateKey, secret, log: options.log, Octokit: MayflyOctokit });
  const tokens = createTokens(async (installation) => {
    const app = await probot.auth();
    return (await app.rest.apps.createInstallationAccessToken({ installation_id: installation })).data;
  });
  const clients = new Map<number, Octokit>();

  return {
    appId,
    serverUrl: config.serverUrl.replace(/\/+$/, ''),
    verify(rawBody, signature) {
      if (signature === undefined || !SIGNATURE.test(signature)) return false;
      const expected = createHmac('sha256', secret).update(rawBody).digest();
      return timingSafeEqual(expected, Buffer.from(signature.slice('sha256='.length), 'hex'));
    },
    asApp: () => probot.auth(),
    forInstallation(id) {
      const known = clients.get(id);
      if (known) return known;
      const auth = { take: () => tokens.get(id), renew: (stale: string) => tokens.renew(id, stale) };
      const log = options.log.child({ name: 'github', installation: id });
      const client = new MayflyOctokit({ ...shared, log, authStrategy: installationAuth, auth });
      const oldest = clients.size >= MAX_CLIENTS ? clients.keys().next().value : undefined;
      if (oldest !== undefined) clients.delete(oldest);
      clients.set(id, client);
      return client;
    },
    token: (installation) => tokens.get(installation),
    forget(installation) {
      tokens.forget(installation);
      clients.delete(installation);
    },
  };
}
