import { writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import pulumiPackage from '@pulumi/pulumi/package.json' with { type: 'json' };
import type { Logger } from 'pino';
import type { Held, Runner, Target } from '../../../site/ports.ts';
import { openEmbeddedPostgres } from '../../../store/embedded.ts';
import type { Sandbox } from '../../sandbox.ts';
import { openStacks } from '../../stack.ts';
import { openSiteDatabases } from './databases.ts';
import { openPostgresDoor } from './postgres-door.ts';
import { openSupervisor } from './supervisor.ts';
import { openLocalTarget } from './target.ts';

export type LocalOptions = {
  readonly instance: string;
  /** Mayfly's data dir. */
  readonly dataDir: string;
  /** Folder with a short path, for sockets. */
  readonly runFolder: string;
  /** `postgres://…` for Pulumi's state. */
  readonly pulumiUrl: string;
  /** PostgreSQL for the sites' databases; null starts an embedded one. */
  readonly previewDatabaseUrl: string | null;
  readonly secretFor: (use: string) => string;
  readonly sandbox: Sandbox;
  readonly check: (held: Held) => Promise<void>;
  /** Milliseconds that an app has until it answers; the supervisor's own limit unless given. */
  readonly healthMs?: number;
  readonly log: Logger;
};

export type Local = { readonly target: Target; readonly runner: Runner };

/** The folder of the CLI that set-up has put there; it is exactly the SDK's version. */
export const pulumiCliRoot = (): string => join(homedir(), '.pulumi/versions', pulumiPackage.version);

/** Sites on this machine: the supervisor with its processes, the sites' PostgreSQL and the Pulumi stacks, onto `opening`. */
export async function openLocal(options: LocalOptions, opening: AsyncDisposableStack): Promise<Local> {
  const { dataDir, runFolder, instance, sandbox, log } = options;
  const passphraseFile = join(dataDir, 'pulumi', 'passphrase');
  await writeFile(passphraseFile, options.secretFor('pulumi passphrase'), { mode: 0o600 });
  const postgres = await openPreviewPostgres(options, opening);
  const databases = opening.use(
    await openSiteDatabases({ adminUrl: postgres.adminUrl, instance, passwordKey: Buffer.from(options.secretFor('site databases')), log }),
  );
  const places = { folder: join(dataDir, 'run'), sockets: join(runFolder, 's'), logs: join(dataDir, 'logs') };
  const patience = options.healthMs === undefined ? {} : { healthMs: options.healthMs };
  const supervisor = opening.use(await openSupervisor({ ...places, ...patience, sandbox, postgres: () => postgres.socket, log }));
  const stacks = opening.use(
    await openStacks({
      backendUrl: options.pulumiUrl,
      passphraseFile,
      cliRoot: pulumiCliRoot(),
      folder: join(dataDir, 'pulumi'),
      wrap: sandbox.kind === 'bubblewrap' ? 'bubblewrap' : 'setpriv',
      log,
    }),
  );
  return { target: openLocalTarget({ instance, stacks, supervisor, databases, check: options.check, log }), runner: supervisor };
}

type PreviewPostgres = { readonly adminUrl: string; readonly socket: string };

async function openPreviewPostgres(options: LocalOptions, opening: AsyncDisposableStack): Promise<PreviewPostgres> {
  const { dataDir, runFolder, previewDatabaseUrl, log } = options;
  if (previewDatabaseUrl !== null) {
    const door = opening.use(await openPostgresDoor(previewDatabaseUrl, join(runFolder, 'postgres.sock'), log));
    return { adminUrl: previewDatabaseUrl, socket: door.socket };
  }
  const cluster = opening.use(await openEmbeddedPostgres({ folder: join(dataDir, 'postgres-sites'), name: 'sites', log }));
  return { adminUrl: cluster.url('postgres'), socket: join(cluster.socketFolder, `.s.PGSQL.${cluster.port}`) };
}
