import type { Logger } from 'pino';
import { ulid } from 'ulid';
import { openIntake } from './app/intake.ts';
import { createMetrics } from './app/metrics.ts';
import type { Config } from './config.ts';
import { type DataDir, InUseError, openDataDir } from './data-dir.ts';
import { handOn } from './effects.ts';
import { type Expiry, type ExpiryParts, openExpiry } from './expiry/expiry.ts';
import type { Deed, Done, Finding } from './expiry/plan.ts';
import { lookAtForges, openForges } from './live-forges.ts';
import { type Beside, openBeside } from './open-beside.ts';
import type { Forges } from './open-forges.ts';
import type { GoogleStandIn } from './open-gcp.ts';
import { openStores } from './open-stores.ts';
import { startTarget, whereOf } from './open-target.ts';
import { openQueues } from './queues.ts';
import type { Store } from './store/store.ts';

type Means = {
  readonly store: Store;
  readonly queues: ExpiryParts['queues'];
  readonly forges: Forges;
  readonly stocks: ExpiryParts['stocks'];
  /** Who has the data dir, and so what lies here: nobody else, or another process. */
  readonly owner: Beside['owner'];
};

/** Only who has the data dir can stop what runs; it looks at all of it every minute. */
const LEFT_TO_OWNER: Deed = { word: 'left to the Mayfly that runs here', run: null };
/** Each delivery is asked for once, and the door that it would come to is ours. */
const LEFT_UNTIL_START: Deed = { word: 'left until Mayfly runs', run: null };

const runsSites = ({ roles }: Config): boolean => roles.has('gate') || roles.has('worker');

/** `hide`: what is stored is masked in the log as well, once it is known. */
type Telling = {
  readonly log: Logger;
  readonly hide?: (secret: string) => void;
  /** Where Google Cloud is instead, for tests. */
  readonly google?: GoogleStandIn;
};

/** What a reconcile would do now. Nothing is changed anywhere: the database itself refuses it, and the forges are only asked. */
export async function planReconcile(config: Config, { log, hide, google }: Telling): Promise<readonly Finding[]> {
  await using opening = new AsyncDisposableStack();
  const {
    store,
    stocks: seen,
    owner,
    instance,
    secretKey,
  } = await openBeside(config, { purpose: 'to look', log, newId: ulid, google }, opening);
  const forges = await lookAtForges({ config, store, instance, secretKey, hide, log });
  const stocks = runsSites(config) ? seen : {};
  return await openMeans(config, { store, queues: NO_QUEUES, forges, stocks, owner }, log).plan();
}

/** Does it once. Where a Mayfly has the data dir, what lies on this machine is left to that one. */
export async function reconcileOnce(config: Config, telling: Telling): Promise<readonly Done[]> {
  await using opening = new AsyncDisposableStack();
  const dataDir = await takeDataDir(config.dataDir);
  const means = await (dataDir
    ? openAlone(config, { dataDir: opening.use(dataDir), ...telling }, opening)
    : openWithOwner(config, telling, opening));
  return await openMeans(config, means, telling.log).reconcileNow();
}

function openMeans(config: Config, { store, queues, forges, stocks, owner }: Means, log: Logger): Expiry {
  const { links, deliveries } = forges;
  // Nobody scrapes a process that ends at once.
  const metrics = createMetrics({ sites: async () => ({}), queues: async () => ({}) });
  const intake = openIntake({ store, links, policy: { ...config }, word: config.command, running: null, metrics, log });
  return openExpiry({
    ...{ store, queues, stocks, links, deliveries, metrics, log },
    instead: owner === 'nobody' ? (config.roles.has('web') ? { deliveries: LEFT_UNTIL_START } : {}) : { orphans: LEFT_TO_OWNER },
    lookAtPull: intake.lookAtPull,
    endIfOutOfReach: intake.endIfOutOfReach,
    addRepository: intake.addRepository,
    repositories: config.repositories,
    dataDir: config.dataDir,
    maxSites: config.maxSites,
    where: whereOf(config),
  });
}

const refuse = async (): Promise<never> => {
  throw new Error('A dry run hands nothing on');
};
const NO_LANE = { add: refuse, nudge: refuse };
const NO_QUEUES: ExpiryParts['queues'] = { intake: NO_LANE, provision: NO_LANE, report: NO_LANE };

/** Undefined when another process has it. */
async function takeDataDir(path: string): Promise<DataDir | undefined> {
  try {
    return await openDataDir(path);
  } catch (error) {
    if (error instanceof InUseError) return undefined;
    throw error;
  }
}

async function openAlone(
  config: Config,
  { dataDir, log, hide, google }: Telling & { readonly dataDir: DataDir },
  opening: AsyncDisposableStack,
): Promise<Means> {
  const starting = runsSites(config) ? startTarget(config, { dataDir, log }, opening) : null;
  const stores = await openStores(config, { dataDir, log, newId: ulid }, opening);
  stores.store.onEffects((site, effects) => handOn(stores, site, effects));
  const forges = await openForges({ config, ...stores, hide, log }, opening);
  const running = starting && (await starting.open(stores, { log, ...(google && { google }) }));
  const { store, queues } = stores;
  return { store, queues, forges, stocks: running?.work?.stocks ?? {}, owner: 'nobody' };
}

async function openWithOwner(config: Config, { log, hide, google }: Telling, opening: AsyncDisposableStack): Promise<Means> {
  const beside = await openBeside(config, { purpose: 'to change', log, newId: ulid, google }, opening);
  const { store, stocks, instance, databaseUrl, secretKey } = beside;
  const queues = opening.use(await openQueues({ databaseUrl, redisUrl: config.redisUrl, log, prefix: instance }));
  store.onEffects((site, effects) => handOn({ store, queues }, site, effects));
  const forges = await openForges({ config, store, instance, secretKey, hide, log }, opening);
  return { store, queues, forges, stocks: runsSites(config) ? stocks : {}, owner: 'a Mayfly that runs' };
}
