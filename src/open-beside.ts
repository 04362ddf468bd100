import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Config } from './config.ts';
import { findInstance, findSecretKey, isInUse, openDataDir, runFolderOf } from './data-dir.ts';
import { derived } from './derived.ts';
import type { Stocks } from './expiry/orphans.ts';
import type { GoogleStandIn } from './open-gcp.ts';
import { openGoogle } from './provision/targets/gcp/google.ts';
import { lookAtGcp } from './provision/targets/gcp/open.ts';
import { lookAtLocal } from './provision/targets/local/look.ts';
import type { NewId, Stock } from './site/ports.ts';
import { openStore } from './store/db.ts';
import { openEmbeddedPostgres } from './store/embedded.ts';
import { lookAtEmbedded } from './store/embedded-look.ts';
import { findPulumiDatabase } from './store/pulumi-database.ts';
import type { Store } from './store/store.ts';

/** Mayfly's stores and its place on this machine, from beside the Mayfly that may have them. */
export type Beside = {
  readonly databaseUrl: string;
  readonly store: Store;
  readonly instance: string;
  /** Undefined when there was never a Mayfly on this host and none is set. */
  readonly secretKey: Buffer | undefined;
  /** What there is of sites, by where it is, to be looked at alone. */
  readonly stocks: Stocks;
  /** Who has the data dir, as far as we may look. */
  readonly owner: 'nobody' | 'a Mayfly that runs';
};

type Options = {
  readonly purpose: 'to look' | 'to change';
  readonly log: Logger;
  readonly newId: NewId;
  /** Where Google Cloud is instead, for tests. */
  readonly google?: GoogleStandIn | undefined;
};

/** Opens what a Mayfly has made before, onto `opening`. Throws what tells the operator what is missing. */
export async function openBeside(config: Config, options: Options, opening: AsyncDisposableStack): Promise<Beside> {
  const { purpose, log, newId } = options;
  const owner = (await isInUse(config.dataDir)) ? 'a Mayfly that runs' : 'nobody';
  const servers = openServers(config, log, opening);
  const databaseUrl = config.databaseUrl ?? (await servers('postgres', 'mayfly'));
  if (databaseUrl === null) throw new Error(`There is no database in ${config.dataDir} yet. Start Mayfly on it first.`);
  const holder = newId();
  const store = opening.use(await openStore({ url: databaseUrl, applicationName: 'mayfly', holder, beside: purpose, log, newId }));
  const instance = await findInstance(store.keepsakes, config.instance);
  if (instance === undefined) throw new Error('The database has never been used by Mayfly. Start Mayfly on it first.');
  const secretKey = config.secretKey ?? (await findSecretKey(config.dataDir));
  const sessionName = `mayfly:${holder}`;
  const findState = async () => config.pulumiBackendUrl ?? (await findPulumi(secretKey, { databaseUrl, sessionName }));
  const surveyHere = async () => {
    const previewUrl = config.previewDatabaseUrl ?? (await servers('postgres-sites', 'postgres'));
    const { dataDir } = config;
    return lookAtLocal({ instance, dataDir, runFolder: runFolderOf(dataDir), pulumiUrl: await findState(), previewUrl, owner, log });
  };
  const stocks =
    config.google === null
      ? { target: onlyLookedAt(surveyHere) }
      : besideGcp(config, { instance, pulumiUrl: await findState(), google: options.google, log }, opening);
  return { databaseUrl, store, instance, secretKey, stocks, owner };
}

/** Each region's by itself, so that one that is down hides nothing of the others. */
function besideGcp(
  { google: settings, previewDatabaseUrl }: Config,
  {
    google: standIn,
    ...looking
  }: { readonly instance: string; readonly pulumiUrl: string | null; readonly log: Logger } & Pick<Options, 'google'>,
  opening: AsyncDisposableStack,
): Stocks {
  if (settings === null) return {};
  const google = opening.use(openGoogle({ project: settings.project, endpoint: standIn?.endpoint ?? null }));
  const { platform, credentials } = settings;
  const seen = lookAtGcp({ ...looking, google, platform, credentials, previewDatabaseUrl });
  return Object.fromEntries(Object.entries(seen).map(([name, { survey }]) => [name, onlyLookedAt(survey)]));
}

const onlyLookedAt = (survey: Stock['survey']): Stock => ({ survey, destroy: refused, discard: refused });

async function refused(): Promise<never> {
  throw new Error('From beside a Mayfly its things are only looked at');
}

async function findPulumi(
  key: Buffer | undefined,
  { databaseUrl, sessionName }: { readonly databaseUrl: string; readonly sessionName: string },
): Promise<string | null> {
  // Without the key there was no Mayfly on this host.
  if (key === undefined) return null;
  return (await findPulumiDatabase({ adminUrl: databaseUrl, password: derived(key, 'pulumi database'), sessionName })) ?? null;
}

/**
 * Addresses of the embedded servers of a data dir. One that runs is used; one that does not is started, for which the data dir is taken:
 * then no Mayfly runs here. Null for one that was never made.
 */
function openServers(
  { dataDir }: Config,
  log: Logger,
  opening: AsyncDisposableStack,
): (folder: string, database: string) => Promise<string | null> {
  let taking: Promise<unknown> | undefined;
  const take = async (): Promise<void> => void opening.use(await openDataDir(dataDir));
  const start = async (folder: string): Promise<(database: string) => string> => {
    taking ??= take();
    await taking;
    return opening.use(await openEmbeddedPostgres({ folder: join(dataDir, folder), name: folder, log })).url;
  };
  const started = new Map<string, Promise<(database: string) => string>>();
  return async (folder, database) => {
    const known = started.get(folder);
    if (known) return (await known)(database);
    const seen = await lookAtEmbedded(join(dataDir, folder));
    if (seen.state === 'running') return seen.url(database);
    if (seen.state === 'missing') return null;
    const starting = start(folder);
    started.set(folder, starting);
    return (await starting)(database);
  };
}
