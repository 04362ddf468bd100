import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BuildOrder } from '../../src/provision/build.ts';
import { openGcpBuilder } from '../../src/provision/targets/gcp/build.ts';
import { openGoogle } from '../../src/provision/targets/gcp/google.ts';
import { openCloudLogs } from '../../src/provision/targets/gcp/logs.ts';
import { toLaunchId, toSiteId } from '../../src/site/identity.ts';
import { watching } from '../contract/target.ts';
import { openArtifactRegistry } from '../doubles/google/artifact-registry.ts';
import { expectNothingUnknown, openGoogleCloud } from '../doubles/google/cloud.ts';
import { serveGoogle } from '../doubles/google/http.ts';
import { openLogging } from '../doubles/google/logging.ts';
import { openMetadata } from '../doubles/google/metadata.ts';
import { openOperations } from '../doubles/google/operations.ts';
import { makePlatform } from '../doubles/google/platform.ts';
import { openStorage } from '../doubles/google/storage.ts';
import { openTokens } from '../doubles/google/tokens.ts';
import { type Files, snapshotOf } from './builder.ts';
import { openScriptedBuilds } from './gcp-builds.ts';

export const SITE = toSiteId('01JD0000000000000000000001');
export const REGION = 'europe-west3';
const ACCOUNT = 'mayfly-worker@mayfly-test.iam.gserviceaccount.com';

type More = Partial<Omit<BuildOrder, 'config'>> & { readonly config?: Partial<BuildOrder['config']> };

/** The builder of Google Cloud against the stand-ins, with a Cloud Build that does as the test says. */
export async function createGcpBuilder(
  more: { readonly regions?: readonly string[]; readonly limitS?: number; readonly giveUpMs?: number } = {},
) {
  const opening = new AsyncDisposableStack();
  const dataDir = await mkdtemp(join(tmpdir(), 'mayfly-gcp-build-'));
  opening.defer(() => rm(dataDir, { recursive: true, force: true }));
  const cloud = openGoogleCloud();
  const tokens = openTokens(cloud.now);
  const platform = makePlatform(cloud, more.regions ?? [REGION, 'europe-west1'], null);
  const builds = openScriptedBuilds(cloud);
  const metadata = openMetadata({ cloud, tokens, account: ACCOUNT, region: REGION });
  let origin = '';
  const apis = [openStorage(cloud, () => origin), openLogging(cloud), openOperations(cloud), openArtifactRegistry(cloud), builds.api];
  const server = opening.use(await serveGoogle({ cloud, tokens, metadata, apis }));
  origin = server.url;
  Object.assign(process.env, { GCE_METADATA_HOST: new URL(server.url).host, METADATA_SERVER_DETECTION: 'assume-present' });
  const google = opening.use(openGoogle({ project: cloud.project, endpoint: new URL(server.url) }));
  const logs = opening.use(openCloudLogs({ google, log: () => undefined, gapMs: 0, lookMs: 20 }));
  const times = {
    lookMs: { least: 10, most: 10 },
    pauses: { limited: [1, 1], unreachable: [1, 1] },
    ...(more.giveUpMs === undefined ? {} : { giveUpMs: more.giveUpMs }),
  };
  const limit = more.limitS === undefined ? {} : { limitS: more.limitS };
  const builder = opening.use(await openGcpBuilder({ google, platform, instance: 'test', logs, dataDir, times, ...limit }));
  const log: string[] = [];
  let launches = 0;
  return {
    cloud,
    opened: { google, platform, logs, instance: 'test', times },
    tokens,
    platform,
    builds,
    builder,
    google,
    logs,
    dataDir,
    seen: server.seen,
    said: (): string => log.join(''),
    build(files: Files, { config, ...order }: More = {}) {
      launches += 1;
      return builder.ensureArtefact({
        site: SITE,
        region: REGION,
        snapshot: snapshotOf(files),
        config: { root: '.', include: [], build: null, start: null, output: null, env: {}, ...config },
        repository: 'github-1',
        trust: 'trusted',
        launch: toLaunchId(`01JD00000000000000000000L${launches}`),
        watch: watching({ log: (chunk) => void log.push(chunk) }),
        caches: 'use',
        ...order,
      });
    },
    async [Symbol.asyncDispose]() {
      await opening.disposeAsync();
      expectNothingUnknown(cloud);
    },
  };
}
