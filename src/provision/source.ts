import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Repository, Sha } from '../site/identity.ts';
import type { Source } from '../site/ports.ts';
import { Fault } from '../site/problem.ts';
import { git, type Leash, lastWords, must, refuseFullDisk } from './git.ts';
import { openSnapshot, type Snapshot } from './snapshot.ts';
import { orDiskFull, touch } from './storage/disk.ts';

const ATTEMPTS = 3;
const PAUSE_MS = 700;
const LIMIT_MS = 120_000;

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
      return openSnapshot(folder, order.sha);
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
  // What comes first is kept as it was packed, as by a clone. Unpacked, each file is compressed anew, which for a
  // seed of 50 MB takes longer than all the rest.
  // Of a push there are few, and unpacked they leave no pack that all later ones would be looked for in.
  const kept = (await isEmpty(folder)) ? ['-c', 'fetch.unpackLimit=1'] : [];
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
      args: [...kept, 'fetch', ...options, '--end-of-options', url, `${want}:refs/heads/${order.sha}`],
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

/** Whether nothing was ever fetched. */
const isEmpty = async (folder: string): Promise<boolean> => (await readdir(join(folder, 'refs', 'heads')).catch(() => [])).length === 0;

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
