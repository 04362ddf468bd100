import { spawn } from 'node:child_process';
import { Fault } from '../site/problem.ts';
import { saysDiskFull } from './storage/disk.ts';

export type GitResult = { readonly code: number; readonly out: Buffer; readonly said: string };
export type GitCall = {
  readonly folder: string;
  readonly args: readonly string[];
  readonly input?: Buffer;
  /** File descriptor of an open file that gets what it answers, in place of `out`. */
  readonly output?: number;
  readonly index?: string;
  readonly workTree?: string;
  /** Sent with requests to this server alone. */
  readonly authorization?: { readonly origin: string; readonly value: string } | null;
  readonly signal?: AbortSignal;
  /** `setpriv` unless given. */
  readonly leash?: Leash;
};
/**
 * How git is kept from outliving us when we are killed. What talks to a server does so through helpers, which know nothing of their
 * parent's death and wait for the server by themselves: a process namespace ends with all that is in it. Without bubblewrap only git
 * itself ends with us, and its helpers when the server has been silent for half a minute.
 */
export type Leash = 'bubblewrap' | 'setpriv';

/** Most that is kept of what git answers; a listing of 100,000 files is about 10 MiB. */
const MAX_OUT = 64 * 1024 * 1024;
const MAX_SAID = 64 * 1024;

/**
 * What git must not do on behalf of a repository that anybody may have written. Filters, diff drivers and hooks have to be configured
 * to run, and no configuration but this is read.
 */
const SETTINGS: Readonly<Record<string, string>> = {
  'core.hooksPath': '/dev/null',
  'core.attributesFile': '/dev/null',
  'core.fsmonitor': 'false',
  'core.autocrlf': 'false',
  'core.symlinks': 'true',
  'credential.helper': '',
  'fetch.recurseSubmodules': 'false',
  'submodule.recurse': 'false',
  'gc.auto': '0',
  'maintenance.auto': 'false',
  'http.followRedirects': 'false',
  'http.lowSpeedLimit': '500',
  'http.lowSpeedTime': '30',
  'uploadpack.packObjectsHook': '',
};

const LEASHES = {
  bubblewrap: ['bwrap', '--unshare-pid', '--die-with-parent', '--dev-bind', '/', '/', '--proc', '/proc', '--'],
  setpriv: ['setpriv', '--pdeathsig', 'KILL', '--'],
} as const satisfies Record<Leash, readonly [string, ...string[]]>;

/** Runs git in a bare repository with an environment of its own. Resolves with its exit code; rejects when it can't run or is aborted. */
export function git(call: GitCall): Promise<GitResult> {
  call.signal?.throwIfAborted();
  const [program, ...args] = LEASHES[call.leash ?? 'setpriv'];
  const child = spawn(program, [...args, 'git', '--git-dir', call.folder, ...call.args], {
    cwd: call.workTree ?? call.folder,
    env: environment(call),
    detached: true,
    stdio: [call.input ? 'pipe' : 'ignore', call.output ?? 'pipe', 'pipe'],
  });
  // Fetching runs several processes: all of them go.
  const abort = (): void => {
    if (child.pid !== undefined) killGroup(child.pid);
  };
  call.signal?.addEventListener('abort', abort, { once: true });
  const out: Buffer[] = [];
  let size = 0;
  let said = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size <= MAX_OUT) out.push(chunk);
    else abort();
  });
  child.stderr?.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString('utf8')).slice(-MAX_SAID);
  });
  // A git that ended before it read everything says why by its exit code.
  child.stdin?.on('error', () => {});
  child.stdin?.end(call.input);
  return new Promise<GitResult>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      if (call.signal?.aborted) reject(call.signal.reason);
      else resolve({ code: code ?? 128, out: Buffer.concat(out), said: said.trim() });
    });
  }).finally(() => call.signal?.removeEventListener('abort', abort));
}

/** Throws Fault `disk-full` when that is what git says. */
export function refuseFullDisk(result: GitResult): void {
  if (saysDiskFull(result.said)) throw new Fault('disk-full', { cause: new Error(lastWords(result)) });
}

/** The last line of what git said, for people. */
export const lastWords = (result: GitResult): string =>
  (result.said.split('\n').findLast((line) => line !== '') ?? `exit ${result.code}`).replace(/^fatal: /, '');

/** Runs git to what it answers; throws Fault `disk-full`, or an error with its last words. */
export async function must(call: GitCall): Promise<Buffer> {
  const result = await git(call);
  if (result.code === 0) return result.out;
  refuseFullDisk(result);
  throw new Error(`git ${call.args[0]}: ${lastWords(result)}`);
}

function environment(call: GitCall): Record<string, string> {
  const settings = Object.entries(SETTINGS);
  if (call.authorization) settings.push([`http.${call.authorization.origin}/.extraHeader`, `Authorization: ${call.authorization.value}`]);
  return {
    PATH: '/usr/local/bin:/usr/bin:/bin',
    HOME: '/nonexistent',
    LC_ALL: 'C',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_ATTR_NOSYSTEM: '1',
    GIT_NO_REPLACE_OBJECTS: '1',
    GIT_LITERAL_PATHSPECS: '1',
    GIT_TERMINAL_PROMPT: '0',
    GIT_ALLOW_PROTOCOL: call.authorization?.origin.startsWith('https:') ? 'https' : 'http:https',
    GIT_LFS_SKIP_SMUDGE: '1',
    GIT_OPTIONAL_LOCKS: '0',
    ...(call.index === undefined ? {} : { GIT_INDEX_FILE: call.index }),
    ...(call.workTree === undefined ? {} : { GIT_WORK_TREE: call.workTree }),
    // In the environment: the arguments of a process are everybody's to read.
    GIT_CONFIG_COUNT: String(settings.length),
    ...Object.fromEntries(
      settings.flatMap(([key, value], index) => [
        [`GIT_CONFIG_KEY_${index}`, key],
        [`GIT_CONFIG_VALUE_${index}`, value],
      ]),
    ),
  };
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It ended by itself in the meantime.
  }
}
