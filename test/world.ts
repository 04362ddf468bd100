import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { pino } from 'pino';
import { expect, inject } from 'vitest';
import { loadConfig } from '../src/config.ts';
import { type Mayfly, type StartOptions, startMayfly } from '../src/main.ts';
import { toForgeId } from '../src/site/identity.ts';
import type { Site } from '../src/site/site.ts';
import { openForges } from './doubles/forges.ts';
import { openGoogleDouble } from './doubles/google.ts';
import type { ForgeName, StagePull } from './doubles/stage.ts';
import { createDatabase } from './postgres.ts';

export type Answer = {
  readonly status: number;
  readonly body: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
};
export type World = Awaited<ReturnType<typeof createWorld>>;

const LOOK_EVERY_MS = 20;
/** Longest that anything in these worlds may take, on a busy machine, before the test is told what it waited for. */
const PATIENCE_MS = 90_000;

/** Waits until `look` returns something other than undefined or false. */
export async function until<Seen>(
  what: string,
  look: () => Promise<Seen | undefined | false> | Seen | undefined | false,
  patienceMs = PATIENCE_MS,
): Promise<Seen> {
  for (const end = Date.now() + patienceMs; Date.now() < end; await delay(LOOK_EVERY_MS)) {
    const seen = await look();
    if (seen !== undefined && seen !== false) return seen;
  }
  throw new Error(`waited ${patienceMs / 1_000} s for ${what}`);
}

/** Where sites are: on this machine, or on Google Cloud. */
export type TargetName = 'local' | 'gcp';

export type WorldOptions = Omit<StartOptions, 'log'> & {
  /** One of its own unless given. */
  readonly dataDir?: string;
  /** Which forge it serves: GitHub unless given. */
  readonly forge?: ForgeName | 'both';
  /** Where its sites are: on this machine unless given. */
  readonly target?: TargetName;
};

/** Google Cloud beside the world, with the settings for it. */
export async function openCloud(previewDatabaseUrl: string, opening: AsyncDisposableStack) {
  const google = opening.use(await openGoogleDouble({ previewDatabaseUrl, secondMs: SECOND_MS, patienceMs: SECOND_MS * 5 }));
  // Google's libraries look there for the machine that they run on.
  Object.assign(process.env, google.env);
  const regions = Object.keys(google.platform.regions);
  return {
    google,
    starting: { google: { endpoint: google.endpoint, provider: google.provider.attach } },
    /** The same for a process of its own. */
    attached: { endpoint: google.endpoint.href, provider: google.provider.attach },
    settings: {
      MAYFLY_TARGET: 'gcp',
      GOOGLE_CLOUD_PROJECT: google.platform.project,
      MAYFLY_PLATFORM: JSON.stringify(google.platform),
      MAYFLY_REGION: regions[0] ?? '',
      MAYFLY_REGIONS: regions.join(','),
      MAYFLY_PREVIEW_URL: `http://${PREVIEWS.gcp}`,
    },
  };
}

/** Under which sites have their hosts. */
const PREVIEWS = { local: 'preview.localhost', gcp: 'preview.acme.test' } as const;
/** Milliseconds that stand for a second of Cloud Run's start probe, of which there are 120. */
const SECOND_MS = 50;

/**
 * Mayfly itself, whole, on a database of its own, and the forges that it serves. Closing it fails the test when a double was asked
 * something that it does not know, or when a secret stands in anything that was said.
 */
export async function createWorld(settings: Readonly<Record<string, string>> = {}, options: WorldOptions = {}) {
  await using opening = new AsyncDisposableStack();
  const server = inject('postgresUrl');
  const database = opening.use(await createDatabase(server));
  const removed = (path: string): Promise<void> => rm(path, { recursive: true, force: true, maxRetries: 5 });
  const dataDir = options.dataDir ?? opening.adopt(await mkdtemp(join(tmpdir(), 'mayfly-world-')), removed);
  const { forge: served = 'github', target = 'local', ...given } = options;
  const cloud = target === 'gcp' ? await openCloud(server, opening) : null;
  const starting = { ...given, ...cloud?.starting };
  const main: ForgeName = served === 'both' ? 'github' : served;
  const forges = opening.use(await openForges());
  const { github, gitlab, stages, checks, checkWords, deployed, environments } = forges;
  const canary = randomBytes(24).toString('hex');
  const environment = {
    PORT: '0',
    MAYFLY_GATE_PORT: '0',
    MAYFLY_DATA_DIR: dataDir,
    MAYFLY_SWEEP_EVERY: '1s',
    MAYFLY_API_TOKEN: canary,
    MAYFLY_PREVIEW_DATABASE_URL: server,
    DATABASE_URL: database.url,
    ...forges.settings(served),
    ...cloud?.settings,
    ...settings,
  };
  const log = pino({ level: process.env.MAYFLY_TEST_LOG ?? 'silent' });
  let mayfly: Mayfly = await startMayfly(loadConfig(environment), { ...starting, log });
  opening.defer(() => mayfly[Symbol.asyncDispose]());
  const webhooks = (forge: ForgeName = main): string => `${mayfly.webUrl}/api/${forge}/webhooks`;
  const openDoors = (): void => forges.sendWebhooksTo(mayfly.webUrl);
  openDoors();
  const opened = opening.move();

  /** What is remembered of the pull: its site, or why it has none. */
  const rowOf = (pull: StagePull): Promise<Site | undefined> => {
    const ref = { forge: toForgeId(forges.nameOf(pull.repository)), repository: String(pull.repository.id) as never, number: pull.number };
    return mayfly.store.sites.findByPull(ref);
  };
  const siteOf = async (pull: StagePull): Promise<Site | undefined> => {
    const row = await rowOf(pull);
    return row?.status === 'absent' ? undefined : row;
  };

  const world = {
    /** The forge that it serves; with both, GitHub. */
    forge: stages[main],
    github,
    gitlab,
    /** Null where sites are on this machine. */
    google: cloud?.google ?? null,
    canary,
    dataDir,
    database,
    /** Under which sites have their hosts. */
    previews: PREVIEWS[target],
    /** As the settings of another process beside this Mayfly. */
    environment,
    get mayfly() {
      return mayfly;
    },
    webhooks,
    rowOf,
    siteOf,
    /** The site once it has this status and its comment says so. */
    async reaches(pull: StagePull, status: Site['status'], sha?: string): Promise<Site> {
      return until(`#${pull.number} to be ${status}`, async () => {
        const site = await siteOf(pull);
        if (site?.status !== status || (sha !== undefined && site.head.sha !== sha)) return false;
        const said = await mayfly.store.reports.get(site.id);
        return said.version >= site.version && site;
      });
    },
    /** The site's time is up from now on, however long anything before this took. */
    async letTimeBeUp(site: Site): Promise<void> {
      const client = new pg.Client(database.url);
      await client.connect();
      try {
        const { rowCount } = await client.query('update mayfly.sites set ends_at = clock_timestamp() where id = $1', [site.id]);
        expect(rowCount).toBe(1);
      } finally {
        await client.end();
      }
    },
    /** What a visitor of the pull's site gets. */
    async visit(pull: StagePull, path = '/', headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
      const site = await siteOf(pull);
      if (site === undefined) throw new Error(`#${pull.number} has no site`);
      return get(mayfly.gateUrl, { path, headers: { host: `${site.host}.${world.previews}`, ...headers } });
    },
    /** Our comment's text; fails when there are two. */
    comment(pull: StagePull): string {
      return stages[forges.nameOf(pull.repository)].ourComment(pull)?.body ?? '';
    },
    checks,
    checkWords,
    deployed,
    environments,
    api: (path: string, init: RequestInit = {}): Promise<Response> =>
      fetch(`${mayfly.webUrl}/api/v1${path}`, { ...init, headers: { authorization: `Bearer ${canary}`, ...init.headers } }),
    /** Stops Mayfly and starts it again on the same data. */
    async restart(): Promise<void> {
      await mayfly[Symbol.asyncDispose]();
      mayfly = await startMayfly(loadConfig(environment), { ...starting, log });
      openDoors();
    },
    async [Symbol.asyncDispose]() {
      const comments = [...github.state.comments.values(), ...gitlab.state.comments.values()].map((one) => one.bodies);
      const statuses = [...gitlab.state.statuses.values()].map(({ description, targetUrl }) => [description, targetUrl]);
      const said = JSON.stringify([comments, [...github.state.checks.values()], statuses]);
      await opened.disposeAsync();
      expect([...forges.unknownRequests(), ...(cloud?.google.cloud.unknown ?? [])]).toEqual([]);
      const { webhookSecret, signingToken, token } = gitlab;
      for (const secret of [canary, github.webhookSecret, database.url, webhookSecret, signingToken, token])
        expect(said).not.toContain(secret);
    },
  };
  return world;
}

/** A plain HTTP/1.1 request with a Host of one's own, which `fetch` does not allow. */
export function get(base: string, wish: { readonly path: string; readonly headers: Readonly<Record<string, string>> }): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = request(new URL(wish.path, base), { headers: wish.headers }, (incoming) => {
      const chunks: Buffer[] = [];
      incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
      incoming.on('end', () =>
        resolve({ status: incoming.statusCode ?? 0, body: Buffer.concat(chunks).toString(), headers: incoming.headers }),
      );
      incoming.on('error', reject);
    });
    outgoing.on('error', reject).end();
  });
}
