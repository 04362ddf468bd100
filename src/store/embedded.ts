import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import type { Logger } from 'pino';
import { ensurePlace, ensurePrograms, ensureServerUser, exists, give } from './embedded-place.ts';
import { type Launching, type RunningServer, runAs, startServer, stopServer } from './embedded-server.ts';

const SUPERUSER = 'mayfly';
/** First wait before a server that ended by itself is started again; doubled each time up to the second number. */
const RESTART_MS = { first: 200, longest: 10_000 };

export type EmbeddedPostgres = AsyncDisposable & {
  /** Address of a database on 127.0.0.1 with the superuser's password in it. */
  readonly url: (database: string) => string;
  /** Makes the database when there is none of that name; its address. */
  readonly ensureDatabase: (database: string) => Promise<string>;
  /** Folder of the unix socket `.s.PGSQL.<port>`; may be passed through by every user of the machine. */
  readonly socketFolder: string;
  readonly port: number;
  readonly superuser: string;
  readonly password: string;
};

export type EmbeddedOptions = {
  /** The cluster's own folder, made when missing. One process at a time: the data dir's lock sees to it. */
  readonly folder: string;
  /** What the log calls it. */
  readonly name: string;
  readonly log: Logger;
  /** Server settings over our own, e.g. `{ fsync: 'off' }` in tests. */
  readonly settings?: Readonly<Record<string, string>>;
  /** A free one when absent. */
  readonly port?: number;
};

/**
 * Starts a PostgreSQL 18 that lives and dies with this process: made on the first start, password (scram) always, reachable on its unix
 * socket and on a free port of 127.0.0.1, recovered after a crash, started again on the same port when it ends by itself.
 */
export async function openEmbeddedPostgres({ folder, name, log: parent, settings = {}, port }: EmbeddedOptions): Promise<EmbeddedPostgres> {
  const log = parent.child({ cluster: name });
  const user = await ensureServerUser();
  const programs = await ensurePrograms(user, log);
  const place = await ensurePlace(resolve(folder), user, log);
  const launching: Launching = { programs, place, user, settings: { cluster_name: `mayfly-${name}`, ...settings }, log };
  const password = await ensurePassword(place.home);
  await ensureCluster(launching, password);
  const running = await startServer(launching, port ?? null);
  const guard = keepRunning(launching, running);
  const url = (database: string): string => `postgres://${SUPERUSER}:${password}@127.0.0.1:${running.port}/${encodeURIComponent(database)}`;
  log.info({ port: running.port, folder: place.home }, 'embedded PostgreSQL is up');
  return {
    url,
    async ensureDatabase(database) {
      await ensureDatabase(url('postgres'), database);
      return url(database);
    },
    socketFolder: place.sockets,
    port: running.port,
    superuser: SUPERUSER,
    password,
    async [Symbol.asyncDispose]() {
      await guard[Symbol.asyncDispose]();
      if (!place.sockets.startsWith(place.home)) await rm(place.sockets, { recursive: true, force: true });
    },
  };
}

async function ensureDatabase(admin: string, database: string): Promise<void> {
  const client = new pg.Client(admin);
  await client.connect();
  try {
    const { rowCount } = await client.query('select 1 from pg_database where datname = $1', [database]);
    if (rowCount === 0) await client.query(`create database ${client.escapeIdentifier(database)}`);
  } finally {
    await client.end();
  }
}

async function ensurePassword(home: string): Promise<string> {
  const file = join(home, 'password');
  // Not there: the first start.
  const kept = await readFile(file, 'utf8').catch(() => undefined);
  if (kept) return kept;
  const password = randomBytes(24).toString('hex');
  await writeFile(file, password, { mode: 0o600 });
  return password;
}

/** `initdb` into a folder beside, renamed when it is whole: a crash in the middle leaves nothing that looks like a cluster. */
async function ensureCluster({ programs, place, user, settings, log }: Launching, password: string): Promise<void> {
  if (await exists(place.data)) return checkVersion(place.data, programs.version);
  const fresh = `${place.data}.new`;
  await rm(fresh, { recursive: true, force: true });
  await mkdir(fresh, { mode: 0o700 });
  await give(fresh, user);
  const pwfile = `${place.sockets}/pwfile-${randomBytes(8).toString('hex')}`;
  try {
    await writeFile(pwfile, password, { mode: 0o600, flag: 'wx' });
    await give(pwfile, user);
    const sync = settings.fsync === 'off' ? ['--no-sync'] : [];
    await runAs(user, [
      programs.initdb,
      ...[
        '-D',
        fresh,
        '-U',
        SUPERUSER,
        '--pwfile',
        pwfile,
        '-A',
        'scram-sha-256',
        '-E',
        'UTF8',
        '--locale',
        'C.UTF-8',
        '--no-instructions',
      ],
      ...sync,
    ]);
  } finally {
    await rm(pwfile, { force: true });
  }
  await rename(fresh, place.data);
  log.debug({ data: place.data }, 'cluster made');
}

async function checkVersion(data: string, version: string): Promise<void> {
  const major = (await readFile(join(data, 'PG_VERSION'), 'utf8')).trim();
  if (version.startsWith(`${major}.`)) return;
  throw new Error(
    `The embedded cluster in ${data} was made by PostgreSQL ${major}; this Mayfly brings ${version}. ` +
      `Dump it with a Mayfly that brings ${major} and restore it, or set DATABASE_URL to a server of your own.`,
  );
}

/** Starts the server again whenever it ends without our asking; disposing stops it for good. */
function keepRunning(launching: Launching, first: RunningServer): AsyncDisposable {
  const closing = new AbortController();
  let { child } = first;
  const watch = async (): Promise<void> => {
    for (let waitMs = RESTART_MS.first; !closing.signal.aborted; waitMs = Math.min(waitMs * 2, RESTART_MS.longest)) {
      await new Promise((gone) => (child.exitCode !== null || child.signalCode !== null ? gone(undefined) : child.once('exit', gone)));
      if (closing.signal.aborted) return;
      launching.log.error({ exit: child.exitCode ?? child.signalCode }, 'the embedded PostgreSQL ended by itself; it is started again');
      // Aborted: we close, and nothing is started any more.
      await delay(waitMs, undefined, { signal: closing.signal }).catch(() => undefined);
      if (closing.signal.aborted) return;
      // Kept in the loop: statements fail until it is back.
      await startServer(launching, first.port).then(
        (again) => {
          child = again.child;
        },
        (error: unknown) => launching.log.error({ err: error }, 'the embedded PostgreSQL could not be started again'),
      );
    }
  };
  const watching = watch();
  return {
    async [Symbol.asyncDispose]() {
      closing.abort();
      await stopServer(child);
      await watching;
      await stopServer(child);
    },
  };
}
