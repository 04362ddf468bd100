import { spawnSync } from 'node:child_process';
import { createHash, createHmac, randomBytes } from 'node:crypto';
import { chmod, type FileHandle, mkdir, open, readdir, readFile, readlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { ConfigError } from './config.ts';
import type { Keepsakes } from './store/store.ts';

const KEY_BYTES = 32;
/** The keepsake with this Mayfly's name. */
const INSTANCE = 'instance';
/** The keepsake that docs/google-cloud.md lets the operator delete. */
const PASSPHRASE = 'pulumi-passphrase-fingerprint';
/** 107 bytes is the limit of a unix socket's path; this leaves room for `/<site>/<revision>.sock`. */
const LONGEST_RUN_FOLDER = 50;

/**
 * The folders in it. `passable` ones may be passed through (not listed) by the users that sites and the embedded servers run as; the
 * others are ours alone.
 */
const FOLDERS = {
  postgres: 'passable',
  'postgres-sites': 'passable',
  artefacts: 'passable',
  dependencies: 'passable',
  work: 'passable',
  sources: 'private',
  seeds: 'private',
  logs: 'private',
  pulumi: 'private',
} as const;
type Folder = keyof typeof FOLDERS;
const MODES = { passable: 0o711, private: 0o700 } as const;

export type DataDir = AsyncDisposable & {
  readonly path: string;
  readonly folder: (name: Folder) => string;
  /** For sockets: in the data dir, or a short folder elsewhere when the data dir's path is too long for them. */
  readonly runFolder: string;
  /** The key in `secret-key`, made on the first call. */
  readonly ensureSecretKey: () => Promise<Buffer>;
};

/** Another living process has the data dir. */
export class InUseError extends ConfigError {}

/** Takes the data dir for this process and makes its folders. Throws InUseError when another living process has it. */
export async function openDataDir(path: string): Promise<DataDir> {
  const root = resolve(path);
  await ensureFolder(root, 'passable');
  const lock = await takeLock(root);
  try {
    for (const [name, kind] of Object.entries(FOLDERS)) await ensureFolder(join(root, name), kind);
    const runFolder = runFolderOf(root);
    await ensureFolder(runFolder, 'passable');
    return {
      path: root,
      folder: (name) => join(root, name),
      runFolder,
      ensureSecretKey: () => ensureSecretKey(join(root, 'secret-key')),
      [Symbol.asyncDispose]: () => lock.close(),
    };
  } catch (error) {
    await lock.close();
    throw error;
  }
}

async function ensureFolder(path: string, kind: keyof typeof MODES): Promise<void> {
  await mkdir(path, { recursive: true, mode: MODES[kind] });
  // The umask may have taken bits away, and an earlier version may have given too many.
  await chmod(path, MODES[kind]);
}

/** Whether a process of this machine has the data dir, as far as we may look: only taking it tells for certain. */
export async function isInUse(path: string): Promise<boolean> {
  const lock = join(resolve(path), 'lock');
  // No lock file: nobody was ever here.
  const pid = Number(await readFile(lock, 'utf8').catch(() => ''));
  if (!pid) return false;
  // The number may be of a process that is gone, or of another's that we may not look at.
  const open = await readdir(`/proc/${pid}/fd`).catch(() => []);
  const files = await Promise.all(open.map((fd) => readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')));
  return files.includes(lock);
}

/** Where the sockets of a data dir are. */
export function runFolderOf(root: string): string {
  const near = join(root, 'run');
  if (near.length <= LONGEST_RUN_FOLDER) return near;
  const hash = createHash('sha256').update(root).digest('hex').slice(0, 12);
  return join(process.getuid?.() === 0 ? '/run' : tmpdir(), `mayfly-${hash}`);
}

/**
 * A lock that the kernel drops when we die, however we die: Node has no `flock`, but one that a child takes on a file that we opened
 * belongs to the open file, and so to us.
 */
async function takeLock(root: string): Promise<FileHandle> {
  const path = join(root, 'lock');
  const file = await open(path, 'a+', 0o600);
  const { status, error } = spawnSync('flock', ['--nonblock', '3'], { stdio: ['ignore', 'ignore', 'ignore', file.fd] });
  if (status !== 0) {
    const owner = (await file.readFile('utf8')).trim();
    await file.close();
    if (error) throw new Error(`The data dir ${root} could not be locked`, { cause: error });
    const wrong = `${root} is in use by process ${owner || 'unknown'}; stop it, or set MAYFLY_DATA_DIR to another folder`;
    throw new InUseError([{ name: 'MAYFLY_DATA_DIR', wrong, example: 'MAYFLY_DATA_DIR=/var/lib/mayfly' }]);
  }
  // For the message above; the lock does not depend on it.
  await file.truncate(0);
  await file.writeFile(`${process.pid}\n`);
  return file;
}

/** The key that is kept in a data dir; undefined when there is none yet. */
export const findSecretKey = (dataDir: string): Promise<Buffer | undefined> => readKey(join(resolve(dataDir), 'secret-key'));

async function readKey(path: string): Promise<Buffer | undefined> {
  // Not there: the first start.
  const kept = await readFile(path, 'utf8').catch(() => undefined);
  if (kept === undefined) return undefined;
  const key = Buffer.from(kept.trim(), 'base64');
  if (key.length !== KEY_BYTES) throw new Error(`${path} does not hold the base64 of ${KEY_BYTES} bytes`);
  return key;
}

async function ensureSecretKey(path: string): Promise<Buffer> {
  const kept = await readKey(path);
  if (kept !== undefined) return kept;
  const key = randomBytes(KEY_BYTES);
  const file = await open(path, 'wx', 0o600);
  try {
    await file.writeFile(`${key.toString('base64')}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  return key;
}

/** Throws ConfigError when this database was used with another secret key: what is encrypted in it could not be read. */
export async function checkSecretKey(keepsakes: Keepsakes, key: Buffer): Promise<void> {
  const fingerprint = createHmac('sha256', key).update('mayfly secret key').digest('hex');
  if ((await keepsakes.ensure('secret-key-fingerprint', () => fingerprint)) === fingerprint) return;
  const wrong = 'is not the key that this database was first used with; every host on it needs the same one';
  throw new ConfigError([{ name: 'MAYFLY_SECRET_KEY', wrong, example: "MAYFLY_SECRET_KEY=the content of the first host's secret-key" }]);
}

/**
 * Throws ConfigError when the state of Pulumi was encrypted with another passphrase: every site's would look damaged, and be emptied. The
 * fingerprint is keyed with the secret key, so that nobody can try passphrases on what the database says.
 * @param secretsProvider a key elsewhere that encrypts from now on; what was written before still needs the passphrase
 */
export async function checkPassphrase(
  keepsakes: Keepsakes,
  { passphrase, secretsProvider, secretKey }: { passphrase: string; secretsProvider: string | undefined; secretKey: Buffer },
): Promise<void> {
  const fingerprint = createHmac('sha256', secretKey).update(`mayfly fingerprint of ${passphrase}`).digest('hex');
  const kept = secretsProvider === undefined ? await keepsakes.ensure(PASSPHRASE, () => fingerprint) : await keepsakes.find(PASSPHRASE);
  if (kept === undefined || kept === fingerprint) return;
  const wrong =
    'is not what it was when the state of the sites was encrypted, and nothing else can read that; set what was set then, or nothing if nothing was. docs/google-cloud.md says what to do when it is lost';
  throw new ConfigError([{ name: 'PULUMI_CONFIG_PASSPHRASE', wrong, example: 'PULUMI_CONFIG_PASSPHRASE=what was set then' }]);
}

/** This Mayfly's name in the labels of what it makes: as configured, or made once. */
export async function ensureInstance(keepsakes: Keepsakes, configured: string | null): Promise<string> {
  return configured ?? keepsakes.ensure(INSTANCE, () => `mayfly-${randomBytes(4).toString('hex')}`);
}

/** The same, when it was made before. */
export const findInstance = async (keepsakes: Keepsakes, configured: string | null): Promise<string | undefined> =>
  configured ?? (await keepsakes.find(INSTANCE));
