import type { Logger } from 'pino';
import type { Config } from './config.ts';
import type { DataDir } from './data-dir.ts';
import { openGate } from './gate/gate.ts';
import type { Running } from './open-target.ts';
import { pullAddress, pullWord } from './site/report-words.ts';
import type { Site } from './site/site.ts';
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
