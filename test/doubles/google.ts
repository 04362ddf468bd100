import { openArtifactRegistry } from './google/artifact-registry.ts';
import { type GoogleCloud, openGoogleCloud } from './google/cloud.ts';
import { type Seen, serveGoogle } from './google/http.ts';
import { openLogging } from './google/logging.ts';
import { openMetadata } from './google/metadata.ts';
import { openOperations } from './google/operations.ts';
import { makePlatform, type PlatformDescription } from './google/platform.ts';
import { openRun } from './google/run.ts';
import { openRunHttp } from './google/run-http.ts';
import { openStorage } from './google/storage.ts';
import { openTokens, type Tokens } from './google/tokens.ts';

export type GoogleDoubleOptions = {
  readonly project?: string;
  readonly now?: () => Date;
  /** `europe-west1` alone unless given. */
  readonly regions?: readonly string[];
  /** Email of the account as which the metadata server's clients run; the gate's unless given. */
  readonly account?: string;
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
  /** Every request that came. */
  readonly seen: readonly Seen[];
};

/** A project on Google Cloud on which Mayfly's platform stands, with every API that Mayfly uses. */
export async function openGoogleDouble(options: GoogleDoubleOptions = {}): Promise<GoogleDouble> {
  await using opening = new AsyncDisposableStack();
  const { project, now, regions = ['europe-west1'] } = options;
  const cloud = openGoogleCloud({ ...(project ? { project } : {}), ...(now ? { now } : {}) });
  const tokens = openTokens(cloud.now);
  const platform = makePlatform(cloud, regions, null);
  const metadata = openMetadata({ cloud, tokens, account: options.account ?? platform.gate, region: regions[0] ?? 'europe-west1' });
  let origin = '';
  const run = openRun(cloud);
  const apis = [
    openStorage(cloud, () => origin),
    openLogging(cloud),
    openOperations(cloud),
    openArtifactRegistry(cloud),
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
    seen: server.seen,
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}
