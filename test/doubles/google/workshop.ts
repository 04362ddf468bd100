import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
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

const CERTIFICATES = '/mayfly/certificates.pem';
const BUNDLE = '/etc/ssl/certs/ca-certificates.crt';
const VIA_PROXY = ['HTTP_PROXY', 'HTTPS_PROXY', 'http_proxy', 'https_proxy', 'npm_config_proxy', 'npm_config_https_proxy'];
const TRUSTING = ['NODE_EXTRA_CA_CERTS', 'SSL_CERT_FILE', 'YARN_HTTPS_CA_FILE_PATH', 'npm_config_cafile'];

/** The way to packages that Mayfly's own builds have: on Cloud Build there is nothing in between. */
function environment({ address, certificates }: Registry): Record<string, string> {
  const each = (names: readonly string[], value: string) => Object.fromEntries(names.map((name) => [name, value]));
  const addresses = address === null ? {} : each(['npm_config_registry', 'YARN_REGISTRY', 'YARN_NPM_REGISTRY_SERVER'], address);
  const trusted = certificates === null ? (existsSync(BUNDLE) ? BUNDLE : null) : CERTIFICATES;
  const trusting = trusted === null ? {} : each(TRUSTING, trusted);
  return { ...each(VIA_PROXY, PROXY), ...addresses, ...trusting, NO_PROXY: 'localhost,127.0.0.1', npm_config_cache: '/tmp/npm' };
}

/** Runs a command of a build in Mayfly's sandbox; on Cloud Build it would have the whole network. */
export async function runBoxed(workshop: Workshop, run: Run): Promise<Exit> {
  run.signal.throwIfAborted();
  const registry = await workshop.registry();
  const certificates = registry.certificates === null ? [] : [{ from: registry.certificates, to: CERTIFICATES, access: 'read' as const }];
  const boxed = await workshop.sandbox.open(
    {
      name: `step-${randomBytes(6).toString('hex')}`,
      command: run.command,
      cwd: run.cwd,
      env: { ...environment(registry), ...run.env },
      uid: BUILD_UID,
      folders: [...run.folders, ...certificates],
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
