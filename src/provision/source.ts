import { mkdir, open, readdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Repository, Sha } from '../site/identity.ts';
import type { Source } from '../site/ports.ts';
import { Fault } from '../site/problem.ts';
import { type GitCall, type GitResult, git, type Leash } from './git.ts';
import { orDiskFull, refuseIfFull, saysDiskFull, touch } from './storage/disk.ts';

const ATTEMPTS = 3;
const PAUSE_MS = 700;
const LIMIT_MS = 120_000;

/** The files of one commit. Paths are relative to the repository's root, with `/`; `.` is the root itself. */
export interface Snapshot {
  readonly sha: Sha;
  /** Git's id of the folder or file at `path`; undefined when there is none. The same id is the same content. */
  tree(path: string): Promise<string | undefined>;
  /** A file's bytes; undefined when there is no plain file at `path`. */
  read(path: string, maxBytes: number): Promise<Buffer | 'too-large' | undefined>;
  /** The same into `file`, which must not exist: for what is large. */
  save(path: string, file: string, maxBytes: number): Promise<'saved' | 'too-large' | undefined>;
  /**
   * Writes the files at and below these paths into `folder`, at their places in the repository. Links stay links; submodules are empty
   * folders; LFS files their pointers; nothing that the repository configures is run.
   */
  checkout(paths: readonly string[], folder: string, signal?: AbortSignal): Promise<void>;
}

export type FetchOrder = {
  readonly repository: Pick<Repository, 'forge' | 'id'>;
  /** Where it is; asked for each attempt, since credentials may be short-lived. */
  readonly address: () => ReturnType<Source['address']>;
  readonly sha: Sha;
  /** A reference that leads to the commit on servers that give out no unnamed ones, e.g. `refs/pull/12/head`. */
  readonly ref?: string;
  readonly signal: AbortSignal;
  /** Milliseconds; two minutes unless given. */
  readonly limitMs?: number;
};

export interface Sources {
  /** Brings one commit here. Throws Fault `fetch-failed`, `fetch-timeout`, `commit-gone` or `disk-full`. */
  fetch(order: FetchOrder): Promise<Snapshot>;
  /** Forgets a repository. */
  remove(repository: Pick<Repository, 'forge' | 'id'>): Promise<void>;
  /** Forgets every repository but these. @returns how many there were */
  keepOnly(repositories: readonly Pick<Repository, 'forge' | 'id'>[]): Promise<number>;
}

export type SourcesOptions = {
  readonly dataDir: string;
  /** For what talks to a server. */
  readonly leash?: Leash;
  readonly log: (line: string) => void;
};

/** Opens the bare caches in `<dataDir>/sources`, one a repository, known by its id: a rename changes nothing. What a crash left of dropped ones is removed. */
export async function openSources(options: SourcesOptions): Promise<Sources> {
  const root = join(options.dataDir, 'sources');
  await mkdir(root, { recursive: true, mode: 0o700 });
  for (const name of await readdir(root)) if (name.startsWith('.')) await rm(join(root, name), { recursive: true, force: true });
  const turns = new Map<string, Promise<unknown>>();
  const nameOf = ({ forge, id }: Pick<Repository, 'forge' | 'id'>): string => `${forge}-${id}.git`;
  const folderOf = (repository: Pick<Repository, 'forge' | 'id'>): string => join(root, nameOf(repository));
  /** One at a time per cache: git's own locks make the second one fail instead of wait. */
  const inTurn = async <T>(folder: string, work: () => Promise<T>): Promise<T> => {
    const mine = (turns.get(folder) ?? Promise.resolve()).then(work, work);
    turns.set(folder, mine);
    try {
      return await mine;
    } finally {
      if (turns.get(folder) === mine) turns.delete(folder);
    }
  };
  return {
    async fetch(order) {
      const folder = folderOf(order.repository);
      const timeout = AbortSignal.timeout(order.limitMs ?? LIMIT_MS);
      const signal = AbortSignal.any([order.signal, timeout]);
      try {
        await inTurn(folder, () =>
          orDiskFull(() => ensureCommit(folder, { ...order, signal, leash: options.leash ?? 'setpriv' }, options.log)),
        );
      } catch (error) {
        if (timeout.aborted && !order.signal.aborted) {
          throw new Fault('fetch-timeout', { details: { limit: `${Math.round((order.limitMs ?? LIMIT_MS) / 1000)} s` } });
        }
        throw error;
      }
      return snapshot(folder, order.sha);
    },
    remove: (repository) => inTurn(folderOf(repository), () => rm(folderOf(repository), { recursive: true, force: true })),
    async keepOnly(repositories) {
      const known = new Set(repositories.map(nameOf));
      const strange = (await readdir(root)).filter((name) => name.endsWith('.git') && !known.has(name)).map((name) => join(root, name));
      for (const folder of strange) await inTurn(folder, () => rm(folder, { recursive: true, force: true }));
      return strange.length;
    },
  };
}

type Fetch = FetchOrder & { readonly leash: Leash };

async function ensureCommit(folder: string, order: Fetch, log: (line: string) => void): Promise<void> {
  // Before it is used: from here on nobody who makes room takes it.
  await touch(folder);
  if (await holds(folder, order.sha)) return;
  let rebuilt = false;
  for (let attempt = 1; ; attempt += 1) {
    await ensureCache(folder);
    const cause = await fetchOnce(folder, order);
    if (cause === null && (await holds(folder, order.sha))) return;
    if (await answers(folder, order)) {
      // The server is there: either it no longer has the commit, or our cache is broken. The cache costs less to doubt.
      if (rebuilt) throw new Fault('commit-gone', { details: { sha: order.sha.slice(0, 7) } });
      log('the source cache is made anew');
      await rm(folder, { recursive: true, force: true });
      rebuilt = true;
      continue;
    }
    if (attempt === ATTEMPTS) throw new Fault('fetch-failed', { details: { cause: cause ?? 'no answer', attempts: String(ATTEMPTS) } });
    log(`fetching failed (${cause ?? 'no answer'}), trying again`);
    await pause(PAUSE_MS * attempt, undefined, { signal: order.signal });
  }
}

async function ensureCache(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await removeRemains(folder);
  await must({ folder, args: ['init', '--bare', '--quiet', '--template=', folder] });
}

/** Locks and half packs of a git that ended in the middle of its work: we have the turn, so whoever made them is dead. */
async function removeRemains(folder: string): Promise<void> {
  const packs = join(folder, 'objects', 'pack');
  // Nothing is there before the first fetch.
  const [tops, halves] = await Promise.all([folder, packs].map((path) => readdir(path).catch(() => [])));
  for (const name of tops ?? []) if (name.endsWith('.lock')) await rm(join(folder, name), { force: true });
  for (const name of halves ?? []) if (name.startsWith('tmp_')) await rm(join(packs, name), { force: true });
}

async function holds(folder: string, sha: Sha): Promise<boolean> {
  try {
    const found = await git({ folder, args: ['rev-parse', '--verify', '--quiet', '--end-of-options', `${sha}^{tree}`] });
    return found.code === 0 && (await git({ folder, args: ['cat-file', '-e', `${sha}^{tree}`] })).code === 0;
  } catch {
    // There is no folder yet.
    return false;
  }
}

/** @returns null when it worked, otherwise git's last words */
async function fetchOnce(folder: string, order: Fetch): Promise<string | null> {
  const { url, authorization } = await reachable(order);
  let cause = '';
  for (const want of [order.sha, order.ref]) {
    // Where the reference leads by now may be a commit that nobody has approved: nothing of that is fetched.
    if (want === undefined || (want === order.ref && !(await leadsTo(folder, order)))) continue;
    const options = [
      '--depth=1',
      '--no-tags',
      '--no-write-fetch-head',
      '--no-recurse-submodules',
      '--no-auto-maintenance',
      '--quiet',
      '--force',
    ];
    const result = await git({
      folder,
      args: ['fetch', ...options, '--end-of-options', url, `${want}:refs/heads/${order.sha}`],
      authorization,
      signal: order.signal,
      leash: order.leash,
    });
    if (result.code === 0) return null;
    // At once, since half a pack may be what fills the disk.
    await removeRemains(folder);
    refuseFullDisk(result);
    cause = lastWords(result);
  }
  return cause;
}

/** Whether the order's reference leads to its commit now. */
async function leadsTo(folder: string, order: Fetch): Promise<boolean> {
  const { url, authorization } = await reachable(order);
  const { signal, leash, ref = '' } = order;
  const args = ['ls-remote', '--quiet', '--end-of-options', url, ref];
  const { code, out } = await git({ folder, args, authorization, signal, leash });
  return code === 0 && out.toString().split('\n').includes(`${order.sha}\t${ref}`);
}

async function reachable(order: FetchOrder) {
  const { url, authorization } = await order.address();
  const { origin, protocol } = new URL(url);
  if (protocol !== 'http:' && protocol !== 'https:')
    throw new Fault('fetch-failed', { details: { cause: 'not an http address', attempts: '0' } });
  return { url, authorization: authorization === null ? null : { origin, value: authorization } };
}

/** Whether the server answers for this repository at all. git's exit code is the same for every failure, its words are not for us. */
async function answers(folder: string, order: Fetch): Promise<boolean> {
  const { url, authorization } = await reachable(order);
  await ensureCache(folder);
  const { signal, leash } = order;
  const args = ['ls-remote', '--quiet', '--end-of-options', url, 'HEAD'];
  return (await git({ folder, args, authorization, signal, leash })).code === 0;
}

function refuseFullDisk(result: GitResult): void {
  if (saysDiskFull(result.said)) throw new Fault('disk-full', { cause: new Error(lastWords(result)) });
}

const lastWords = (result: GitResult): string =>
  (result.said.split('\n').findLast((line) => line !== '') ?? `exit ${result.code}`).replace(/^fatal: /, '');

async function must(call: GitCall): Promise<Buffer> {
  const result = await git(call);
  if (result.code === 0) return result.out;
  refuseFullDisk(result);
  throw new Error(`git ${call.args[0]}: ${lastWords(result)}`);
}

const inside = (path: string): string => (path === '.' ? '' : path.replace(/^\.\//, '').replace(/\/+$/, ''));

function snapshot(folder: string, sha: Sha): Snapshot {
  const entry = async (path: string): Promise<{ readonly mode: string; readonly id: string } | undefined> => {
    const out = await must({ folder, args: ['ls-tree', '-z', '--full-tree', sha, '--', inside(path)] });
    const [, mode, id] = /^(\d{6}) \w+ ([0-9a-f]+)\t/.exec(out.toString('utf8')) ?? [];
    return mode === undefined || id === undefined ? undefined : { mode, id };
  };
  const plain = async (path: string, maxBytes: number): Promise<{ readonly id: string } | 'too-large' | undefined> => {
    const found = await entry(path);
    if (found === undefined || !found.mode.startsWith('100')) return undefined;
    const size = Number((await must({ folder, args: ['cat-file', '-s', found.id] })).toString('utf8'));
    return size > maxBytes ? 'too-large' : found;
  };
  return {
    sha,
    async tree(path) {
      if (inside(path) === '') return (await must({ folder, args: ['rev-parse', '--verify', `${sha}^{tree}`] })).toString('utf8').trim();
      return (await entry(path))?.id;
    },
    async read(path, maxBytes) {
      const found = await plain(path, maxBytes);
      return typeof found === 'object' ? must({ folder, args: ['cat-file', 'blob', found.id] }) : found;
    },
    async save(path, file, maxBytes) {
      const found = await plain(path, maxBytes);
      if (typeof found !== 'object') return found;
      await using output = await open(file, 'wx', 0o600);
      await must({ folder, args: ['cat-file', 'blob', found.id], output: output.fd }).catch(async (error: unknown) => {
        // git does not say why it could not be written.
        await refuseIfFull(dirname(file));
        throw error;
      });
      return 'saved';
    },
    checkout: (paths, into, signal) => orDiskFull(() => checkout({ folder, sha, paths, into, ...(signal ? { signal } : {}) })),
  };
}

type Checkout = {
  readonly folder: string;
  readonly sha: Sha;
  readonly paths: readonly string[];
  readonly into: string;
  readonly signal?: AbortSignal;
};

/** By an index of its own: `git archive` would honour the repository's `export-ignore`, a work tree would leave a `.git` behind. */
async function checkout({ folder, sha, paths, into, signal }: Checkout): Promise<void> {
  await mkdir(into, { recursive: true });
  const index = `${into}.index`;
  const aborted = signal ? { signal } : {};
  try {
    const wanted = paths.some((path) => inside(path) === '') ? [] : paths.map(inside);
    const listing = await must({ folder, args: ['ls-tree', '-r', '-z', '--full-tree', sha, '--', ...wanted], ...aborted });
    await must({ folder, args: ['update-index', '-z', '--index-info'], input: listing, index, workTree: into, ...aborted });
    await must({ folder, args: ['checkout-index', '--all', '--force', '--quiet'], index, workTree: into, ...aborted });
  } catch (error) {
    if (!signal?.aborted && !(error instanceof Fault)) {
      // git does not say why a file could not be written.
      await refuseIfFull(into);
      // Most likely the cache is damaged: it is dropped, and the next fetch makes it anew.
      await rm(folder, { recursive: true, force: true });
      throw new Fault('fetch-failed', { details: { cause: 'the source cache was damaged', attempts: '1' }, cause: error });
    }
    throw error;
  } finally {
    await rm(index, { force: true });
  }
}
