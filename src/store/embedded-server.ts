import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, readlink, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Place, Programs, ServerUser } from './embedded-place.ts';

/** What a child of ours may know of our environment. */
const CHILD_ENVIRONMENT = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LANG: 'C.UTF-8', LC_ALL: 'C.UTF-8', TZ: 'UTC' };
const READY_LIMIT_MS = 60_000;
/** How often the server's own status line is looked at; a start takes 100 to 600 ms. */
const POLL_MS = 10;
const KEPT_LINES = 30;

/**
 * Small on purpose: two idle clusters share Mayfly's 350 MiB. `io_method=sync` saves three worker processes a cluster, `jit=off` the
 * 30 MB that LLVM maps, and nobody replicates an embedded cluster.
 */
const SETTINGS: Readonly<Record<string, string>> = {
  shared_buffers: '16MB',
  max_connections: '100',
  max_worker_processes: '2',
  max_parallel_workers: '0',
  max_parallel_workers_per_gather: '0',
  max_wal_senders: '0',
  max_replication_slots: '0',
  max_logical_replication_workers: '0',
  wal_level: 'minimal',
  min_wal_size: '32MB',
  max_wal_size: '256MB',
  io_method: 'sync',
  jit: 'off',
  huge_pages: 'off',
  autovacuum: 'on',
  autovacuum_max_workers: '1',
  autovacuum_worker_slots: '1',
  maintenance_work_mem: '32MB',
  password_encryption: 'scram-sha-256',
  listen_addresses: '127.0.0.1',
  unix_socket_permissions: '0777',
  log_min_messages: 'warning',
  lc_messages: 'C',
  client_connection_check_interval: '5s',
};

export type Launching = {
  readonly programs: Programs;
  readonly place: Place;
  readonly user: ServerUser;
  readonly settings: Readonly<Record<string, string>>;
  readonly log: Logger;
};
export type RunningServer = { readonly child: ChildProcess; readonly port: number };

/**
 * Wraps a command so that it runs as the server's user and gets `signal` when we die, however we die. SIGQUIT is PostgreSQL's immediate
 * shutdown: children go at once, and the next start replays the log.
 */
export function underUs(user: ServerUser, command: readonly string[]): readonly string[] {
  const identity = user ? ['--reuid', String(user.uid), '--regid', String(user.gid), '--clear-groups'] : [];
  return ['setpriv', ...identity, '--no-new-privs', '--pdeathsig', 'QUIT', '--', ...command];
}

/** Starts the server on `port`, or on a free one; resolves when it takes connections. Throws with its last lines when it does not. */
export async function startServer(launching: Launching, port: number | null): Promise<RunningServer> {
  let failure: unknown;
  // A port may be taken between the look and the start, and processes of a killed server may hold its memory for a moment.
  for (const waitMs of [0, 100, 300, 1_000, 3_000]) {
    await delay(waitMs);
    try {
      return await startOnce(launching, port ?? (await freePort()));
    } catch (error) {
      failure = error;
      launching.log.debug({ err: error }, 'the embedded PostgreSQL did not start');
    }
  }
  throw failure;
}

async function startOnce(launching: Launching, port: number): Promise<RunningServer> {
  const { programs, place, user, log } = launching;
  await clearPredecessor(place.data, log);
  const settings = { ...SETTINGS, ...launching.settings, port: String(port), unix_socket_directories: place.sockets };
  const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const [command = '', ...rest] = underUs(user, [programs.postgres, '-D', place.data, ...flags]);
  const child = spawn(command, rest, { cwd: '/', env: CHILD_ENVIRONMENT, stdio: ['ignore', 'ignore', 'pipe'] });
  const lines: string[] = [];
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    lines.push(...chunk.split('\n').filter((line) => line !== ''));
    lines.splice(0, lines.length - KEPT_LINES);
    log.debug({ output: chunk.trimEnd() }, 'postgresql');
  });
  try {
    await ready(child, place.data);
  } catch (error) {
    child.kill('SIGKILL');
    throw new Error(`The embedded PostgreSQL did not start: ${lines.join(' | ')}`, { cause: error });
  }
  return { child, port };
}

async function ready(child: ChildProcess, data: string): Promise<void> {
  let ended: string | undefined;
  child.once('error', (error) => {
    ended = error.message;
  });
  child.once('exit', (code, signal) => {
    ended = `exited with ${code ?? signal}`;
  });
  for (const end = Date.now() + READY_LIMIT_MS; Date.now() < end; await delay(POLL_MS)) {
    if (ended !== undefined) throw new Error(ended);
    // Line 8 is the server's own word on its state; before it is written there is no file.
    const lines = (await readFile(join(data, 'postmaster.pid'), 'utf8').catch(() => '')).split('\n');
    if (Number(lines[0]) === child.pid && lines[7]?.trim() === 'ready') return;
  }
  throw new Error(`not ready after ${READY_LIMIT_MS} ms`);
}

/**
 * Makes room for a start: waits for a predecessor on the same data that is still going down, ends it when it does not, and removes the
 * pid file of one that is gone (its number may meanwhile belong to another process of the same user, which PostgreSQL would respect).
 */
async function clearPredecessor(data: string, log: Logger): Promise<void> {
  const file = join(data, 'postmaster.pid');
  for (let waited = 0; ; waited += POLL_MS) {
    // No pid file: nobody was here, or went in order.
    const pid = Number((await readFile(file, 'utf8').catch(() => '')).split('\n')[0]);
    if (!pid) return;
    // No such process, or none of ours to look at.
    const folder = await readlink(`/proc/${pid}/cwd`).catch(() => undefined);
    if (folder !== data) return rm(file, { force: true });
    if (waited === 5_000) kill(pid, 'SIGQUIT', log);
    if (waited === 10_000) kill(pid, 'SIGKILL', log);
    if (waited > 20_000) throw new Error(`PostgreSQL ${pid} does not let go of ${data}`);
    await delay(POLL_MS);
  }
}

function kill(pid: number, signal: NodeJS.Signals, log: Logger): void {
  log.warn({ pid, signal }, 'an earlier embedded PostgreSQL still runs and is ended');
  try {
    process.kill(pid, signal);
  } catch (error) {
    // It went by itself in the meantime.
    log.debug({ err: error, pid }, 'already gone');
  }
}

/** Fast shutdown (SIGINT), then immediate (SIGQUIT) after 10 s, then SIGKILL after 5 s more. */
export async function stopServer(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGINT');
  const immediate = setTimeout(() => child.kill('SIGQUIT'), 10_000);
  const forced = setTimeout(() => child.kill('SIGKILL'), 15_000);
  await gone;
  clearTimeout(immediate);
  clearTimeout(forced);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('No free port');
  return address.port;
}

/** Runs a program of the server's to its end as the server's user; throws with what it said when it fails. */
export async function runAs(user: ServerUser, command: readonly string[]): Promise<void> {
  const [program = '', ...rest] = underUs(user, command);
  const child = spawn(program, rest, { cwd: '/', env: CHILD_ENVIRONMENT, stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    said += chunk;
  });
  const [code, signal] = await once(child, 'close');
  if (code !== 0) throw new Error(`${command[0]} ended with ${code ?? signal}: ${said.trim()}`);
}
