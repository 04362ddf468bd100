import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Held, Runner, Target } from '../../../site/ports.ts';
import { pulumiCliRoot } from '../../pulumi-cli.ts';
import type { Sandbox } from '../../sandbox.ts';
import { openStacks } from '../../stack.ts';
import { openSiteDatabases } from '../databases.ts';
import type { PreviewPostgres } from './preview-postgres.ts';
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
  /** PostgreSQL for the sites' databases. */
  readonly postgres: PreviewPostgres;
  readonly secretFor: (use: string) => string;
  readonly sandbox: Sandbox;
  readonly check: (held: Held) => Promise<void>;
  /** Milliseconds that an app has until it answers; the supervisor's own limit unless given. */
  readonly healthMs?: number;
  readonly log: Logger;
};

export type Local = { readonly target: Target; readonly runner: Runner };

/** Sites on this machine: the supervisor with its processes, the databases and the Pulumi stacks, onto `opening`. */
export async function openLocal(options: LocalOptions, opening: AsyncDisposableStack): Promise<Local> {
  const { dataDir, runFolder, instance, sandbox, postgres, log } = options;
  const passphraseFile = join(dataDir, 'pulumi', 'passphrase');
  await writeFile(passphraseFile, options.secretFor('pulumi passphrase'), { mode: 0o600 });
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
