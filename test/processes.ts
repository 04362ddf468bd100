import { readdir, readFile } from 'node:fs/promises';

/** A process and when it started, in clock ticks since the machine's boot: together they never name another one. */
export type Known = { readonly pid: number; readonly startedAt: string; readonly command: string };
/** `state` is the kernel's letter: `T` is stopped. */
type Listed = Known & { readonly parent: number; readonly state: string };

/** Everything that runs on this machine, zombies apart. */
export async function processes(): Promise<readonly Listed[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const all = await Promise.all(
    pids.map(async (pid): Promise<Listed | undefined> => {
      // Gone between the two looks.
      const [stat, command] = await Promise.all(
        ['stat', 'cmdline'].map((file) => readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '')),
      );
      const [state, parent, ...rest] = (stat ?? '').slice((stat ?? '').lastIndexOf(')') + 2).split(' ');
      if (state === undefined || parent === undefined || state === 'Z') return undefined;
      return {
        pid: Number(pid),
        parent: Number(parent),
        state,
        startedAt: rest[17] ?? '',
        command: (command ?? '').replaceAll('\0', ' ').slice(0, 200),
      };
    }),
  );
  return all.filter((one) => one !== undefined);
}

/** Everything that this process has started, directly or not, and that still runs. */
export async function descendantsOf(pid: number): Promise<readonly Known[]> {
  const all = await processes();
  const found: Listed[] = [];
  for (let parents = new Set([pid]); parents.size > 0; ) {
    const children = all.filter(({ parent }) => parents.has(parent));
    found.push(...children);
    parents = new Set(children.map((child) => child.pid));
  }
  return found;
}

/** Of these processes, those that still run. */
export async function alive(known: readonly Known[]): Promise<readonly Known[]> {
  const now = new Map((await processes()).map((one) => [one.pid, one.startedAt]));
  return known.filter(({ pid, startedAt }) => now.get(pid) === startedAt);
}
