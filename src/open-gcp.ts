import type { Logger } from 'pino';
import type { Config } from './config.ts';
import { checkPassphrase } from './data-dir.ts';
import { derived } from './derived.ts';
import { fetchIdTokenWith, type IdentityTokens, openIdentityTokens } from './gate/identity-token.ts';
import { openPulumi, type Stores } from './open-stores.ts';
import type { Running, Starting, TargetOptions, Work } from './open-target.ts';
import type { ArtefactUsers } from './provision/artefact-users.ts';
import { findLeash } from './provision/leash.ts';
import { type Google, openGoogle } from './provision/targets/gcp/google.ts';
import { openGcp } from './provision/targets/gcp/open.ts';
import type { SiteRow } from './provision/targets/gcp/target.ts';
import type { Site } from './site/site.ts';

/** Where Google Cloud is, for tests: the one address of all its APIs, and the provider that is attached in place of Google's own. */
export type GoogleStandIn = { readonly endpoint: URL; readonly provider: string };

/** Begins to open sites on Google Cloud: nothing of it is reached before it is needed. */
export function startGcp(config: Config, { log }: { readonly log: Logger }, opening: AsyncDisposableStack): Starting {
  return {
    async open(stores, options) {
      const { google, identity } = openWayIn(config, { ...options, log }, opening);
      const work = config.roles.has('worker') ? await openWork({ config, stores, options, google, identity }, opening) : null;
      return { runner: null, identity, work } satisfies Running;
    },
  };
}

/** Google Cloud as whoever we run as, and what lets that identity in at sites. Nothing is asked for before it is needed. */
export function openWayIn(
  { google: settings }: Config,
  { google: standIn, log }: TargetOptions,
  opening: AsyncDisposableStack,
): { readonly google: Google; readonly identity: IdentityTokens } {
  if (settings === null) throw new Error('MAYFLY_PLATFORM was not read');
  const google = opening.use(openGoogle({ project: settings.project, endpoint: standIn?.endpoint ?? null }));
  return { google, identity: openIdentityTokens({ fetch: fetchIdTokenWith(google.auth), log }) };
}

type Opening = {
  readonly config: Config;
  readonly stores: Stores;
  readonly options: TargetOptions;
  readonly google: Google;
  readonly identity: IdentityTokens;
};

async function openWork({ config, stores, options, google, identity }: Opening, opening: AsyncDisposableStack): Promise<Work> {
  const { dataDir, instance, store, secretKey } = stores;
  const { google: settings, pulumiSecrets: secrets } = config;
  if (settings === null) throw new Error('MAYFLY_PLATFORM was not read');
  const { log, healthMs } = options;
  const encryption = {
    passphrase: secrets !== null && 'passphrase' in secrets ? secrets.passphrase : derived(secretKey, 'pulumi passphrase'),
    secretsProvider: secrets !== null && 'provider' in secrets ? secrets.provider : undefined,
  };
  await checkPassphrase(store.keepsakes, { ...encryption, secretKey });
  const leash = await findLeash();
  const { target, stocks, openBuilder } = await openGcp(
    {
      instance,
      dataDir: dataDir.path,
      pulumi: {
        ...encryption,
        url: await openPulumi(config, stores, options.log),
        credentials: settings.credentials,
        attach: options.google?.provider ?? null,
      },
      platform: settings.platform,
      previewDatabaseUrl: config.previewDatabaseUrl,
      passwordKey: Buffer.from(derived(secretKey, 'site databases')),
      google,
      wrap: leash,
      call: (origin, path) => callAsGate(identity, new URL(path, origin)),
      rowOf: async (site) => rowOf(await store.sites.find(site)),
      check: store.leases.check,
      ...(healthMs === undefined ? {} : { limitMs: healthMs }),
      log,
    },
    opening,
  );
  return { target, stocks, artefacts: IMAGES_GO_WITH_SITES, leash, openBuilder: async (_, onto) => onto.use(await openBuilder()) };
}

const rowOf = (site: Site | undefined): SiteRow | undefined =>
  site && { region: site.region, live: site.live?.served.kind === 'remote' ? site.live.served : null };

/** What sites rest on is in their region, and the target's to keep or to remove. */
const IMAGES_GO_WITH_SITES: Pick<ArtefactUsers, 'use' | 'useOnly' | 'removeUnused'> = {
  use: async () => undefined,
  useOnly: async () => undefined,
  removeUnused: async () => 0,
};

/** A cold start, and the app's own. */
const CALL_MS = 120_000;

/**
 * What a visitor would get, to wake the site. A worker whose identity is not the gate's is not let in: then the next visitor wakes it, which
 * takes no longer.
 */
async function callAsGate(identity: IdentityTokens, url: URL): Promise<number | null> {
  const token = await identity.tokenFor(url.origin).catch(() => undefined);
  if (token === undefined) return null;
  const headers = { 'x-serverless-authorization': `Bearer ${token}`, 'user-agent': 'mayfly-wake' };
  const answer = await fetch(url, { headers, redirect: 'manual', signal: AbortSignal.timeout(CALL_MS) }).catch(() => undefined);
  await answer?.body?.cancel();
  if (answer === undefined) return UNREACHABLE;
  return answer.status === 401 || answer.status === 403 ? null : answer.status;
}

const UNREACHABLE = 503;
