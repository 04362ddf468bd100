import type { Logger } from 'pino';
import { type Config, ConfigError } from './config.ts';
import type { DataDir } from './data-dir.ts';
import { derived, type Stores } from './open-stores.ts';
import { type ArtefactUsers, openArtefactUsers } from './provision/artefact-users.ts';
import { openArtefacts } from './provision/artefacts.ts';
import { openSandbox, type Sandbox, SandboxError, WITHOUT_SANDBOX } from './provision/sandbox.ts';
import { type Local, openLocal } from './provision/targets/local/open.ts';
import { openPreviewPostgres, type PreviewPostgres } from './provision/targets/local/preview-postgres.ts';

/** What sites stand on, whatever the database says: it opens while the stores do. */
export type Ground = { readonly sandbox: Sandbox; readonly postgres: PreviewPostgres };
/** The target with the sandbox that builds run in as well, and with what builds made. */
export type Running = Local & { readonly sandbox: Sandbox; readonly artefacts: ArtefactUsers };

type GroundOptions = { readonly dataDir: DataDir; readonly log: Logger };

/** Starts to open the ground; it closes with `opening`, even when nobody has waited for it by then. */
export function startGround(config: Config, options: GroundOptions, opening: AsyncDisposableStack): Promise<Ground> {
  const opened = openGround(config, options);
  // Whoever waits for it hears of its failure.
  opened.catch(() => undefined);
  opening.defer(async () => (await opened.catch(() => undefined))?.[Symbol.asyncDispose]());
  return opened;
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

export type TargetOptions = Ground & { readonly log: Logger; readonly healthMs?: number };

/** Opens the target on its ground, onto `opening`. */
export async function openTarget(stores: Stores, options: TargetOptions, opening: AsyncDisposableStack): Promise<Running> {
  const { dataDir, instance, pulumiUrl, store, secretKey } = stores;
  const secretFor = (use: string): string => derived(secretKey, use);
  const places = { dataDir: dataDir.path, runFolder: dataDir.runFolder };
  const local = await openLocal({ ...options, ...places, instance, pulumiUrl, secretFor, check: store.leases.check }, opening);
  const artefacts = await openArtefactUsers(dataDir.path, await openArtefacts(dataDir.path));
  return { ...local, sandbox: options.sandbox, artefacts };
}
