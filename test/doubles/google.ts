import { createHash } from 'node:crypto';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pino } from 'pino';
import { openEgress } from '../../src/provision/egress.ts';
import { findRegistry, type Registry as Packages } from '../../src/provision/registry.ts';
import { openSandbox, type Sandbox } from '../../src/provision/sandbox.ts';
import { openPostgresDoor } from '../../src/provision/targets/local/postgres-door.ts';
import { openArtifactRegistry } from './google/artifact-registry.ts';
import { openBuildFloor } from './google/build-floor.ts';
import { type GoogleCloud, openGoogleCloud } from './google/cloud.ts';
import { openCloudBuild } from './google/cloud-build.ts';
import { type Seen, serveGoogle } from './google/http.ts';
import { type RunKindOptions, runKinds } from './google/kinds-run.ts';
import { openLogging } from './google/logging.ts';
import { openMetadata } from './google/metadata.ts';
import { openOperations } from './google/operations.ts';
import type { Pace } from './google/pace.ts';
import { makePlatform, type PlatformDescription } from './google/platform.ts';
import { type GcpProvider, openGcpProvider } from './google/provider.ts';
import { openRun, type Run } from './google/run.ts';
import { openRunHttp } from './google/run-http.ts';
import { openRunner, type RealRunner } from './google/runner.ts';
import { openStorage } from './google/storage.ts';
import { openTokens, type Tokens } from './google/tokens.ts';

export type GoogleDoubleOptions = {
  readonly project?: string;
  readonly now?: () => Date;
  /** `europe-west1` alone unless given. */
  readonly regions?: readonly string[];
  /** Email of the account as which the metadata server's clients run; the gate's unless given. */
  readonly account?: string;
  /** The previews' PostgreSQL, `postgres://…@127.0.0.1:PORT/…`: every region's private server. None unless given. */
  readonly previewDatabaseUrl?: string;
  /** How long an instance stays without a request, in milliseconds; 15 minutes unless given. */
  readonly idleMs?: number;
  /** How the Pulumi provider `gcp` behaves where its versions differ. */
  readonly kinds?: RunKindOptions;
  /** Real milliseconds that the Pulumi provider waits where Google's waits a second. */
  readonly patienceMs?: number;
  /** Regions in which the project may not build. */
  readonly restricted?: readonly string[];
  /** Builds that a region does at once; ten unless given. */
  readonly buildsAtOnce?: number;
  /** How long what is asked for takes; at once unless given. */
  readonly pace?: Pace;
  /** How long a second of a start probe takes, in milliseconds: for tests that wait for its end. */
  readonly secondMs?: number;
};

export type GoogleDouble = AsyncDisposable & {
  /** Where all of its APIs are: what `openGoogle` takes. */
  readonly endpoint: URL;
  /** What a process must have in its environment to find the metadata server. */
  readonly env: Readonly<Record<string, string>>;
  readonly cloud: GoogleCloud;
  readonly tokens: Tokens;
  /** What `MAYFLY_PLATFORM` says. */
  readonly platform: PlatformDescription;
  /** The Pulumi provider `gcp` over the same state; `attach` is for `PULUMI_DEBUG_PROVIDERS`. */
  readonly provider: GcpProvider;
  readonly run: Run;
  readonly runner: RealRunner;
  /** Every request that came. */
  readonly seen: readonly Seen[];
  /** Puts an image into the registry that no build made: files below `/app`, where its command is run. @returns its name with digest */
  push(image: PushedImage): Promise<string>;
};
export type PushedImage = {
  readonly files: Readonly<Record<string, string>>;
  readonly command: string;
  /** `site` unless given. */
  readonly package?: string;
  readonly region?: string;
  readonly trust?: 'trusted' | 'untrusted';
  readonly tags?: readonly string[];
};

/** Google's own is 15 minutes at most. */
const IDLE_MS = 15 * 60_000;

/** A project on Google Cloud on which Mayfly's platform stands, with every API that Mayfly uses; its Cloud Run really runs what it is given. */
export async function openGoogleDouble(options: GoogleDoubleOptions = {}): Promise<GoogleDouble> {
  await using opening = new AsyncDisposableStack();
  const { project, now, pace, regions = ['europe-west1'], previewDatabaseUrl } = options;
  const folder = opening.adopt(await mkdtemp(join(tmpdir(), 'mfg-')), (path) => rm(path, { recursive: true, force: true }));
  // Containers have user ids of their own, and sockets in it.
  await chmod(folder, 0o711);
  const cloud = openGoogleCloud({ ...(project ? { project } : {}), ...(now ? { now } : {}), ...(pace ? { pace } : {}) });
  const tokens = openTokens(cloud.now);
  const platform = makePlatform(cloud, regions, previewDatabaseUrl === undefined ? null : new URL(previewDatabaseUrl).host);
  const sandbox = openLater(() => openSandbox({ mode: 'auto', dataDir: join(folder, 'data'), log: () => undefined }));
  const door =
    previewDatabaseUrl === undefined
      ? null
      : opening.use(await openPostgresDoor(previewDatabaseUrl, join(folder, 'postgres.sock'), pino({ level: 'silent' })));
  // In the sandbox the only network is its own 127.0.0.1: that is where the private server is found at its port.
  const privateHost = door && { port: Number(new URL(previewDatabaseUrl ?? '').port), socket: door.socket };
  await mkdir(join(folder, 's'), { mode: 0o711 });
  const { idleMs = IDLE_MS, secondMs = 1000 } = options;
  const runner = opening.use(await openRunner({ cloud, tokens, sandbox, sockets: join(folder, 's'), privateHost, secondMs, idleMs }));
  cloud.runner = runner;
  const later = opening.use(new AsyncDisposableStack());
  const egress = once(async () => later.use(await openEgress({ socket: join(folder, 'egress.sock'), log: () => undefined })).socket);
  const shop = { cloud, sandbox, folder: join(folder, 'builds'), egress, registry: packages };
  const floor = opening.use(await openBuildFloor({ ...shop, atOnce: options.buildsAtOnce ?? 10 }));
  const run = openRun(cloud);
  const { patienceMs = 1000 } = options;
  const provider = opening.use(
    await openGcpProvider(cloud, { kinds: runKinds(cloud, options.kinds), patienceMs: (seconds) => seconds * patienceMs }),
  );
  const metadata = openMetadata({ cloud, tokens, account: options.account ?? platform.gate, region: regions[0] ?? 'europe-west1' });
  let origin = '';
  const apis = [
    openStorage(cloud, () => origin),
    openLogging(cloud),
    openOperations(cloud),
    openArtifactRegistry(cloud),
    openCloudBuild({ cloud, floor, restricted: new Set(options.restricted) }),
    ...openRunHttp(cloud, run),
  ];
  const server = opening.use(await serveGoogle({ cloud, tokens, metadata, apis }));
  origin = server.url;
  const opened = opening.move();
  return {
    endpoint: new URL(server.url),
    env: { GCE_METADATA_HOST: new URL(server.url).host, METADATA_SERVER_DETECTION: 'assume-present' },
    cloud,
    tokens,
    platform,
    provider,
    run,
    runner,
    seen: server.seen,
    push: (image) => push({ cloud, platform, folder: join(folder, 'pushed') }, image),
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

function once<T>(open: () => Promise<T>): () => Promise<T> {
  let opened: Promise<T> | undefined;
  return () => {
    opened ??= open();
    return opened;
  };
}

/** Where packages come from is asked once in a process. */
const packages: () => Promise<Packages> = once(findRegistry);

/** Opened when it is first used: trying it out takes a moment, and many tests run nothing. */
function openLater(open: () => Promise<Sandbox>): Sandbox {
  const opened = once(open);
  return {
    kind: 'bubblewrap',
    limitsBy: 'whatever there is',
    async open(box, log) {
      return (await opened()).open(box, log);
    },
  };
}

type Registry = { readonly cloud: GoogleCloud; readonly platform: PlatformDescription; readonly folder: string };

async function push({ cloud, platform, folder }: Registry, image: PushedImage): Promise<string> {
  const { files, command, region = Object.keys(platform.regions)[0] ?? '', trust = 'trusted', tags = [] } = image;
  const digest = createHash('sha256')
    .update(JSON.stringify([files, command]))
    .digest('hex');
  for (const [name, text] of Object.entries(files)) {
    const file = join(folder, digest, 'app', name);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, text);
  }
  const repository = platform.regions[region]?.images[trust];
  const ref = `${region}-docker.pkg.dev/${platform.project}/${repository}/${image.package ?? 'site'}@sha256:${digest}`;
  const own = { folder: join(folder, digest), cwd: '/app', command, env: {}, detected: 'a test', uploadedAt: cloud.now() };
  cloud.images.set(ref, { ...own, tags: new Set(tags) });
  return ref;
}
