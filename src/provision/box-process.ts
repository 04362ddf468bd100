import { type ChildProcess, spawn } from 'node:child_process';
import { readdir, readFile, rename, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { setTimeout as pause, setImmediate as turn } from 'node:timers/promises';
import type { Group } from './control-groups.ts';
import type { Boxed, Door, Exit } from './sandbox.ts';

/** A listening unix socket whose descriptor a box inherits. */
export type Listener = { readonly server: Server; readonly fd: number; readonly door: Door };

/** libuv unlinks, when it closes a server, the name that it was bound to; the socket gets its own name after that, by renaming. */
const boundName = (door: Door): string => `${door.socket}~`;

/** Opens the sockets of the inward doors, outside: a box never gets to know their names. Nobody finds them until `handedOver`. */
export async function listenOutside(doors: readonly Door[]): Promise<readonly Listener[]> {
  const listeners: Listener[] = [];
  for (const door of doors.filter((one) => one.direction === 'inward')) {
    await rm(boundName(door), { force: true });
    const server = createServer();
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen({ path: boundName(door), backlog: 511 }, resolve));
    listeners.push({ server, fd: descriptorOf(server), door });
  }
  return listeners;
}

/** Gives up sockets that no box has taken over. */
export function closeOutside(listeners: readonly Listener[]): void {
  for (const { server } of listeners) server.close();
}

/** Node has no public name for a server's descriptor; it is where it has been since 0.6. */
function descriptorOf(server: Server): number {
  const handle: unknown = Reflect.get(server, '_handle');
  const fd: unknown = typeof handle === 'object' && handle !== null ? Reflect.get(handle, 'fd') : undefined;
  if (typeof fd !== 'number' || fd < 0) throw new Error('this Node does not tell the descriptor of a listening socket');
  return fd;
}

export type BoxProcess = {
  readonly command: readonly [string, ...string[]];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly listeners: readonly Listener[];
  readonly group: Group;
  /** Ids of what runs inside; asked when it is to be stopped. `outer` is the process that we started. */
  readonly inside: (outer: number) => Promise<readonly number[]>;
  /** What else has to go when nothing runs any more. */
  readonly clean: () => Promise<void>;
};

/** Starts the box's process, listens to it, and takes everything down when it ends. */
export async function startBox(start: BoxProcess, log: (chunk: Buffer) => void): Promise<Boxed> {
  const [program, ...args] = start.command;
  const child = spawn(program, args, {
    cwd: start.cwd,
    env: { ...start.env },
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe', ...start.listeners.map((listener) => listener.fd)],
  });
  const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => resolve({ code, signal }));
  });
  child.stdout?.on('data', log);
  child.stderr?.on('data', log);
  const exited = finish(child, ended, start);
  // Whoever wants to know awaits it; a box that nobody waits for any more must not end Mayfly.
  exited.catch(() => {});
  const { pid } = child;
  if (pid === undefined) {
    await exited;
    throw new Error(`${program} did not start`);
  }
  await handedOver(start.listeners);
  return { pid, exited, stop: (graceMs) => stop({ pid, exited, inside: start.inside }, graceMs) };
}

/** The box has inherited the sockets and alone accepts now. An old socket of the same name gives way. */
async function handedOver(listeners: readonly Listener[]): Promise<void> {
  for (const { server, door } of listeners) {
    await rename(boundName(door), door.socket);
    server.close();
  }
}

async function finish(
  child: ChildProcess,
  ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>,
  start: BoxProcess,
): Promise<Exit> {
  try {
    const { code, signal } = await ended;
    for (const pid of await start.inside(child.pid ?? 0)) send(pid, 'SIGKILL');
    const limit = await start.group.limitHit(code !== 0);
    await drained(child);
    return { code, signal, limit };
  } finally {
    await start.group.remove();
    for (const { door } of start.listeners) await rm(door.socket, { force: true });
    await start.clean();
  }
}

/** The last output is still in the pipes; it ends when nobody is left to write, which is at once. */
async function drained(child: ChildProcess): Promise<void> {
  const streams = [child.stdout, child.stderr].filter((stream) => stream !== null);
  const done = Promise.all(
    streams.map((stream) => (stream.destroyed ? undefined : new Promise((resolve) => stream.once('close', resolve)))),
  );
  await Promise.race([done, pause(1_000, undefined, { ref: false })]);
  // Where everything was late, the time may be over before anything was read.
  await turn();
  for (const stream of streams) stream.destroy();
}

/** Time for the outermost process to notice that all inside are dead. */
const OUTER_MS = 1_000;

type Running = Pick<Boxed, 'pid' | 'exited'> & Pick<BoxProcess, 'inside'>;

async function stop(box: Running, graceMs: number): Promise<void> {
  const gone = box.exited.then(
    () => true,
    () => true,
  );
  if (graceMs > 0) {
    for (const pid of await box.inside(box.pid)) send(pid, 'SIGTERM');
    const inTime = await Promise.race([gone, pause(graceMs, false, { ref: false })]);
    if (inTime) return;
  }
  // From the inside out: who is killed before its children leaves them to the system's init, which may be slow to bury them.
  const inside = await box.inside(box.pid);
  for (const pid of inside) send(pid, 'SIGKILL');
  if (inside.length === 0 || !(await Promise.race([gone, pause(OUTER_MS, false, { ref: false })]))) send(box.pid, 'SIGKILL');
  await gone;
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It ended by itself in the meantime.
  }
}

/** Every living descendant of `root`, nearest first. */
export async function descendants(root: number): Promise<readonly number[]> {
  const parents = new Map<number, number[]>();
  const ids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  await Promise.all(
    ids.map(async (id) => {
      // A process may end between the listing and the reading: then it is nobody's child any more.
      const stat = await readFile(`/proc/${id}/stat`, 'utf8').catch(() => '');
      const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
      if (Number.isInteger(parent)) parents.set(parent, [...(parents.get(parent) ?? []), id]);
    }),
  );
  const found: number[] = [];
  for (let queue = [root]; queue.length > 0; ) {
    queue = queue.flatMap((id) => parents.get(id) ?? []);
    found.push(...queue);
  }
  return found;
}
