import { randomBytes } from 'node:crypto';
import { createConnection } from 'node:net';
import { Hono } from 'hono';
import pg from 'pg';
import { createApi } from '../../src/app/api.ts';
import type { BodyLimits } from '../../src/app/body.ts';
import { createGitHubForge } from '../../src/app/forges/github.ts';
import { GITHUB } from '../../src/app/forges/github-events.ts';
import { githubDoor } from '../../src/app/github-door.ts';
import { openIntake } from '../../src/app/intake.ts';
import { createMetrics } from '../../src/app/metrics.ts';
import { openGitHub } from '../../src/app/probot.ts';
import { openReporter } from '../../src/app/reporter.ts';
import { openServer, type Patience } from '../../src/app/server.ts';
import { openWebhooks } from '../../src/app/webhooks.ts';
import { createScrubber, openLog } from '../../src/log.ts';
import { parsePatterns } from '../../src/site/policy.ts';
import type { Voice } from '../../src/site/ports.ts';
import type { Site } from '../../src/site/site.ts';
import type { Store } from '../../src/store/store.ts';
import { createGitHub, type Pull } from '../doubles/github.ts';
import { day, openAgain, openTestStore, repositoryId } from '../store/open.ts';

export type Rig = Awaited<ReturnType<typeof createRig>>;
export type RigOptions = {
  readonly repositories?: string;
  readonly limits?: BodyLimits;
  readonly patience?: Patience;
  /** What stands before the store's own inbox. */
  readonly inbox?: (store: Store) => Pick<Store['inbox'], 'put'>;
  readonly queueDown?: boolean;
  /** What stands before the forge's own voice. */
  readonly voice?: (voice: Voice) => Voice;
};

export const TOKEN = randomBytes(24).toString('hex');

/** The edge of Mayfly on a real database and a GitHub; jobs are noted, and run when the test says so. */
export async function createRig(options: RigOptions = {}) {
  await using opening = new AsyncDisposableStack();
  const store = opening.use(await openTestStore());
  const github = opening.use(await createGitHub());
  const lines: string[] = [];
  const scrubber = createScrubber([github.webhookSecret, github.privateKey, TOKEN]);
  const log = openLog({ level: 'debug', scrubber, write: (line) => void lines.push(line) });
  const config = {
    appId: github.appId,
    privateKey: github.privateKey,
    webhookSecret: github.webhookSecret,
    clientId: null,
    clientSecret: null,
  };
  const app = openGitHub({ ...config, apiUrl: github.url, serverUrl: github.serverUrl }, { log });
  const { facts, voice, confirm, forget } = createGitHubForge(app, 'test');
  const forge = { id: GITHUB, kind: 'github', address: github.serverUrl } as const;
  await store.repositories.ensureForge(forge);
  const enqueued: string[] = [];
  const delayed: { readonly site: string; readonly ms: number }[] = [];
  const enqueue = async (delivery: string): Promise<void> => {
    if (options.queueDown) throw new Error('the queue is away');
    enqueued.push(delivery);
  };
  const metrics = createMetrics({ sites: () => store.sites.counts(), queues: async () => ({ intake: enqueued.length }) });
  const { patterns } = parsePatterns(options.repositories ?? '*');
  const policy = {
    repositories: patterns,
    terms: { ttlMs: 3 * day, maxTtlMs: 14 * day },
    region: 'europe-west1',
    regions: ['europe-west1'],
    target: 'local',
    maxSites: 5,
  } as const;
  const links = new Map([[GITHUB, { forge, facts, voice: options.voice?.(voice) ?? voice, confirm, forget }]]);
  const intake = openIntake({ store, links, policy, word: '/preview', running: null, metrics, log });
  const previewUrl = new URL('http://preview.localhost:8080');
  const later = async (site: string, ms: number): Promise<void> => void delayed.push({ site, ms });
  const reporterOn = (here: Store) =>
    openReporter({ store: here, links, later, previewUrl, word: '/preview', maxSites: 5, target: 'local', metrics, log });
  const webhooks = openWebhooks({
    doors: [githubDoor(app)],
    inbox: options.inbox?.(store) ?? store.inbox,
    enqueue,
    repositories: patterns,
    metrics,
    log,
    ...(options.limits ? { limits: options.limits } : {}),
  });
  const up = { database: true, queue: true };
  const server = opening.use(
    await openServer({
      setup: new Hono(),
      forges: () => ['github'],
      port: 0,
      webhooks,
      api: createApi({ store, token: TOKEN, previewUrl, word: '/preview', target: 'local' }),
      metrics,
      ready: { database: () => store.isReachable(1_000), queue: async () => up.queue },
      log,
      ...(options.patience ? { patience: options.patience } : {}),
    }),
  );
  const url = `http://127.0.0.1:${server.port}`;
  github.sendWebhooksTo(`${url}/api/github/webhooks`);
  const opened = opening.move();
  const siteOf = (pull: Pull): Promise<Site | undefined> =>
    store.sites.findByPull({ forge: GITHUB, repository: repositoryId(pull.repository.id), number: pull.number });
  return {
    store,
    github,
    log,
    lines,
    url,
    port: server.port,
    enqueued,
    delayed,
    intake,
    reporter: reporterOn(store),
    /** What is connected; a test may take of it, and give back. */
    links,
    /** That of another process, which takes the site's reports over from this one as if it were dead. */
    async takeReportsOver(site: Site['id']) {
      const client = new pg.Client(store.database.url);
      await client.connect();
      await client.query('update mayfly.leases set expires_at = clock_timestamp() where name = $1', [`report:${site}`]);
      await client.end();
      const other = opened.use(await openAgain(store.database));
      return reporterOn(other);
    },
    metrics,
    up,
    siteOf,
    /** Handles every delivery that was enqueued, in order. */
    async settle(): Promise<void> {
      for (let next = enqueued.shift(); next !== undefined; next = enqueued.shift()) await intake.handleDelivery(next);
    },
    async getSite(pull: Pull): Promise<Site> {
      const site = await siteOf(pull);
      if (!site) throw new Error(`#${pull.number} has no site`);
      return site;
    },
    api: (path: string, init: RequestInit = {}): Promise<Response> =>
      fetch(`${url}/api/v1${path}`, { ...init, headers: { authorization: `Bearer ${TOKEN}`, ...init.headers } }),
    stopServer: async (): Promise<void> => {
      await server[Symbol.asyncDispose]();
    },
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

/** What came back over a bare connection, until it was closed or the answer was whole. */
export function talk(port: number, write: (socket: ReturnType<typeof createConnection>) => void): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ port, host: '127.0.0.1' });
    let seen = '';
    socket.setEncoding('utf8');
    socket.on('connect', () => write(socket));
    socket.on('data', (chunk) => {
      seen += chunk;
      if (/^HTTP\/1\.1 (?!100)[\s\S]*\r\n\r\n[\s\S]*\}$/.test(seen)) {
        socket.destroy();
        resolve(seen);
      }
    });
    socket.on('close', () => resolve(seen));
    socket.on('error', (error) => (seen === '' ? reject(error) : resolve(seen)));
  });
}
