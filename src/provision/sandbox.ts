// Interface first; see the brief. Implementation follows.
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
 * inside. `outward`: connections to 127.0.0.1:`port` inside reach the unix socket outside.
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

export type Exit = {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null /** Which limit ended it, if one did. */;
  readonly limit: 'memory' | 'processes' | 'disk' | null;
};

export interface Boxed {
  readonly pid: number;
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
