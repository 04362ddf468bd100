import { randomBytes } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { inject } from 'vitest';
import { stackName } from '../../infra/labels.ts';
import { openGoogle } from '../../src/provision/targets/gcp/google.ts';
import { type Gcp, type GcpOptions, openGcp } from '../../src/provision/targets/gcp/open.ts';
import type { SiteRow } from '../../src/provision/targets/gcp/target.ts';
import type { SiteId } from '../../src/site/identity.ts';
import type { DatabaseWish, DeployOrder, FolderArtefact, Held, ImageArtefact } from '../../src/site/ports.ts';
import type { Served } from '../../src/site/site.ts';
import type { OrderPart } from '../contract/target.ts';
import { expectNothingUnknown } from '../doubles/google/cloud.ts';
import { runKinds } from '../doubles/google/kinds-run.ts';
import { type GcpProvider, openGcpProvider } from '../doubles/google/provider.ts';
import { type GoogleDouble, openGoogleDouble } from '../doubles/google.ts';
import { askOn, createDatabase } from '../postgres.ts';
import { dropEverything, orderOf, until, writeSeed } from './local.ts';

export const REGION = 'europe-west1';
/** Of a start probe: its two minutes are over in six seconds, in which an app starts on a busy machine as well. */
const SECOND_MS = 50;

export type GcpWorld = AsyncDisposable &
  Gcp & {
    readonly google: GoogleDouble;
    readonly provider: GcpProvider;
    readonly instance: string;
    /** Mayfly's data dir. */
    readonly folder: string;
    readonly logLines: Record<string, unknown>[];
    /** As a worker has it that was started after this one, and so knows of sites what their rows say. */
    laterTarget(): Promise<GcpWorld['target']>;
    artefact(files: Readonly<Record<string, string>>, runtime?: FolderArtefact['runtime']): Promise<ImageArtefact>;
    seed(sql: string): Promise<DatabaseWish>;
    order(part: OrderPart): DeployOrder;
    /** What the gate gets, as the gate. */
    visit(served: Served, path?: string): Promise<string>;
    /** Resolves once an app has said so in Cloud Logging. */
    hasSaid(text: string): Promise<void>;
    /** Asks of, or does to, what the engine wrote down of the site: SQL on `pulumi_state` without its condition. */
    onState(order: DeployOrder, sql: string): Promise<readonly Record<string, unknown>[]>;
    /** All that the engine has written down, of any site and at any time, as text. */
    written(): Promise<string>;
    /** What the target has of one site, by kind. */
    found(order: DeployOrder): Promise<readonly string[]>;
  };

type Settings = {
  readonly regions?: readonly string[];
  readonly check?: (held: Held) => Promise<void>;
  readonly limitMs?: number;
  /** Milliseconds for which Google's provider waits where it would wait a second. */
  readonly patienceMs?: number;
};

/** The target gcp with all that is Mayfly's: the real engine, PostgreSQL, the clients of Google's libraries. Only Google is a stand-in. */
export async function openGcpWorld(settings: Settings = {}): Promise<GcpWorld> {
  await using opening = new AsyncDisposableStack();
  const folder = opening.adopt(await mkdtemp(join(tmpdir(), 'mayfly-gcp-')), (path) => rm(path, { recursive: true, force: true }));
  await chmod(folder, 0o711);
  await mkdir(join(folder, 'pulumi'), { mode: 0o700 });
  const server = inject('postgresUrl');
  const { url: backendUrl } = opening.use(await createDatabase(server, 'empty'));
  const instance = `test-${randomBytes(6).toString('hex')}`;
  opening.defer(() => dropEverything(server, instance));
  const { regions = [REGION], patienceMs = 1000 } = settings;
  const google = opening.use(await openGoogleDouble({ regions, previewDatabaseUrl: server, secondMs: SECOND_MS }));
  Object.assign(process.env, google.env);
  const { cloud, platform, tokens } = google;
  const patient = { kinds: runKinds(cloud), patienceMs: (seconds: number) => seconds * patienceMs };
  const provider = opening.use(await openGcpProvider(cloud, patient));
  const logLines: Record<string, unknown>[] = [];
  const log = pino({ level: 'info' }, { write: (line) => void logLines.push(JSON.parse(line)) });
  const rows = new Map<SiteId, SiteRow>();
  const asGate = (origin: string) => ({ 'x-serverless-authorization': `Bearer ${tokens.identity(platform.gate, origin)}` });
  const options: GcpOptions = {
    instance,
    dataDir: folder,
    pulumi: {
      url: backendUrl,
      passphrase: randomBytes(16).toString('hex'),
      secretsProvider: undefined,
      credentials: null,
      attach: provider.attach,
    },
    platform,
    previewDatabaseUrl: server,
    passwordKey: randomBytes(32),
    google: opening.use(openGoogle({ project: platform.project, endpoint: google.endpoint })),
    wrap: 'bubblewrap',
    call: async (origin, path) => (await fetch(new URL(path, origin), { headers: asGate(origin) })).status,
    rowOf: async (site) => rows.get(site),
    check: settings.check ?? (async () => undefined),
    ...(settings.limitMs === undefined ? {} : { limitMs: settings.limitMs }),
    log,
  };
  const workers = opening.use(new AsyncDisposableStack());
  const asRowsAreWritten = (worker: GcpWorld['target']): GcpWorld['target'] => ({
    ...worker,
    // As rows are written: where it is being put up, then what is live.
    async deploy(held, order, watch) {
      rows.set(order.site, { region: order.region, live: rows.get(order.site)?.live ?? null });
      const served = await worker.deploy(held, order, watch);
      if (served.kind === 'remote') rows.set(order.site, { region: order.region, live: served });
      return served;
    },
  });
  const gcp = await openGcp(options, workers);
  const opened = opening.move();
  return {
    ...gcp,
    target: asRowsAreWritten(gcp.target),
    async laterTarget() {
      const dataDir = join(folder, 'later');
      await mkdir(join(dataDir, 'pulumi'), { recursive: true, mode: 0o700 });
      return asRowsAreWritten((await openGcp({ ...options, dataDir }, workers)).target);
    },
    google,
    provider,
    instance,
    folder,
    logLines,
    async artefact(files, runtime) {
      const image = await google.push(await imageOf(files, runtime));
      return { key: image, image, detected: 'a test' };
    },
    seed: (sql) => writeSeed(folder, sql),
    order: (part) => orderOf({ region: REGION, ...part }),
    async visit(served, path = '/') {
      if (served.kind !== 'remote') throw new Error('a site on Google Cloud is elsewhere');
      return (await fetch(new URL(path, served.origin), { headers: asGate(served.origin) })).text();
    },
    async hasSaid(text) {
      await until(`an app to say ${text}`, () => cloud.logs.list(({ textPayload }) => textPayload === text).length > 0);
    },
    onState: ({ site }, sql) =>
      askOn(backendUrl, `${sql} where key like $1`, `%.pulumi/stacks/%/${stackName('gcp', { instance, site })}.json`),
    async written() {
      const rows = await askOn(backendUrl, `select convert_from(decode(data ->> 'data', 'base64'), 'utf8') as it from pulumi_state`);
      return rows.map(({ it }) => it).join('\n');
    },
    found: async ({ site }) => (await gcp.target.survey()).flatMap((it) => (it.site === site ? [it.kind] : [])).sort(),
    async [Symbol.asyncDispose]() {
      await opened.disposeAsync();
      expectNothingUnknown(cloud);
    },
  };
}

/** A static site has its server with it, as builds put it there. */
async function imageOf(files: Readonly<Record<string, string>>, runtime: FolderArtefact['runtime'] | undefined) {
  if (runtime?.kind !== 'static') return { files, command: runtime?.command ?? 'node server.js' };
  const server = await readFile(new URL('../../src/provision/targets/gcp/static-server.mjs', import.meta.url), 'utf8');
  return { files: { ...files, '.serve.mjs': server }, command: 'node --input-type=module -e "$(cat .serve.mjs)" .' };
}

/** A visitor who comes back all the time; resolves with all that they ever saw. */
export function visiting(w: Pick<GcpWorld, 'visit'>, served: Served): { readonly leave: () => Promise<ReadonlySet<string>> } {
  const seen = new Set<string>();
  let isThere = true;
  const coming = (async () => {
    while (isThere) seen.add(await w.visit(served).catch(String));
  })();
  return {
    async leave() {
      isThere = false;
      await coming;
      return seen;
    },
  };
}
