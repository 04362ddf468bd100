import { availableParallelism } from 'node:os';
import type { Logger } from 'pino';
import { ulid } from 'ulid';
import { createApi } from './app/api.ts';
import { openIntake } from './app/intake.ts';
import { createMetrics, type Metrics } from './app/metrics.ts';
import { getLink } from './app/pulls.ts';
import { openReporter, siteUrl } from './app/reporter.ts';
import { openServer } from './app/server.ts';
import { openWebhooks } from './app/webhooks.ts';
import { CONFIG_EXIT_CODE, type Config, ConfigError, loadConfig } from './config.ts';
import { secretsOf } from './config-secrets.ts';
import { openDataDir } from './data-dir.ts';
import { handOn } from './effects.ts';
import { startLoops } from './expiry/clock.ts';
import { logsLoop, openExpiry } from './expiry/expiry.ts';
import { type LiveForges, openForges } from './live-forges.ts';
import { createScrubber, openLog } from './log.ts';
import { getSource } from './open-forges.ts';
import { openStoreOfGate, startGate } from './open-gate.ts';
import { type GoogleStandIn, openWayIn } from './open-gcp.ts';
import { hookSecretsLoop, openSetup, type SetupSurroundings, standingLoop } from './open-setup.ts';
import { openStores, type Stores } from './open-stores.ts';
import { startTarget, type Work, whereOf } from './open-target.ts';
import { type ProvisionParts, provision } from './provision/launch.ts';
import { openLaunchLog } from './provision/log.ts';
import { type Forgetting, openStages } from './provision/stages.ts';
import { makeRoomIn, type Storage } from './provision/storage/storage.ts';
import { createTurns } from './provision/turns.ts';
import type { OperatorPolicy } from './site/decide.ts';
import type { Target } from './site/ports.ts';
import type { Site } from './site/site.ts';
import type { Store } from './store/store.ts';
import { takingPort } from './taking-port.ts';

/** Mayfly, running. */
export interface Mayfly extends AsyncDisposable {
  /** Of the control plane and of the gate on this machine; empty without that role. */
  readonly webUrl: string;
  readonly gateUrl: string;
  readonly store: Store;
  /** Null in a process that neither builds nor serves sites. */
  readonly target: Target | null;
  /** Compares with the target and with every forge at once, instead of when it is time. */
  reconcileNow(): Promise<void>;
}

export type StartOptions = {
  readonly log: Logger;
  /** From now on this is masked in the log: secrets that are stored become known while we run. */
  readonly hide?: (secret: string) => void;
  /** Writes to the terminal, where the code for `/setup` is read. */
  readonly print?: (text: string) => void;
  /** Milliseconds that an app has until it answers; two minutes unless given. */
  readonly healthMs?: number;
  /** Where Google Cloud is instead, for tests. */
  readonly google?: GoogleStandIn;
  /** Milliseconds for which a forge has to deny what is stored until it is believed; a quarter of an hour unless given. */
  readonly patienceMs?: number;
};

/** How many launches one process works on at once. */
const LAUNCHES = Math.max(4, availableParallelism());
/** So many of those who are next hear that something has changed: the first may have to wait for something else. */
const WOKEN = 3;
/** How many jobs of each kind: sites are removed while all launches that may run do. */
const CONCURRENCY = { intake: 8, provision: LAUNCHES + 8, report: 8 } as const;
/** What runs when Mayfly stops may finish for this long; then it is aborted and another takes it up. */
const STOP_GRACE_MS = 2_000;
/** For the database and the queue to answer `/readyz`. */
const READY_MS = 1_500;

/** Starts the parts that the configured roles need; disposing ends them. */
export async function startMayfly(config: Config, options: StartOptions): Promise<Mayfly> {
  const { roles, databaseUrl: url } = config;
  return roles.size === 1 && roles.has('gate') && url !== null ? startGateAlone(config, { ...options, url }) : startParts(config, options);
}

/**
 * A gate with nothing beside it: hostile sites' traffic goes through it, so it has no secret but the password of a role that may do little,
 * and migrates nothing.
 */
async function startGateAlone(config: Config, options: StartOptions & { readonly url: string }): Promise<Mayfly> {
  const { url, log } = options;
  await using opening = new AsyncDisposableStack();
  const dataDir = opening.use(await openDataDir(config.dataDir));
  const store = opening.use(await openStoreOfGate(url, log));
  const { identity } = openWayIn(config, options, opening);
  const port = await startGate({ config, store, dataDir, running: { runner: null, identity }, log }, opening);
  opening.use(startLoops([logsLoop({ store, dataDir: dataDir.path, log })], log));
  const opened = opening.move();
  return {
    ...{ webUrl: '', gateUrl: `http://127.0.0.1:${port}`, store, target: null },
    reconcileNow: async () => undefined,
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

/** In an order in which each part finds what it rests on; they end in reverse. */
async function startParts(config: Config, options: StartOptions): Promise<Mayfly> {
  const { log } = options;
  await using opening = new AsyncDisposableStack();
  const dataDir = opening.use(await openDataDir(config.dataDir));
  const runsSites = config.roles.has('gate') || config.roles.has('worker');
  if (runsSites) await makeRoomIn(dataDir.path);
  const starting = runsSites ? startTarget(config, { dataDir, log }, opening) : null;
  const stores = await openStores(config, { dataDir, log, newId: ulid }, opening);
  const { store, queues } = stores;
  store.onEffects((site, effects) => handOn(stores, site, effects));
  const metrics = createMetrics({
    sites: () => store.sites.counts(),
    queues: async () =>
      Object.fromEntries(
        Object.entries(await queues.depth()).map(([name, { waiting, active, delayed }]) => [name, waiting + active + delayed]),
      ),
  });
  const { instance, secretKey } = stores;
  const forges = await openForges({ config, store, instance, secretKey, hide: options.hide, log }, opening);
  const policy: OperatorPolicy = { ...config };
  const running = starting && (await starting.open(stores, options));
  const work = running?.work ?? null;
  const target = work?.target ?? null;
  const intake = openIntake({ store, links: forges.links, policy, word: config.command, running: target, metrics, log });
  const expiry = openExpiry({
    store,
    queues,
    stocks: work?.stocks ?? {},
    links: forges.links,
    deliveries: forges.deliveries,
    lookAtPull: intake.lookAtPull,
    endIfOutOfReach: intake.endIfOutOfReach,
    addRepository: intake.addRepository,
    repositories: config.repositories,
    dataDir: stores.dataDir.path,
    maxSites: config.maxSites,
    where: whereOf(config),
    metrics,
    log,
  });
  const parts: Parts = { config, stores, forges, metrics, log };
  const gatePort = running && config.roles.has('gate') ? await startGate({ config, store, dataDir, running, log }, opening) : null;
  const worksHere = work && config.roles.has('worker');
  const storage = worksHere ? await startWork({ ...parts, handleDelivery: intake.handleDelivery }, work, opening) : null;
  const print = options.print ?? ((text: string) => void process.stderr.write(text));
  const setup = { config, stores, forges, print, patienceMs: options.patienceMs, log };
  const loops = [
    ...(config.roles.has('clock') ? [...expiry.loops(config), standingLoop(setup), hookSecretsLoop(setup)] : []),
    ...(runsSites ? expiry.loopsHere(storage) : []),
  ];
  const webPort = config.roles.has('web') ? await startWeb(parts, setup, opening) : null;
  // After the door is open: what the forge is asked to deliver again has to find it so.
  opening.use(startLoops(loops, log));
  const opened = opening.move();
  return {
    webUrl: webPort === null ? '' : `http://127.0.0.1:${webPort}`,
    gateUrl: gatePort === null ? '' : `http://127.0.0.1:${gatePort}`,
    store,
    target,
    reconcileNow: async () => void (await expiry.reconcileNow()),
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

type Parts = {
  readonly config: Config;
  readonly stores: Stores;
  readonly forges: LiveForges;
  readonly metrics: Metrics;
  readonly log: Logger;
};

async function startWork(
  parts: Parts & { readonly handleDelivery: (id: string) => Promise<void> },
  work: Work,
  opening: AsyncDisposableStack,
): Promise<Storage & Forgetting> {
  const { config, stores, forges, metrics, log } = parts;
  const { store, queues, dataDir } = stores;
  const later = (site: Site['id'], ms: number) => queues.report.add(site, { delayMs: ms });
  const { previewUrl, target, command: word, maxSites } = config;
  const reporter = openReporter({ store, links: forges.links, later, previewUrl, word, maxSites, target, metrics, log });
  const stages = await openStages(
    {
      store,
      facts: (forge) => getLink(forges.links, forge).facts,
      source: (forge) => getSource(forges, forge),
      ...work,
      dataDir: dataDir.path,
      policy: config,
      idleMs: config.idleMs,
      url: (label) => siteUrl(previewUrl, label),
      log: (line) => log.debug(line),
    },
    opening,
  );
  const wakeNext = async (): Promise<void> => {
    try {
      for (const next of await store.places.next(WOKEN)) await queues.provision.add(next);
    } catch (error) {
      // One that is not woken asks again by itself.
      log.warn({ err: error }, 'the next launch could not be woken');
    }
  };
  const provisioning: ProvisionParts = {
    store,
    target: work.target,
    ...stages,
    openLog: (site, launch) => openLaunchLog({ dataDir: dataDir.path, site, launch, secrets: forges.secrets() }),
    turns: createTurns({ launches: LAUNCHES, wakeNext: () => void wakeNext() }),
    policy: config,
    metrics,
    newId: ulid,
    log,
  };
  const working = queues.work(
    {
      intake: parts.handleDelivery,
      report: reporter.report,
      async provision(site, { signal }) {
        const delayMs = await provision(provisioning, site, signal);
        if (delayMs !== null) await queues.provision.add(site, { delayMs });
      },
      async gaveUp(queue, id, error) {
        // Nothing is lost: the sweep comes back to the row.
        log.error({ queue, id, err: error }, 'a job was given up for now');
      },
    },
    { concurrency: CONCURRENCY, graceMs: STOP_GRACE_MS },
  );
  opening.use(working);
  return stages.storage;
}

async function startWeb(
  { config, stores, forges, metrics, log }: Parts,
  surroundings: SetupSurroundings,
  opening: AsyncDisposableStack,
): Promise<number> {
  const { store, queues } = stores;
  const webhooks = openWebhooks({
    doors: forges.doors,
    inbox: store.inbox,
    enqueue: queues.intake.add,
    repositories: config.repositories,
    metrics,
    log,
  });
  const api = createApi({ store, token: config.apiToken, word: config.command, previewUrl: config.previewUrl, target: config.target });
  const setup = await openSetup(surroundings);
  const connected = (): readonly string[] => [...forges.links.keys()];
  const ready = { database: () => store.isReachable(READY_MS), queue: () => queues.isReachable(READY_MS) };
  const server = opening.use(
    await takingPort('PORT', config.port, () =>
      openServer({ port: config.port, webhooks, api, setup, metrics, ready, forges: connected, log }),
    ),
  );
  log.info({ port: server.port, address: config.publicUrl.href }, 'the control plane is open');
  return server.port;
}

type Surroundings = Pick<StartOptions, 'google'>;

/** Throws ConfigError for what is wrong with the settings, by themselves or beside what the database knows. */
async function start(surroundings: Surroundings): Promise<{ readonly mayfly: Mayfly; readonly log: Logger }> {
  const config = loadConfig();
  const scrubber = createScrubber(secretsOf(config));
  const log = openLog({ level: config.logLevel, scrubber });
  return { mayfly: await startMayfly(config, { ...surroundings, log, hide: scrubber.hide }), log };
}

/** Reads the settings, runs until a signal, and ends in order: one that comes during the start, as soon as it is over. A second ends at once. */
export async function main(surroundings: Surroundings = {}): Promise<void> {
  const { promise: asked, resolve: ask } = Promise.withResolvers<NodeJS.Signals>();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      for (const again of ['SIGINT', 'SIGTERM'] as const) process.removeAllListeners(again).on(again, () => process.exit(1));
      ask(signal);
    });
  }
  const started = await start(surroundings).catch((error: unknown) => {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exitCode = CONFIG_EXIT_CODE;
  });
  if (started === undefined) return;
  const { mayfly, log } = started;
  log.info({ web: mayfly.webUrl, gate: mayfly.gateUrl }, 'Mayfly is up');
  log.info({ signal: await asked }, 'stopping');
  await mayfly[Symbol.asyncDispose]();
  log.info('stopped');
  // What did not heed its abort (Google may take minutes over a removal) is for whoever takes it up.
  process.exit();
}

if (import.meta.main) await main();
