import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { OUR_HOST } from './pulumi-lock.ts';
import { type FromChild, type Order, parseFromChild, type ToChild } from './pulumi-messages.ts';

/** How a child is started. `environment` is all that it gets; the backend's address is there, as arguments are for everybody to see. */
export type Launcher = {
  readonly environment: Readonly<Record<string, string>>;
  readonly cliRoot: string;
  readonly secretsProvider?: string | undefined;
  /** In which each child has a folder of its own for what it makes meanwhile. */
  readonly temporary: string;
  /** With bubblewrap the child is the first of a process namespace, which ends whole with us or with it. */
  readonly wrap: 'bubblewrap' | 'setpriv';
};

/** Which process: an id alone may have been given to another since. `start` is in clock ticks since the machine's start. */
export type ProcessMark = { readonly pid: number; readonly start: string };

export interface PulumiProcess {
  readonly mark: ProcessMark;
  /** Times used. */
  readonly uses: number;
  isAlive(): boolean;
  /** One at a time. Aborting asks Pulumi to stop, then kills it and all it started `graceMs` later; then this throws. */
  carryOut(order: Order, stop: { readonly signal: AbortSignal; readonly graceMs: () => number }): Promise<FromChild>;
  kill(): Promise<void>;
}

const PROGRAM = fileURLToPath(new URL('./pulumi-child.ts', import.meta.url));

function commandLine({ wrap, cliRoot, secretsProvider }: Launcher): readonly string[] {
  const node = [process.execPath, PROGRAM, cliRoot, ...(secretsProvider === undefined ? [] : [secretsProvider])];
  const spaces = ['--unshare-pid', '--unshare-uts', '--hostname', OUR_HOST];
  return wrap === 'bubblewrap'
    ? ['bwrap', ...spaces, '--die-with-parent', '--dev-bind', '/', '/', '--proc', '/proc', '--', ...node]
    : ['setpriv', '--pdeathsig', 'KILL', '--', ...node];
}

/** Starts a child and waits until it has loaded everything (measured: about 0.9 s). */
export async function openPulumiProcess(launcher: Launcher): Promise<PulumiProcess> {
  const [file = '', ...args] = commandLine(launcher);
  const own = await mkdtemp(join(launcher.temporary, 'child-'));
  const child = spawn(file, args, {
    env: { ...launcher.environment, TMPDIR: own },
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    detached: true,
  });
  const stderr: string[] = [];
  child.stderr?.on('data', (chunk: Buffer) => stderr.splice(0, stderr.length - 20, chunk.toString()));
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
    child.once('error', () => resolve());
    // One that was killed did not tidy up; what cannot be removed goes at the next start.
  }).then(() => rm(own, { recursive: true, force: true }).catch(() => undefined));
  await heard(child, ended, stderr);
  const pid = child.pid ?? 0;
  const state = { uses: 0 };
  const kill = async (): Promise<void> => {
    killGroup(pid);
    await ended;
  };
  return {
    mark: { pid, start: (await startOf(pid)) ?? '' },
    get uses() {
      return state.uses;
    },
    isAlive: () => child.exitCode === null && child.signalCode === null,
    kill,
    async carryOut(order, { signal, graceMs }) {
      state.uses += 1;
      const answer = heard(child, ended, stderr);
      let killing: NodeJS.Timeout | undefined;
      const abort = (): void => {
        send(child, { type: 'abort' });
        killing = setTimeout(() => killGroup(pid), graceMs());
      };
      send(child, { type: 'order', order });
      if (signal.aborted) abort();
      signal.addEventListener('abort', abort, { once: true });
      try {
        return await answer;
      } finally {
        clearTimeout(killing);
        signal.removeEventListener('abort', abort);
      }
    },
  };
}

/** The next message, or the end as a failure. */
async function heard(child: ChildProcess, ended: Promise<void>, stderr: readonly string[]): Promise<FromChild> {
  const listening = new AbortController();
  try {
    const message = once(child, 'message', { signal: listening.signal });
    const said = await Promise.race([message, ended]);
    // Aborted below, once nobody waits for it any more.
    message.catch(() => undefined);
    if (!said) return { type: 'failed', text: `the Pulumi process ended: ${stderr.join('')}` };
    return parseFromChild(said[0]);
  } finally {
    listening.abort();
  }
}

function send(child: ChildProcess, message: ToChild): void {
  // The end of a child is heard by `ended`; a message to one that is gone has no one to read it.
  if (child.connected) child.send(message, () => undefined);
}

/** SIGKILL to a process group; one that is gone is what was wanted. */
export function killGroup(pid: number): void {
  if (pid <= 1) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}

/** When the process was started; undefined when it is gone (also as a zombie). */
export async function startOf(pid: number): Promise<string | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    // The name in parentheses may hold anything; fields are counted after it.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? undefined : fields[19];
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ESRCH')) return undefined;
    throw error;
  }
}
