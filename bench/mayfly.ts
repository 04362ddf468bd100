import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { nodeFlags } from '../scripts/node-flags.mjs';
import { fullName } from '../test/doubles/github/state.ts';
import { createGitHub, type GitHub, type Pull } from '../test/doubles/github.ts';
import { endProcess, type Running, startProcess } from '../test/launcher.ts';
import type { Surroundings } from '../test/mayfly-process.ts';

const sites = z.object({
  next: z.string().nullable(),
  sites: z.array(
    z.looseObject({
      id: z.string(),
      repository: z.string(),
      pull: z.number(),
      status: z.string(),
      sha: z.string(),
      url: z.string(),
      reason: z.string().nullable(),
      launches: z.array(
        z.looseObject({
          ...{ sha: z.string(), outcome: z.string().nullable(), stages: z.record(z.string(), z.number().nullable()) },
          ...{ startedAt: z.coerce.date(), finishedAt: z.coerce.date().nullable() },
        }),
      ),
    }),
  ),
});
export type BenchSite = z.infer<typeof sites>['sites'][number];
type Settings = Readonly<Record<string, string>>;

type Patience = { readonly lookEveryMs: number; readonly patienceMs: number };

/** Waits until `look` returns something other than undefined or false. */
export async function until<Seen>(
  what: string,
  look: () => Promise<Seen | undefined | false>,
  { lookEveryMs, patienceMs }: Patience = { lookEveryMs: 10, patienceMs: 180_000 },
): Promise<Seen> {
  for (const end = performance.now() + patienceMs; performance.now() < end; await delay(lookEveryMs)) {
    const seen = await look();
    if (seen !== undefined && seen !== false) return seen;
  }
  throw new Error(`waited ${patienceMs / 1_000} s for ${what}`);
}

/** A folder that the users of sites and of embedded servers may pass through; it goes with `stack`. */
export async function makeFolder(stack: AsyncDisposableStack): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'mayfly-bench-'));
  stack.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));
  await chmod(folder, 0o711);
  return folder;
}

export type BenchMayfly = Awaited<ReturnType<typeof openMayfly>>;
type Beside = { readonly github?: GitHub; readonly google?: Surroundings['google'] };

/**
 * Mayfly as people run it, in a process of its own, with a GitHub of its own beside it. It can be ended and started again on the same
 * data.
 */
export async function openMayfly(settings: Settings = {}, { github: given, google }: Beside = {}) {
  await using opening = new AsyncDisposableStack();
  const dataDir = await makeFolder(opening);
  const github = given ?? opening.use(await createGitHub());
  const token = randomBytes(24).toString('hex');
  const environment: Settings = {
    PATH: process.env.PATH ?? '',
    HOME: process.env.HOME ?? '',
    // What is compiled is kept for the next start, as by `npm start`.
    ...(process.env.NODE_COMPILE_CACHE ? { NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE } : {}),
    PORT: '0',
    MAYFLY_GATE_PORT: '0',
    MAYFLY_DATA_DIR: dataDir,
    MAYFLY_API_TOKEN: token,
    APP_ID: String(github.appId),
    PRIVATE_KEY: github.privateKey,
    WEBHOOK_SECRET: github.webhookSecret,
    GITHUB_API_URL: github.url,
    GITHUB_SERVER_URL: github.serverUrl,
    ...settings,
  };
  const said: (readonly string[])[] = [];
  let running: Running | null = null;
  const current = () => {
    if (running === null) throw new Error('Mayfly does not run');
    return running;
  };
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    const ending = current();
    running = null;
    await endProcess(ending, signal);
  };
  opening.defer(async () => void (running && (await end('SIGTERM'))));
  const opened = opening.move();
  const it = {
    github,
    dataDir,
    environment,
    get pid(): number {
      return current().process.pid ?? 0;
    },
    get web(): string {
      return current().web;
    },
    get gate(): string {
      return current().gate;
    },
    /** What it has logged, all of its lives. */
    log: (): readonly unknown[] =>
      said
        .flat()
        .filter((text) => text.startsWith('{'))
        .map((text): unknown => JSON.parse(text)),
    /** Resolves when it says that it is up. */
    async start(): Promise<void> {
      running = await startProcess(environment, { flags: nodeFlags, ...(google ? { google } : {}) });
      said.push(running.said);
      if (it.web !== '') github.sendWebhooksTo(`${it.web}/api/github/webhooks`);
    },
    end,
    api: (path: string, init: RequestInit = {}): Promise<Response> =>
      fetch(`${it.web}/api/v1${path}`, { ...init, headers: { authorization: `Bearer ${token}` } }),
    async site(pull: Pull): Promise<BenchSite | undefined> {
      const query = new URLSearchParams({ pull: String(pull.number), repository: fullName(pull.repository) });
      return sites.parse(await (await it.api(`/sites?${query}`)).json()).sites[0];
    },
    /** Every site there is. */
    async sites(): Promise<readonly BenchSite[]> {
      const all: BenchSite[] = [];
      for (let cursor: string | null = ''; cursor !== null; ) {
        const page = sites.parse(await (await it.api(`/sites?limit=100${cursor === '' ? '' : `&cursor=${cursor}`}`)).json());
        all.push(...page.sites);
        cursor = page.next;
      }
      return all;
    },
    /** The site at that commit, once it has the status. Throws when it has failed instead. */
    reaches: (pull: Pull, status: string): Promise<BenchSite> =>
      until(`#${pull.number} to be ${status}`, async () => {
        const site = await it.site(pull);
        if (site?.status === 'failed' && status !== 'failed') throw new Error(`#${pull.number} failed: ${site.reason}`);
        return site?.status === status && site.sha === pull.sha && site;
      }),
    /** What a visitor of that site gets. */
    visit: (site: Pick<BenchSite, 'url'>, path = '/'): Promise<{ readonly status: number; readonly body: string }> =>
      get(new URL(path, it.gate), new URL(site.url).host),
    async [Symbol.asyncDispose]() {
      await opened.disposeAsync();
      if (github.unknownRequests.length > 0) throw new Error(`Unknown to GitHub: ${github.unknownRequests.join(', ')}`);
    },
  };
  return it;
}

/** A request with a Host of one's own, which `fetch` does not allow; status 0 when nobody answers. */
export function get(url: URL, host: string): Promise<{ readonly status: number; readonly body: string }> {
  return new Promise((resolve) => {
    const outgoing = request(url, { headers: { host } }, (incoming) => {
      const chunks: Buffer[] = [];
      incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
      incoming.on('end', () => resolve({ status: incoming.statusCode ?? 0, body: Buffer.concat(chunks).toString() }));
      incoming.on('error', () => resolve({ status: 0, body: '' }));
    });
    outgoing.on('error', () => resolve({ status: 0, body: '' })).end();
  });
}
