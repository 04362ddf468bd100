import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { ulid } from 'ulid';
import { inject } from 'vitest';
import { z } from 'zod';
import { gcpServiceName, hashed, stackName } from '../../infra/labels.ts';
import type { GcpPlan, GcpService } from '../../infra/preview-gcp.ts';
import { openStacks, type Stacks } from '../../src/provision/stack.ts';
import { type Properties, type ResourceKind, serveProvider } from '../../src/provision/targets/provider.ts';
import { Fault } from '../../src/site/problem.ts';
import { expectNothingUnknown, type GoogleCloud, openGoogleCloud, type Runner } from '../doubles/google/cloud.ts';
import { type RunKindOptions, runKinds } from '../doubles/google/kinds-run.ts';
import { type GcpProvider, openGcpProvider } from '../doubles/google/provider.ts';
import type { RunService } from '../doubles/google/run-types.ts';
import { askOn, createDatabase } from '../postgres.ts';
import { CLI_ROOT, hold } from '../target/local.ts';

export const PROJECT = 'mayfly-test';
export const REGION = 'europe-west1';
export const RUN_AS = `mayfly-site@${PROJECT}.iam.gserviceaccount.com`;
export const GATE = `mayfly-gate@${PROJECT}.iam.gserviceaccount.com`;

const resource = z.looseObject({ type: z.string() });
const recorded = z.looseObject({ checkpoint: z.looseObject({ latest: z.looseObject({ resources: z.array(resource) }) }) });
/** A resource in Pulumi's state. */
export type Recorded = z.infer<typeof resource>;

/** One site on its way through the engine. */
export type Site = { readonly instance: string; readonly site: string; readonly region?: string };
export type Wish = {
  readonly site: Site;
  /** Which image `mayfly:gcp:Image` resolves with. */
  readonly image?: () => Promise<string>;
  /** Called when the database is there. */
  readonly databaseMade?: () => void;
  readonly database?: GcpPlan['database'];
  readonly service?: Partial<GcpService>;
  readonly signal?: AbortSignal;
};

export type InfraWorld = AsyncDisposable & {
  readonly cloud: GoogleCloud;
  readonly provider: GcpProvider;
  readonly stacks: Stacks;
  /** What Mayfly's own provider was asked, in order. */
  readonly own: string[];
  readonly logLines: Record<string, unknown>[];
  site(part?: Partial<Site>): Site;
  /** Puts an image into Artifact Registry, by what its digest is made of. */
  push(content?: string): string;
  up(wish: Wish): Promise<void>;
  refresh(site: Site): Promise<void>;
  destroy(site: Site): Promise<void>;
  forget(site: Site): Promise<void>;
  /** Each revision waits for `deed` until it is ready, until the returned is disposed; what it rejects with is why it never is. */
  onRevision(deed: Runner['onRevision']): Disposable;
  onDelete(deed: Runner['onDelete']): Disposable;
  serviceOf(site: Site): RunService | undefined;
  nameOf(site: Site): string;
  /** What Pulumi wrote down of the site, as it stands in its database; undefined when there is not a line. */
  stateOf(site: Site): Promise<string | undefined>;
  /** Changes what Pulumi wrote down. */
  rewriteState(site: Site, alter: (resources: readonly Recorded[]) => readonly Recorded[]): Promise<void>;
  /** What the log warns of having put right. */
  mended(site: Site): readonly unknown[];
  /** The child that works on the site is killed, with all that it started. */
  killEngine(site: Site): Promise<void>;
};

export type InfraOptions = RunKindOptions & {
  /** Real milliseconds for a second of Google's provider. */
  readonly secondMs?: number;
};

/** The real engine with its state in PostgreSQL, Mayfly's own provider with kinds of the test's, and Google Cloud's stand-in. */
export async function openInfraWorld({ secondMs = 1000, ...kinds }: InfraOptions = {}): Promise<InfraWorld> {
  await using opening = new AsyncDisposableStack();
  const folder = opening.adopt(await mkdtemp(join(tmpdir(), 'mayfly-infra-')), (path) => rm(path, { recursive: true, force: true }));
  const { url: backendUrl } = opening.use(await createDatabase(inject('postgresUrl'), 'empty'));
  const passphraseFile = join(folder, 'passphrase');
  await writeFile(passphraseFile, randomBytes(16).toString('hex'), { mode: 0o600 });
  const logLines: Record<string, unknown>[] = [];
  const log = pino({ level: 'info' }, { write: (line) => void logLines.push(JSON.parse(line)) });
  const cloud = openGoogleCloud({ project: PROJECT, accounts: [RUN_AS, GATE] });
  const options = { kinds: runKinds(cloud, kinds), patienceMs: (seconds: number) => seconds * secondMs };
  const provider = opening.use(await openGcpProvider(cloud, options));
  const pulumi = join(folder, 'pulumi');
  const stacks = opening.use(await openStacks({ backendUrl, passphraseFile, cliRoot: CLI_ROOT, folder: pulumi, wrap: 'bubblewrap', log }));
  const opened = opening.move();
  const own: string[] = [];
  const stackOf = (site: Site): string => stackName('gcp', site);
  const nameOf = (site: Site): string => `projects/${PROJECT}/locations/${site.region ?? REGION}/services/${gcpServiceName(site)}`;
  const keyOf = (site: Site): string => `%.pulumi/stacks/%/${stackOf(site)}.json`;
  const push = (content: string = ulid()): string => {
    const ref = `${REGION}-docker.pkg.dev/${PROJECT}/previews/site@sha256:${hashed(content, 64)}`;
    const image = { folder, cwd: '.', command: 'node server.js', env: {}, detected: 'a test', tags: new Set<string>() };
    cloud.images.set(ref, { ...image, uploadedAt: cloud.now() });
    return ref;
  };
  const operate = async (verb: 'up' | 'refresh' | 'destroy', { site, ...wish }: Wish): Promise<void> => {
    const means: Means = {
      asked: own,
      image: wish.image ?? (async () => push()),
      databaseMade: wish.databaseMade ?? (() => undefined),
    };
    await using mayfly = await serveProvider({ verb, kinds: ownKinds(means), guard: async () => undefined });
    const { region = REGION, ...labels } = site;
    const service = { ...aService(), ...wish.service };
    const plan: GcpPlan = { labels, token: mayfly.token, project: PROJECT, region, database: wish.database ?? null, service };
    const attach = `mayfly:${mayfly.port},${provider.attach}`;
    const run = { program: { name: 'gcp', plan }, attach, signal: wish.signal ?? new AbortController().signal } as const;
    await (verb === 'up' ? stacks.up(hold(), stackOf(site), { ...run, isNew: true }) : stacks[verb](hold(), stackOf(site), run));
  };
  return {
    cloud,
    provider,
    stacks,
    own,
    logLines,
    site: (part = {}) => ({ instance: 'team-a', site: ulid(), ...part }),
    push,
    up: (wish) => operate('up', wish),
    refresh: (site) => operate('refresh', { site }),
    destroy: (site) => operate('destroy', { site }),
    forget: (site) => stacks.forget(hold(), stackOf(site), new AbortController().signal),
    onRevision: (onRevision) => withRunner(cloud, { onRevision }),
    onDelete: (onDelete) => withRunner(cloud, { onDelete }),
    serviceOf: (site) => cloud.services.get(nameOf(site)),
    nameOf,
    async stateOf(site) {
      const select = `select convert_from(decode(data ->> 'data', 'base64'), 'utf8') as data from pulumi_state where key like $1`;
      const [row] = await askOn(backendUrl, select, keyOf(site));
      return row && String(row.data);
    },
    async rewriteState(site, alter) {
      const [row] = await askOn(backendUrl, `select data from pulumi_state where key like $1`, keyOf(site));
      const { data } = z.object({ data: z.object({ data: z.base64() }) }).parse(row).data;
      const state = recorded.parse(JSON.parse(Buffer.from(data, 'base64').toString()));
      const { latest } = state.checkpoint;
      const text = JSON.stringify({
        ...state,
        checkpoint: { ...state.checkpoint, latest: { ...latest, resources: alter(latest.resources) } },
      });
      const update = `update pulumi_state set data = json_build_object('data', $2::text) where key like $1`;
      await askOn(backendUrl, update, keyOf(site), Buffer.from(text).toString('base64'));
    },
    mended: (site) => logLines.flatMap(({ level, stack, mended }) => (level === 40 && stack === stackOf(site) ? [mended] : [])),
    async killEngine(site) {
      const { pid } = JSON.parse(await readFile(join(pulumi, 'running', stackOf(site)), 'utf8'));
      process.kill(-pid, 'SIGKILL');
    },
    async [Symbol.asyncDispose]() {
      await opened.disposeAsync();
      expectNothingUnknown(cloud);
    },
  };
}

function withRunner(cloud: GoogleCloud, part: Partial<Runner>): Disposable {
  const before = cloud.runner;
  cloud.runner = { ...before, ...part };
  return {
    [Symbol.dispose]() {
      cloud.runner = before;
    },
  };
}

/** What the engine said of an order that failed. */
export async function engineSaid(failing: Promise<unknown>): Promise<string> {
  const error: unknown = await failing.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (error instanceof Fault && error.cause instanceof Error) return error.cause.message;
  throw new Error(`it did not fail with the engine's words: ${String(error)}`);
}

const aService = (): GcpService => ({
  revision: ulid(),
  port: 3000,
  health: '/healthz',
  env: { GREETING: 'hello' },
  runAs: RUN_AS,
  gate: GATE,
  network: 'mayfly',
  subnetwork: 'mayfly-europe-west1',
  adopting: null,
});

export const DATABASE_URL = 'postgres://site:s3cr3t-of-the-site@10.0.0.3:5432/site';

/** Mayfly's own provider with nothing behind it but the test. */
type Means = Required<Pick<Wish, 'image' | 'databaseMade'>> & { readonly asked: string[] };
function ownKinds({ asked, image, databaseMade }: Means): Readonly<Record<string, ResourceKind>> {
  const tell = (what: string, { site }: Properties): void => void asked.push(`${what} of ${String(site)}`);
  const made = async (inputs: Properties) => {
    tell('image', inputs);
    return { ...inputs, image: await image() };
  };
  return {
    'mayfly:gcp:Image': {
      create: async (inputs) => ({ id: 'image', outputs: await made(inputs) }),
      update: made,
      exists: async () => true,
      remove: async (_, state) => tell('no image', state),
    },
    'mayfly:gcp:Database': {
      async create(inputs) {
        tell('database', inputs);
        databaseMade();
        return { id: 'database', outputs: { ...inputs, url: DATABASE_URL } };
      },
      update: async (inputs) => ({ ...inputs, url: DATABASE_URL }),
      exists: async () => true,
      remove: async (_, state) => tell('no database', state),
    },
  };
}
