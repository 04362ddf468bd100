import { existsSync } from 'node:fs';
import { access, constants, mkdir, readdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Exit, Limits } from './sandbox.ts';

/** The control group of one box, on one or (version 1) several hierarchies. */
export interface Group {
  /** Files into which a process writes its own id to belong to the group. */
  readonly doors: readonly string[];
  pids(): Promise<readonly number[]>;
  /** Which limit was hit since the group was made; `failed`: whether the box ended badly. */
  limitHit(failed: boolean): Promise<Exit['limit']>;
  /** Kills what is left, waits until it is gone and removes the group. */
  remove(): Promise<void>;
}

export interface Groups {
  readonly by: 'cgroup v1' | 'cgroup v2' | 'rlimits';
  make(name: string, limits: Limits): Promise<Group>;
}

const ROOT = '/sys/fs/cgroup';
const PERIOD_US = 100_000;

const ownName = (name: string): string => `mayfly-${process.pid}-${name}`;

/** Groups of a Mayfly that was killed: its boxes died with it, their groups could not. */
async function removeStale(hierarchies: readonly string[]): Promise<void> {
  for (const hierarchy of hierarchies) {
    for (const name of await readdir(hierarchy)) {
      const pid = /^mayfly-(\d+)-/.exec(name)?.[1];
      if (pid !== undefined && !existsSync(`/proc/${pid}`)) await emptied(join(hierarchy, name));
    }
  }
}

/**
 * The best way to hold limits that this machine lets us use: cgroup v2, else v1, else none (then rlimits hold what they can). Groups
 * are made at the root of the hierarchy, as container runtimes do; in a container that root is the container's own.
 */
export async function openGroups(root = ROOT): Promise<Groups> {
  if (await unifiedIsOurs(root)) {
    await removeStale([root]);
    return { by: 'cgroup v2', make: (name, limits) => makeUnified(root, name, limits) };
  }
  const parts = ['memory', 'pids', 'cpu'].map((controller) => join(root, controller));
  if ((await Promise.all(parts.map(isWritable))).every(Boolean)) {
    await removeStale(parts);
    return { by: 'cgroup v1', make: (name, limits) => makeLegacy(root, name, limits) };
  }
  return { by: 'rlimits', make: async () => ({ doors: [], pids: async () => [], limitHit: async () => null, remove: async () => {} }) };
}

async function isWritable(path: string): Promise<boolean> {
  try {
    await access(path, constants.W_OK);
    return true;
  } catch {
    // Not there, or not ours to change: the answer is no.
    return false;
  }
}

async function unifiedIsOurs(root: string): Promise<boolean> {
  const controllers = join(root, 'cgroup.controllers');
  if (!existsSync(controllers) || !(await isWritable(join(root, 'cgroup.subtree_control')))) return false;
  const have = (await readFile(controllers, 'utf8')).split(/\s+/);
  if (!['memory', 'pids', 'cpu'].every((name) => have.includes(name))) return false;
  try {
    await enableControllers(root);
    return true;
  } catch {
    // A container without the right to delegate; the next best way is taken.
    return false;
  }
}

/** In a container the root holds processes itself, and then controllers can't be passed on: they move to a leaf of their own. */
async function enableControllers(root: string): Promise<void> {
  const control = join(root, 'cgroup.subtree_control');
  const wanted = '+memory +pids +cpu';
  const first = await writeFile(control, wanted).then(
    () => true,
    () => false,
  );
  if (first) return;
  const leaf = join(root, 'mayfly-own');
  await mkdir(leaf, { recursive: true });
  for (const pid of (await readFile(join(root, 'cgroup.procs'), 'utf8')).split('\n').filter(Boolean)) {
    // A process that ended meanwhile can't be moved and needn't be.
    await writeFile(join(leaf, 'cgroup.procs'), pid).catch(() => {});
  }
  await writeFile(control, wanted);
}

async function makeUnified(root: string, name: string, limits: Limits): Promise<Group> {
  const folder = join(root, ownName(name));
  await renewed(folder);
  await writeFile(join(folder, 'memory.max'), String(limits.memoryMb * 1024 * 1024));
  // Machines without swap accounting have no such file.
  await writeFile(join(folder, 'memory.swap.max'), '0').catch(() => {});
  await writeFile(join(folder, 'pids.max'), String(limits.processes));
  await writeFile(join(folder, 'cpu.max'), `${Math.round(limits.cpus * PERIOD_US)} ${PERIOD_US}`);
  return group([folder], {
    oomKills: () => counter(join(folder, 'memory.events'), 'oom_kill'),
    refusedForks: () => counter(join(folder, 'pids.events'), 'max'),
  });
}

async function makeLegacy(root: string, name: string, limits: Limits): Promise<Group> {
  const [memory, pids, cpu] = [join(root, 'memory', ownName(name)), join(root, 'pids', ownName(name)), join(root, 'cpu', ownName(name))];
  await Promise.all([memory, pids, cpu].map(renewed));
  const bytes = String(limits.memoryMb * 1024 * 1024);
  await writeFile(join(memory, 'memory.limit_in_bytes'), bytes);
  // Machines without swap accounting have no such file.
  await writeFile(join(memory, 'memory.memsw.limit_in_bytes'), bytes).catch(() => {});
  await writeFile(join(pids, 'pids.max'), String(limits.processes));
  await writeFile(join(cpu, 'cpu.cfs_period_us'), String(PERIOD_US));
  await writeFile(join(cpu, 'cpu.cfs_quota_us'), String(Math.round(limits.cpus * PERIOD_US)));
  return group([pids, memory, cpu], {
    oomKills: () => counter(join(memory, 'memory.oom_control'), 'oom_kill'),
    refusedForks: () => counter(join(pids, 'pids.events'), 'max'),
  });
}

type Counters = { readonly oomKills: () => Promise<number>; readonly refusedForks: () => Promise<number> };

function group(folders: readonly string[], counters: Counters): Group {
  const pids = async () => {
    const lists = await Promise.all(folders.map(pidsOf));
    return [...new Set(lists.flat())];
  };
  return {
    doors: folders.map((folder) => join(folder, 'cgroup.procs')),
    pids,
    limitHit: async (failed) => {
      if ((await counters.oomKills()) > 0) return 'memory';
      return failed && (await counters.refusedForks()) > 0 ? 'processes' : null;
    },
    remove: async () => {
      for (const folder of folders) await emptied(folder);
    },
  };
}

async function pidsOf(folder: string): Promise<readonly number[]> {
  try {
    return (await readFile(join(folder, 'cgroup.procs'), 'utf8')).split('\n').filter(Boolean).map(Number);
  } catch {
    // The group is gone, and so is all that was in it.
    return [];
  }
}

async function counter(file: string, name: string): Promise<number> {
  try {
    const line = (await readFile(file, 'utf8')).split('\n').find((text) => text.startsWith(`${name} `));
    return Number(line?.split(' ')[1] ?? 0);
  } catch {
    // Older kernels don't count this.
    return 0;
  }
}

/** A group of that name may be left from a run that was killed; what is still in it must not share the new one's limits. */
async function renewed(folder: string): Promise<void> {
  if (existsSync(folder)) await emptied(folder);
  await mkdir(folder, { recursive: true });
}

/** Kills until nothing is left: a process that forks while we read the list is in the next reading. */
async function emptied(folder: string): Promise<void> {
  for (;;) {
    const pids = await pidsOf(folder);
    for (const pid of pids) killQuietly(pid);
    try {
      await rmdir(folder);
      return;
    } catch (error) {
      // EBUSY: a killed process is still being taken down by the kernel.
      if (isCode(error, 'ENOENT')) return;
      if (!isCode(error, 'EBUSY')) throw error;
      await pause(5);
    }
  }
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended by itself in the meantime.
  }
}

const isCode = (error: unknown, code: string): boolean => error instanceof Error && 'code' in error && error.code === code;
