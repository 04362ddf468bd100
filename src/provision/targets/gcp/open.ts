import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { SiteId } from '../../../site/identity.ts';
import type { Held, ImageArtefact, Stock, Target } from '../../../site/ports.ts';
import type { Builder } from '../../build.ts';
import { pulumiCliRoot } from '../../pulumi-cli.ts';
import type { Launcher } from '../../pulumi-process.ts';
import { openStacks } from '../../stack.ts';
import { stackNames } from '../../stack-names.ts';
import { lookAtDatabases } from '../database-names.ts';
import { ourStacks } from '../our-stacks.ts';
import { attemptsOf } from './attempts.ts';
import { openGcpBuilder } from './build.ts';
import { openCloudBuilds } from './cloud-build.ts';
import type { Google } from './google.ts';
import { openImages } from './images.ts';
import { openCloudLogs } from './logs.ts';
import { addressIn, openRegionDatabases } from './region-databases.ts';
import { openSiteServices } from './services.ts';
import { openSiteSources } from './sources.ts';
import type { BuildPlatform } from './steps.ts';
import { openRegionStock, type StockParts } from './stocks.ts';
import { openGcpTarget, type SitePlatform, type SiteRow, stackStock } from './target.ts';

export type GcpOptions = {
  readonly instance: string;
  /** Mayfly's data dir: checkouts while they are packed, and Pulumi's home. */
  readonly dataDir: string;
  readonly pulumi: {
    /** `postgres://…` for its state. */
    readonly url: string;
    readonly passphrase: string;
    readonly secretsProvider: string | undefined;
    /** File of Application Default Credentials; null: what the machine itself has. */
    readonly credentials: string | null;
    /** Stands in for Google's plugin, in tests: `gcp:40123`. */
    readonly attach: string | null;
  };
  readonly platform: SitePlatform & BuildPlatform & { readonly regions: Readonly<Record<string, { readonly database: string | null }>> };
  /** Of the sites' databases; null where sites have none. */
  readonly previewDatabaseUrl: string | null;
  /** Passwords of the sites' databases are derived from it. */
  readonly passwordKey: Buffer;
  readonly google: Google;
  readonly wrap: Launcher['wrap'];
  readonly call: (origin: string, path: string) => Promise<number | null>;
  readonly rowOf: (site: SiteId) => Promise<SiteRow | undefined>;
  readonly check: (held: Held) => Promise<void>;
  readonly limitMs?: number;
  readonly log: Logger;
};

export type Gcp = {
  readonly target: Target;
  /** By region, and the stacks. */
  readonly stocks: Readonly<Record<string, Stock>>;
  readonly openBuilder: () => Promise<Builder<ImageArtefact>>;
};

/** Sites on Google Cloud: the clients of its APIs, the databases and the Pulumi stacks, onto `opening`. */
export async function openGcp(options: GcpOptions, opening: AsyncDisposableStack): Promise<Gcp> {
  const { instance, dataDir, pulumi, platform, google, log } = options;
  const asking = { project: platform.project, account: google.account };
  const logs = opening.use(openCloudLogs({ google, log: (line) => log.warn(line) }));
  const databases = opening.use(
    openRegionDatabases({
      adminUrl: options.previewDatabaseUrl,
      server: serverOf(platform),
      instance,
      passwordKey: options.passwordKey,
      log,
    }),
  );
  const { services, stocks: regional } = openRegionStocks(options, databases, options.check);
  const stacks = opening.use(await openPulumi(options));
  const attach = pulumi.attach === null ? [] : [pulumi.attach];
  const target = openGcpTarget({ ...options, asking, logs, services, databases, stacks, attach, stocks: regional });
  return {
    target,
    stocks: { stacks: stackStock(target, stacks, instance), ...Object.fromEntries(regional.map((stock) => [stock.region, stock])) },
    openBuilder: () => openGcpBuilder({ google, platform, instance, logs, dataDir }),
  };
}

type Looking = Pick<GcpOptions, 'instance' | 'google' | 'platform' | 'previewDatabaseUrl' | 'log'> & {
  /** Of Pulumi's state; null when there is none yet. */
  readonly pulumiUrl: string | null;
  /** As `pulumi.credentials`. */
  readonly credentials: string | null;
};

/** What there is of sites, by place, seen from beside whoever works on them: nothing is changed. */
export function lookAtGcp({ pulumiUrl, credentials, log, ...options }: Looking): Readonly<Record<string, Pick<Stock, 'survey'>>> {
  const { instance, platform, previewDatabaseUrl: adminUrl } = options;
  const databases = {
    of: async (region: string) => ({
      list: async () => (adminUrl === null ? [] : lookAtDatabases(addressIn(adminUrl, serverOf(platform)(region)).href, instance)),
      drop: () => Promise.reject(new Error('Nothing is changed from beside')),
    }),
  };
  const { stocks } = openRegionStocks({ ...options, log }, databases, NOBODYS);
  const survey = async () => ourStacks(await stackNames({ pulumiUrl, credentials, log }), 'gcp', instance);
  return { stacks: { survey }, ...Object.fromEntries(stocks.map((stock) => [stock.region, stock])) };
}

const NOBODYS = (): Promise<void> => Promise.reject(new Error('Nothing is changed from beside'));

function openRegionStocks(
  { google, instance, platform, log }: Pick<GcpOptions, 'google' | 'instance' | 'platform' | 'log'>,
  databases: StockParts['databases'],
  check: StockParts['check'],
) {
  const asking = { project: platform.project, account: google.account };
  const services = openSiteServices({ google, instance, asking });
  const parts = {
    instance,
    services,
    databases,
    check,
    log,
    builds: openCloudBuilds(google),
    server: serverOf(platform),
    regions: Object.keys(platform.regions),
    images: openImages(google, { platform, instance }),
    sources: openSiteSources({ google, instance, asking, bucket: (region) => platform.regions[region]?.bucket ?? '' }),
    attempts: attemptsOf(google, platform),
  };
  return { services, stocks: Object.keys(platform.regions).map((region) => openRegionStock(region, parts)) };
}

const serverOf =
  ({ regions }: Pick<GcpOptions['platform'], 'regions'>) =>
  (region: string): string | null =>
    regions[region]?.database ?? null;

async function openPulumi({ dataDir, pulumi, wrap, log }: GcpOptions) {
  const folder = join(dataDir, 'pulumi');
  const passphraseFile = join(folder, 'passphrase');
  await writeFile(passphraseFile, pulumi.passphrase, { mode: 0o600 });
  const { url: backendUrl, secretsProvider, credentials, attach } = pulumi;
  const plugins = attach === null ? { credentials } : undefined;
  return openStacks({ backendUrl, passphraseFile, secretsProvider, plugins, cliRoot: pulumiCliRoot(), folder, wrap, log });
}
