import type { Logger } from 'pino';
import { ulid } from 'ulid';
import { type Config, ConfigError } from './config.ts';
import type { DataDir } from './data-dir.ts';
import { openGate } from './gate/gate.ts';
import type { Running } from './open-target.ts';
import { pullAddress, pullWord } from './site/report-words.ts';
import type { Site } from './site/site.ts';
import { openStore } from './store/db.ts';
import { isRefused, roleIn } from './store/roles.ts';
import type { Store } from './store/store.ts';
import { takingPort } from './taking-port.ts';

type Parts = {
  readonly config: Config;
  /** What is asked and written of it the role of a gate by itself may do: `store/gate-role.ts`. */
  readonly store: Pick<Store, 'onChange'> & {
    readonly sites: Pick<Store['sites'], 'findByHost'>;
    readonly repositories: Pick<Store['repositories'], 'find' | 'forges'>;
    readonly usage: Pick<Store['usage'], 'add'>;
  };
  readonly dataDir: DataDir;
  readonly running: Pick<Running, 'runner' | 'identity'>;
  readonly log: Logger;
};

/**
 * The store for a gate by itself, as a role that others have made for it. Throws ConfigError when the database does not let that role in: it
 * may be that nobody was there before.
 */
export async function openStoreOfGate(url: string, log: Logger): Promise<Store> {
  try {
    return await openStore({ url, applicationName: 'mayfly', beside: 'to change', log, newId: ulid });
  } catch (error) {
    if (!isRefused(error)) throw error;
    const wrong = `is of the role ${roleIn(url)}, which the database does not let in (${error.message}). Web and worker make the role of a gate by itself, with a password from MAYFLY_SECRET_KEY, each time they start: start one of them on this database first, and read in its log whether it could`;
    throw new ConfigError([{ name: 'DATABASE_URL', wrong, example: 'DATABASE_URL=postgres://mayfly_gate:…@db.acme.dev/mayfly' }]);
  }
}

/** Opens the gate onto `opening`. @returns its port */
export async function startGate(
  { config, store, dataDir, running: { runner, identity }, log }: Parts,
  opening: AsyncDisposableStack,
): Promise<number> {
  const pull = async (site: Site) => {
    const repository = await store.repositories.find(site.pull.forge, site.pull.repository);
    const forge = (await store.repositories.forges()).find(({ id }) => id === site.pull.forge);
    const url = repository && forge ? pullAddress({ forge, repository: repository.name }, site.pull.number) : null;
    return { word: pullWord({ forge: forge ?? { kind: 'github', address: '' } }), url };
  };
  const { gatePort: port, previewUrl, trustedProxies, command } = config;
  const routes = { find: store.sites.findByHost, onChange: store.onChange };
  const gate = opening.use(
    await takingPort('MAYFLY_GATE_PORT', port, () =>
      openGate({
        port,
        previewUrl,
        trustedProxies,
        command,
        dataDir: dataDir.path,
        routes,
        runner,
        identity,
        saveUsage: store.usage.add,
        pull,
        log,
      }),
    ),
  );
  log.info({ port: gate.port, previews: previewUrl.href }, 'the gate is open');
  return gate.port;
}
