import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import type { Registry } from '../../../src/provision/registry.ts';
import type { Exit, Folder, Sandbox } from '../../../src/provision/sandbox.ts';
import type { GoogleCloud } from './cloud.ts';

const exec = promisify(execFile);
export const TOOLS = {
  env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' },
  maxBuffer: 64 * 1024 * 1024,
};
/** Runs a program of this machine, with arguments that nobody else has a say in. */
export const tool = async (program: string, args: readonly string[]): Promise<string> => (await exec(program, [...args], TOOLS)).stdout;

/** What all builds share: the sandbox, the way to the registries, and a folder. */
export type Workshop = {
  readonly cloud: GoogleCloud;
  readonly sandbox: Sandbox;
  readonly folder: string;
  /** Unix socket of the proxy that is builds' only network. */
  readonly egress: () => Promise<string>;
  readonly registry: () => Promise<Registry>;
};

/** Users that build, apart from those that Mayfly itself gives out. */
export const BUILD_UID = 345_000;
const PROXY_PORT = 3128;
const PROXY = `http://127.0.0.1:${PROXY_PORT}`;
const LIMITS = { memoryMb: 3_072, processes: 1_024, cpus: 2, diskMb: 1_024 };

export type Run = {
  readonly command: string;
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  readonly folders: readonly Folder[];
  readonly signal: AbortSignal;
  readonly log: (chunk: string) => void;
};

/** Runs a command of a build in Mayfly's sandbox; on Cloud Build it would have the whole network. */
export async function runBoxed(workshop: Workshop, run: Run): Promise<Exit> {
  run.signal.throwIfAborted();
  const { address } = await workshop.registry();
  const registry: Record<string, string> =
    address === null ? {} : { npm_config_registry: address, YARN_REGISTRY: address, YARN_NPM_REGISTRY_SERVER: address };
  const proxies = Object.fromEntries(
    ['HTTP_PROXY', 'HTTPS_PROXY', 'http_proxy', 'https_proxy', 'npm_config_proxy', 'npm_config_https_proxy'].map((name) => [name, PROXY]),
  );
  const boxed = await workshop.sandbox.open(
    {
      name: `step-${randomBytes(6).toString('hex')}`,
      command: run.command,
      cwd: run.cwd,
      env: { ...proxies, ...registry, NO_PROXY: 'localhost,127.0.0.1', npm_config_cache: '/tmp/npm', ...run.env },
      uid: BUILD_UID,
      folders: run.folders,
      doors: [{ direction: 'outward', port: PROXY_PORT, socket: await workshop.egress() }],
      limits: LIMITS,
    },
    (chunk) => run.log(chunk.toString('utf8')),
  );
  const kill = (): void => void boxed.stop(0);
  run.signal.addEventListener('abort', kill, { once: true });
  if (run.signal.aborted) kill();
  const exit = await boxed.exited.finally(() => run.signal.removeEventListener('abort', kill));
  run.signal.throwIfAborted();
  return exit;
}

export const shellQuoted = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`;

/** Everything below belongs to the user that builds. */
export const ownByBuilder = async (folder: string): Promise<void> => {
  if (process.getuid?.() === 0) await tool('chown', ['-R', '-h', `${BUILD_UID}:${BUILD_UID}`, '--', folder]);
};
