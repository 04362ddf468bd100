import { createPrivateKey } from 'node:crypto';
import { z } from 'zod';
import type { GitHubAddresses } from '../../config.ts';
import type { StoredGitHub } from './connections.ts';

/** https://docs.github.com/rest/apps/apps#create-a-github-app-from-a-manifest */
const answer = z.object({
  id: z.int().positive(),
  slug: z.string().regex(/^[\w-]{1,100}$/),
  html_url: z.string(),
  client_id: z.string().nullish(),
  client_secret: z.string().nullish(),
  webhook_secret: z.string().min(32),
  pem: z.string().refine(isRsaKey),
});

export type Converted = { readonly app: StoredGitHub } | { readonly wrong: ConversionProblem };
export type ConversionProblem = 'code-unknown' | 'unreachable' | 'strange';

const TIMEOUT_MS = 10_000;
const CODE = /^[\w-]{1,200}$/;

/** The credentials of the App that was just made, for the code that came back with the browser: GitHub gives them out once. */
export async function convert(code: string, at: GitHubAddresses): Promise<Converted> {
  if (!CODE.test(code)) return { wrong: 'code-unknown' };
  const response = await fetch(`${at.apiUrl}/app-manifests/${code}/conversions`, {
    method: 'POST',
    redirect: 'manual',
    signal: AbortSignal.timeout(TIMEOUT_MS),
    headers: { accept: 'application/vnd.github+json', 'user-agent': 'mayfly' },
  }).catch(() => undefined); // refused, cut off or late: all that counts is that there is no answer
  if (response === undefined || response.status >= 500) return { wrong: 'unreachable' };
  if (response.status === 404 || response.status === 422) return { wrong: 'code-unknown' };
  const made = answer.safeParse(response.status === 201 ? await response.json().catch(() => undefined) : undefined);
  if (!made.success) return { wrong: 'strange' };
  const { id: appId, slug, html_url, client_id, client_secret, webhook_secret: webhookSecret, pem: privateKey } = made.data;
  const client = client_id && client_secret ? { clientId: client_id, clientSecret: client_secret } : { clientId: null, clientSecret: null };
  return { app: { appId, privateKey, webhookSecret, ...client, ...at, slug, page: pageOf(html_url, slug, at.serverUrl) } };
}

/** What GitHub says of it is shown as a link, so it has to lead to that GitHub. */
function pageOf(told: string, slug: string, serverUrl: string): string {
  return URL.parse(told)?.origin === new URL(serverUrl).origin ? told : `${serverUrl}/apps/${slug}`;
}

function isRsaKey(pem: string): boolean {
  try {
    return createPrivateKey(pem).asymmetricKeyType === 'rsa';
  } catch {
    // Not a key at all.
    return false;
  }
}
