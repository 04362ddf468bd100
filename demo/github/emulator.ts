import { createEmulator } from 'emulate';
import { z } from 'zod';
import { parseJson } from '../json.ts';
import { freePort } from '../ports.ts';
import type { User as Person } from './gaps.ts';
import type { Call } from './mirror.ts';
import type { App } from './polish.ts';

const OWNER = 'acme';
export const REPOSITORY = `${OWNER}/shop`;
export const INSTALLATION = 1;
/** Where the emulator leaves its events, for us to sign, complete and send. */
export const RELAY = '/_relay';
export const APP: App = { id: 4711, slug: 'mayfly', name: 'Mayfly' };
export const DEVELOPER = { login: 'dana', token: 'demo-token-of-dana' };

const EVENTS = ['pull_request', 'issue_comment', 'push', 'repository'];
const PERMISSIONS = {
  checks: 'write',
  contents: 'read',
  deployments: 'write',
  metadata: 'read',
  pull_requests: 'write',
};

function seed(webhookUrl: string) {
  const app = { app_id: APP.id, slug: APP.slug, name: APP.name, permissions: PERMISSIONS, events: EVENTS, webhook_url: webhookUrl };
  return {
    tokens: { [DEVELOPER.token]: { login: DEVELOPER.login, scopes: ['repo'] } },
    github: {
      users: [{ login: DEVELOPER.login, name: 'Dana', email: 'dana@acme.dev' }],
      orgs: [{ login: OWNER, name: 'Acme', members: [{ login: DEVELOPER.login, role: 'admin' }] }],
      repos: [{ owner: OWNER, name: 'shop', description: 'A small shop window', private: true, auto_init: false }],
      apps: [{ ...app, installations: [{ installation_id: INSTALLATION, account: OWNER, repository_selection: 'all' }] }],
    },
  };
}

/** The password or token of a request, however it is sent. */
function credential(header: string | undefined): string {
  const [scheme = '', value = ''] = (header ?? '').split(' ');
  return scheme.toLowerCase() === 'basic' ? (Buffer.from(value, 'base64').toString().split(':')[1] ?? '') : value;
}

/** Who asks, by the `Authorization` header; undefined for strangers. */
export function actorOf(header: string | undefined): string | undefined {
  const token = credential(header);
  if (token === DEVELOPER.token) return DEVELOPER.login;
  return token.startsWith('ghs_') ? `${APP.slug}[bot]` : undefined;
}

function createCall(url: string): Call {
  return async (method, path, body) => {
    const response = await fetch(`${url}/repos/${REPOSITORY}${path === '' ? '' : `/${path}`}`, {
      method,
      headers: { authorization: `token ${DEVELOPER.token}`, 'content-type': 'application/json' },
      body: body === undefined ? null : JSON.stringify(body),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`the emulator answered ${method} ${path} with ${response.status}: ${text}`);
    return parseJson(text);
  };
}

const User = z.object({ id: z.number(), login: z.string(), type: z.string() });

export type Emulator = {
  readonly url: string;
  readonly call: Call;
  readonly repositoryId: number;
  readonly privateKey: string;
  /** Undefined for who has done nothing yet: the emulator makes an App's bot with its first comment or check. */
  readonly findUser: (login: string) => Promise<Person | undefined>;
  readonly close: () => Promise<void>;
};

/** Starts the emulator behind `publicUrl`, with the App installed on one empty repository. */
export async function startEmulator(publicUrl: string): Promise<Emulator> {
  const port = await freePort(0);
  const emulator = await createEmulator({ service: 'github', port, baseUrl: publicUrl, seed: seed(`${publicUrl}${RELAY}`) });
  const privateKey = emulator.generatedSecrets.find((one) => one.kind === 'github.app_private_key')?.value;
  if (privateKey === undefined) throw new Error('the emulator made no key for the App');
  const url = `http://127.0.0.1:${port}`;
  const call = createCall(url);
  const { id } = z.object({ id: z.number() }).parse(await call('GET', ''));
  const findUser = async (login: string) => {
    const response = await fetch(`${url}/users/${encodeURIComponent(login)}`, { headers: { authorization: `token ${DEVELOPER.token}` } });
    return response.ok ? User.parse(await response.json()) : undefined;
  };
  return { url, call, repositoryId: id, privateKey, findUser, close: () => emulator.close() };
}
