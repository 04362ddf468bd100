import { join } from 'node:path';
import type { Logger } from 'pino';
import { type Config, ConfigError } from './config.ts';
import type { DataDir } from './data-dir.ts';
import { derived } from './derived.ts';
import { openPulumi, type Stores } from './open-stores.ts';
import type { Running, Starting, TargetOptions } from './open-target.ts';
import { openArtefactUsers } from './provision/artefact-users.ts';
import { openArtefacts } from './provision/artefacts.ts';
import { openBuilder } from './provision/build.ts';
import { openEgress } from './provision/egress.ts';
import { openSandbox, type Sandbox, SandboxError, WITHOUT_SANDBOX } from './provision/sandbox.ts';
import { openLocal } from './provision/targets/local/open.ts';
import { openPreviewPostgres, type PreviewPostgres } from './provision/targets/local/preview-postgres.ts';

/** What sites stand on, whatever the database says. */
type Ground = { readonly sandbox: Sandbox; readonly postgres: PreviewPostgres };
type GroundOptions = { readonly dataDir: DataDir; readonly log: Logger };

/** Begins to open sites on this machine. */
export function startLocal(config: Config, options: GroundOptions, opening: AsyncDisposableStack): Starting {
  const ground = openGround(config, options);
  // Whoever waits for it hears of its failure.
  ground.catch(() => undefined);
  opening.defer(async () => (await ground.catch(() => undefined))?.[Symbol.asyncDispose]());
  return {
    async open(stores, more) {
      const pulumiUrl = await openPulumi(config, stores, more.log);
      return open(stores, { ...more, pulumiUrl, ...(await ground) }, opening);
    },
  };
}

async function openGround(config: Config, { dataDir, log }: GroundOptions): Promise<Ground & AsyncDisposable> {
  await using opening = new AsyncDisposableStack();
  const postgres = openPreviewPostgres({
    dataDir: dataDir.path,
    runFolder: dataDir.runFolder,
    previewDatabaseUrl: config.previewDatabaseUrl,
    log,
  });
  opening.defer(async () => (await postgres.catch(() => undefined))?.[Symbol.asyncDispose]());
  const sandbox = await openSandbox({ mode: config.sandbox, dataDir: dataDir.path, log: (line) => log.info(line) }).catch(refused(config));
  const { kind, limitsBy: limits } = sandbox;
  if (kind === 'none') log.warn({ sandbox: kind, limits }, WITHOUT_SANDBOX);
  else log.info({ sandbox: kind, limits }, 'sandbox works');
  const ground = { sandbox, postgres: await postgres };
  const opened = opening.move();
  return { ...ground, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

/** A machine without a sandbox is a matter of settings: installed, or done without by name. */
const refused =
  ({ sandbox }: Config) =>
  (error: unknown): never => {
    if (!(error instanceof SandboxError)) throw error;
    const wrong = `is ${sandbox}, and ${error.message}`;
    throw new ConfigError([{ name: 'MAYFLY_SANDBOX', wrong, example: 'MAYFLY_SANDBOX=none' }]);
  };

type OpenOptions = TargetOptions & Ground & { readonly pulumiUrl: string };

async function open(stores: Stores, options: OpenOptions, opening: AsyncDisposableStack): Promise<Running> {
  const { dataDir, instance, store, secretKey } = stores;
  const secretFor = (use: string): string => derived(secretKey, use);
  const places = { dataDir: dataDir.path, runFolder: dataDir.runFolder };
  const { target, runner } = await openLocal({ ...options, ...places, instance, secretFor, check: store.leases.check }, opening);
  const artefacts = await openArtefactUsers(dataDir.path, await openArtefacts(dataDir.path));
  return { runner, identity: null, work: { target, artefacts, stocks: { target, artefacts }, ...buildingWith(options, places) } };
}

/** Builds run in the sandbox, with the registries as their only network. */
const buildingWith = ({ sandbox }: Ground, { dataDir, runFolder }: { readonly dataDir: string; readonly runFolder: string }) => ({
  leash: sandbox.kind === 'bubblewrap' ? ('bubblewrap' as const) : ('setpriv' as const),
  async openBuilder(log: (line: string) => void, opening: AsyncDisposableStack) {
    const egress = opening.use(await openEgress({ socket: join(runFolder, 'egress.sock'), log }));
    return opening.use(await openBuilder({ dataDir, sandbox, egress }));
  },
});
