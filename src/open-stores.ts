import type { Logger } from 'pino';
import type { Config } from './config.ts';
import { checkSecretKey, type DataDir, ensureInstance } from './data-dir.ts';
import { derived, gatePassword } from './derived.ts';
import { openQueues, type Queues } from './queues.ts';
import type { NewId } from './site/ports.ts';
import { openStore } from './store/db.ts';
import { openEmbeddedPostgres } from './store/embedded.ts';
import { ensureGateRole } from './store/gate-role.ts';
import { openPulumiDatabase } from './store/pulumi-database.ts';
import type { Store } from './store/store.ts';

/** Everything durable, opened. */
export type Stores = {
  readonly dataDir: DataDir;
  readonly store: Store;
  readonly queues: Queues;
  readonly secretKey: Buffer;
  /** This Mayfly's name in the labels of what it makes. */
  readonly instance: string;
  readonly databaseUrl: string;
};

const DATABASE = 'mayfly';

/** Opens the database (embedded unless one is configured), the store and the queues, onto `opening`. */
export async function openStores(
  config: Config,
  { dataDir, log, newId }: { readonly dataDir: DataDir; readonly log: Logger; readonly newId: NewId },
  opening: AsyncDisposableStack,
): Promise<Stores> {
  const secretKey = config.secretKey ?? (await dataDir.ensureSecretKey());
  const databaseUrl = config.databaseUrl ?? (await openOwnPostgres(dataDir, log, opening));
  const holder = newId();
  const store = opening.use(await openStore({ url: databaseUrl, applicationName: 'mayfly', holder, log, newId }));
  await checkSecretKey(store.keepsakes, secretKey);
  // Elsewhere the gate is never by itself.
  if (config.target === 'gcp') {
    const { sessionName } = store.leases;
    await ensureGateRole({ adminUrl: databaseUrl, password: gatePassword(secretKey), sessionName, log });
  }
  const instance = await ensureInstance(store.keepsakes, config.instance);
  const queues = opening.use(await openQueues({ databaseUrl, redisUrl: config.redisUrl, log, prefix: instance }));
  return { dataDir, store, queues, secretKey, instance, databaseUrl };
}

/** `PULUMI_BACKEND_URL`, or the address of a database of its own, with the password of a role that can touch nothing else. */
export async function openPulumi(config: Config, { databaseUrl, secretKey, store }: Stores, log: Logger): Promise<string> {
  if (config.pulumiBackendUrl !== null) return config.pulumiBackendUrl;
  const { sessionName } = store.leases;
  return openPulumiDatabase({ adminUrl: databaseUrl, password: derived(secretKey, 'pulumi database'), sessionName, log });
}

async function openOwnPostgres(dataDir: DataDir, log: Logger, opening: AsyncDisposableStack): Promise<string> {
  const cluster = opening.use(await openEmbeddedPostgres({ folder: dataDir.folder('postgres'), name: 'mayfly', log }));
  return cluster.ensureDatabase(DATABASE);
}
