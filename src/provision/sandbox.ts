import { rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { openBubblewrap } from './bubblewrap.ts';
import { namesIn } from './names-in.ts';
import { openPlain } from './plain-box.ts';
import { openToolbox } from './toolbox.ts';

export type Limits = {
  /** Memory of everything inside together. */
  readonly memoryMb: number;
  /** Processes and threads. */
  readonly processes: number;
  /** Share of CPU: 1 is one core. */
  readonly cpus: number;
  /** What may be written to writable folders that are copies in memory or overlays, and to /tmp. */
  readonly diskMb: number;
};

/**
 * `read`: bound read-only. `write`: bound writable, for a folder that is the box's own. `fresh`: what is written goes to a layer that
 * is thrown away with the box, `from` stays as it is.
 */
export type Folder = { readonly from: string; readonly to: string; readonly access: 'read' | 'write' | 'fresh' };

/**
 * A way through the wall, by a relay inside the box. `inward`: connections to the unix socket `socket` outside reach 127.0.0.1:`port`
 * inside; the socket is made by `open`, listens when that resolves, and is removed with the box. `outward`: connections to
 * 127.0.0.1:`port` inside reach the unix socket outside, which must exist already and be writable for the box's user.
 */
export type Door = { readonly direction: 'inward' | 'outward'; readonly port: number; readonly socket: string };

export type Box = {
  /** Shown in logs and in the names of control groups, e.g. `build-01J…`. Letters, digits, `-`. */
  readonly name: string;
  /** `sh -c` runs it. */
  readonly command: string;
  readonly cwd: string;
  /** The whole environment but PATH, HOME and TMPDIR, which the box sets. */
  readonly env: Readonly<Record<string, string>>;
  /** User id inside and outside; used when we are root. */
  readonly uid: number;
  readonly folders: readonly Folder[];
  readonly doors: readonly Door[];
  readonly limits: Limits;
};

/** `code` of a command that a signal ended inside the box is 128 + the signal's number, as a shell says it. */
export type Exit = {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Which limit ended it, if one did. */
  readonly limit: 'memory' | 'processes' | 'disk' | null;
};

export interface Boxed {
  readonly pid: number;
  /** Resolves when nothing of the box is left. */
  readonly exited: Promise<Exit>;
  /** SIGTERM to all inside, `graceMs` later SIGKILL. Resolves when nothing of it is left. */
  stop(graceMs: number): Promise<void>;
}

export interface Sandbox {
  readonly kind: 'bubblewrap' | 'none';
  /** What holds the limits here, for the start log: `cgroup v1`, `cgroup v2`, `rlimits`. */
  readonly limitsBy: string;
  /** Standard output and error of the box go to `log` as they come. */
  open(box: Box, log: (chunk: Buffer) => void): Promise<Boxed>;
}

/** What it means to run without a sandbox, for operators. */
export const WITHOUT_SANDBOX = 'builds and sites run without a sandbox: their code can read and change everything that Mayfly can';

/** No sandbox can be opened here; the text tells the operator what to do. */
export class SandboxError extends Error {
  constructor(complaint: string) {
    super(
      `bubblewrap does not work here (${complaint}). Install it (Debian: apt-get install bubblewrap) and allow user namespaces. ` +
        `With MAYFLY_SANDBOX=none ${WITHOUT_SANDBOX}, so use it only where everybody who opens a pull or merge request is trusted with this machine.`,
    );
    this.name = 'SandboxError';
  }
}

/**
 * Opens the way in which other people's code is run here. `auto` and `bubblewrap` demand a bubblewrap that works: one box is really
 * opened. `none` must be asked for by name: it protects nothing (see `plain-box.ts`).
 * @throws SandboxError
 */
export async function openSandbox(options: {
  readonly mode: 'auto' | 'bubblewrap' | 'none';
  readonly dataDir: string;
  readonly log: (line: string) => void;
}): Promise<Sandbox> {
  const dataDir = resolve(options.dataDir);
  await removeStaleBoxes(join(dataDir, 'run'));
  const toolbox = await openToolbox(dataDir);
  if (options.mode === 'none') return openPlain({ dataDir, toolbox });
  const sandbox = await openBubblewrap({ dataDir, toolbox });
  const complaint = await tryOut(sandbox);
  if (complaint === null) return sandbox;
  throw new SandboxError(complaint);
}

/** Folders of boxes whose Mayfly was killed: they died with it. Without root they may be whole copies of what ran. The data dir is ours alone, so there are no others. */
async function removeStaleBoxes(folder: string): Promise<void> {
  const stale = (await namesIn(folder)).filter((name) => name.startsWith('box-'));
  await Promise.all(stale.map((name) => rm(join(folder, name), { recursive: true, force: true })));
}

/** Opens a box for real. @returns what went wrong, null when nothing did */
async function tryOut(sandbox: Sandbox): Promise<string | null> {
  const said: Buffer[] = [];
  const box: Box = {
    name: `try-${process.pid}`,
    command: 'test "$(hostname)" = site && node --version',
    cwd: '/tmp',
    env: {},
    uid: 65_533,
    folders: [],
    doors: [],
    limits: { memoryMb: 512, processes: 64, cpus: 1, diskMb: 16 },
  };
  try {
    const boxed = await sandbox.open(box, (chunk) => said.push(chunk));
    const exit = await boxed.exited;
    return exit.code === 0 ? null : Buffer.concat(said).toString('utf8').trim().slice(0, 500) || `exit ${exit.code}`;
  } catch (error) {
    // Whatever stops the trial (no such program, no permission) is the answer to it.
    return error instanceof Error ? error.message : String(error);
  }
}
