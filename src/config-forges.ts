import { createPrivateKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { GitHubAddresses, GitHubConfig, GitLabConfig } from './config.ts';
import { type Parsed, parseWebUrl, type Reader } from './config-reader.ts';

const GITHUB = ['APP_ID', 'PRIVATE_KEY', 'PRIVATE_KEY_PATH', 'WEBHOOK_SECRET', 'GITHUB_CLIENT_ID', 'GITHUB_CLIENT_SECRET'] as const;
const GITLAB = ['GITLAB_URL', 'GITLAB_TOKEN', 'GITLAB_WEBHOOK_SECRET', 'GITLAB_SIGNING_TOKEN'] as const;
const SECRET_EXAMPLE = '$(openssl rand -hex 32)';
const WEBHOOK_SECRET_LENGTH = 32;
/** Standard Webhooks: at least 24 bytes behind `whsec_`. */
const SIGNING_KEY_BYTES = 24;

/** The GitHub App's settings: all of them or none. */
export function readGitHub(reader: Reader, addresses: GitHubAddresses): GitHubConfig | null {
  if (!GITHUB.some((name) => reader.isSet(name))) return null;
  const appId = reader.integer({ name: 'APP_ID', example: 'APP_ID=123456', fallback: 0 }, { from: 1, to: Number.MAX_SAFE_INTEGER });
  const privateKey = readPrivateKey(reader);
  const webhookSecret = reader.secret({ name: 'WEBHOOK_SECRET', example: `WEBHOOK_SECRET=${SECRET_EXAMPLE}` }, WEBHOOK_SECRET_LENGTH);
  const clientId = reader.secret({ name: 'GITHUB_CLIENT_ID', example: 'GITHUB_CLIENT_ID=Iv1.0123456789abcdef' }, 1);
  const clientSecret = reader.secret({ name: 'GITHUB_CLIENT_SECRET', example: 'GITHUB_CLIENT_SECRET=…' }, 1);
  demand(reader, { name: 'APP_ID', because: 'the GitHub App is half set', example: 'APP_ID=123456' });
  demand(reader, { name: 'WEBHOOK_SECRET', because: 'the GitHub App is half set', example: `WEBHOOK_SECRET=${SECRET_EXAMPLE}` });
  if (reader.isSet('GITHUB_CLIENT_ID') !== reader.isSet('GITHUB_CLIENT_SECRET')) {
    const because = 'signing in with GitHub is half set';
    demand(reader, { name: 'GITHUB_CLIENT_ID', because, example: 'GITHUB_CLIENT_ID=Iv1.0123456789abcdef' });
    demand(reader, { name: 'GITHUB_CLIENT_SECRET', because, example: 'GITHUB_CLIENT_SECRET=…' });
  }
  if (appId === 0 || privateKey === null || webhookSecret === null) return null;
  return { appId, privateKey, webhookSecret, clientId, clientSecret, ...addresses };
}

export const readGitHubAddresses = (reader: Reader): GitHubAddresses => ({
  apiUrl: readAddress(reader, 'GITHUB_API_URL', 'https://api.github.com'),
  serverUrl: readAddress(reader, 'GITHUB_SERVER_URL', 'https://github.com'),
});

/** GitLab's settings: address, token and at least one way to know its webhooks. */
export function readGitLab(reader: Reader): GitLabConfig | null {
  if (!GITLAB.some((name) => reader.isSet(name))) return null;
  const because = 'GitLab is half set';
  demand(reader, { name: 'GITLAB_URL', because, example: 'GITLAB_URL=https://gitlab.com' });
  demand(reader, { name: 'GITLAB_TOKEN', because, example: 'GITLAB_TOKEN=glpat-…' });
  if (!reader.isSet('GITLAB_WEBHOOK_SECRET') && !reader.isSet('GITLAB_SIGNING_TOKEN')) {
    const either = `${because}: it or GITLAB_SIGNING_TOKEN`;
    demand(reader, { name: 'GITLAB_WEBHOOK_SECRET', because: either, example: `GITLAB_WEBHOOK_SECRET=${SECRET_EXAMPLE}` });
  }
  const url = readAddress(reader, 'GITLAB_URL', '');
  const token = reader.secret({ name: 'GITLAB_TOKEN', example: 'GITLAB_TOKEN=glpat-…' }, 1);
  const example = `GITLAB_WEBHOOK_SECRET=${SECRET_EXAMPLE}`;
  const webhookSecret = reader.secret({ name: 'GITLAB_WEBHOOK_SECRET', example }, WEBHOOK_SECRET_LENGTH);
  const signingTokens = readSigningTokens(reader);
  return url === '' || token === null ? null : { url, token, webhookSecret, signingTokens };
}

/** A variable that the group needs, once any of the group is set. */
function demand(reader: Reader, missing: { readonly name: string; readonly because: string; readonly example: string }): void {
  if (reader.isSet(missing.name)) return;
  reader.problem({ name: missing.name, wrong: `is missing: ${missing.because}`, example: missing.example });
}

function readAddress(reader: Reader, name: string, fallback: string): string {
  return reader.parsed({ name, example: `${name}=${fallback || 'https://gitlab.com'}`, fallback }, (text): Parsed<string> => {
    const parsed = parseWebUrl(text, 'any');
    return 'value' in parsed ? { value: parsed.value.href.replace(/\/+$/, '') } : parsed;
  });
}

/** One, or several with spaces between them. */
function readSigningTokens(reader: Reader): readonly string[] {
  const example = 'GITLAB_SIGNING_TOKEN=whsec_$(openssl rand -base64 32)';
  const all = reader.secret({ name: 'GITLAB_SIGNING_TOKEN', example }, 1);
  if (all === null) return [];
  const tokens = all.split(/\s+/);
  if (tokens.every(isSigningToken)) return tokens;
  const wrong = `is not whsec_ and the base64 of at least ${SIGNING_KEY_BYTES} bytes, or several such with spaces between them`;
  reader.problem({ name: 'GITLAB_SIGNING_TOKEN', wrong, example });
  return [];
}

function isSigningToken(token: string): boolean {
  const base64 = token.replace(/^whsec_/, '');
  // Node's decoder leaves out what is no base64, and would make a shorter key of a mistyped one.
  const isBase64 = /^[A-Za-z0-9+/]+={0,2}$/.test(base64);
  return token.startsWith('whsec_') && isBase64 && Buffer.from(base64, 'base64').length >= SIGNING_KEY_BYTES;
}

/** From `PRIVATE_KEY` (PEM, its line ends maybe written `\n`, or base64 of it) or the file that `PRIVATE_KEY_PATH` names. */
function readPrivateKey(reader: Reader): string | null {
  const example = 'PRIVATE_KEY_PATH=/etc/mayfly/app.private-key.pem';
  if (reader.isSet('PRIVATE_KEY') && reader.isSet('PRIVATE_KEY_PATH')) {
    reader.problem({ name: 'PRIVATE_KEY', wrong: 'and PRIVATE_KEY_PATH are both set; set one of them', example });
    return null;
  }
  if (reader.isSet('PRIVATE_KEY_PATH')) {
    const path = reader.text('PRIVATE_KEY_PATH');
    if (path === undefined) reader.problem({ name: 'PRIVATE_KEY_PATH', wrong: 'is set but empty', example });
    return path === undefined ? null : readKeyFile(reader, path, example);
  }
  if (!reader.isSet('PRIVATE_KEY')) {
    reader.problem({ name: 'PRIVATE_KEY', wrong: 'is missing: the GitHub App is half set (or set PRIVATE_KEY_PATH)', example });
    return null;
  }
  const key = reader.secret({ name: 'PRIVATE_KEY', example }, 1);
  if (key === null) return null;
  const unescaped = key.replaceAll('\\n', '\n');
  const pem = unescaped.includes('-----BEGIN') ? unescaped : Buffer.from(key, 'base64').toString();
  return checkedKey(reader, { name: 'PRIVATE_KEY', pem, example });
}

function readKeyFile(reader: Reader, path: string, example: string): string | null {
  const name = 'PRIVATE_KEY_PATH';
  try {
    return checkedKey(reader, { name, pem: readFileSync(path, 'utf8'), example });
  } catch (error) {
    // The path is no secret, and why it cannot be read is what the operator needs.
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
    reader.problem({ name, wrong: `the file ${JSON.stringify(path)} cannot be read (${code})`, example });
    return null;
  }
}

type KeyText = { readonly name: string; readonly pem: string; readonly example: string };
function checkedKey(reader: Reader, { name, pem, example }: KeyText): string | null {
  try {
    if (createPrivateKey(pem).asymmetricKeyType === 'rsa') return pem;
  } catch {
    // Not a key at all: said below, without a byte of it.
  }
  reader.problem({ name, wrong: 'is not the PEM of an RSA private key, as GitHub gives it for an App', example });
  return null;
}
