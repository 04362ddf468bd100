import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { openMayfly } from './mayfly.ts';
import { below, type Measurement, row } from './measurement.ts';
import { timed } from './sample.ts';

/** Until the children are warm and what the start left over was collected. */
const SETTLES_MS = 20_000;
/** Pulumi's warmed children wait for work and are told apart: the bar is about Mayfly itself. */
const SPARE = /pulumi-child/;

type Process = { readonly pid: number; readonly parent: number; readonly command: string };

async function processes(): Promise<readonly Process[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(
    pids.map(async (pid): Promise<Process | undefined> => {
      // One that ends while it is looked at is none.
      const [stat, command] = await Promise.all([
        readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ''),
        readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => ''),
      ]);
      const parent = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1];
      return parent === undefined ? undefined : { pid: Number(pid), parent: Number(parent), command: command.replaceAll('\0', ' ') };
    }),
  );
  return found.filter((one) => one !== undefined);
}

/** The process and everything that it has started, however deep. */
async function familyOf(pid: number): Promise<readonly Process[]> {
  const all = await processes();
  const family = all.filter((one) => one.pid === pid);
  for (const member of family) family.push(...all.filter((one) => one.parent === member.pid));
  return family;
}

/** MiB of memory, with what is shared in equal parts (PSS), of a process and what it has started; without the spare children. */
export async function memoryOf(pid: number): Promise<number> {
  const family = await familyOf(pid);
  const spares = new Set(family.filter(({ command }) => SPARE.test(command)).map((one) => one.pid));
  for (const one of family) if (spares.has(one.parent)) spares.add(one.pid);
  const sizes = await Promise.all(
    family
      .filter((one) => !spares.has(one.pid))
      .map(async (one) => {
        const text = await readFile(`/proc/${one.pid}/smaps_rollup`, 'utf8').catch(() => '');
        return Number(/^Pss:\s+(\d+) kB/m.exec(text)?.[1] ?? 0) / 1_024;
      }),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

export const footprint: Measurement = {
  title: 'Start and memory of Mayfly itself: all roles, embedded databases',
  async run({ scale, say }) {
    await using mayfly = await openMayfly();
    const first = await timed(mayfly.start);
    say(`first start, with new databases: ${(first / 1_000).toFixed(2)} s`);
    const starts: number[] = [];
    for (let n = 0; n < (scale === 'whole' ? 5 : 1); n++) {
      await mayfly.end('SIGTERM');
      starts.push((await timed(mayfly.start)) / 1_000);
    }
    await delay(scale === 'whole' ? SETTLES_MS : 1_000);
    const memory: number[] = [];
    for (let n = 0; n < 3; n++) {
      memory.push(await memoryOf(mayfly.pid));
      await delay(1_000);
    }
    return [
      row({ what: 'start until up, warm data dir', unit: 's', ours: starts }, { bar: below(3, 's') }),
      row({ what: 'memory, idle (PSS)', unit: 'MiB', ours: memory }, { bar: below(350, 'MiB') }),
    ];
  },
};
