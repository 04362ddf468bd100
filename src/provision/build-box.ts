import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { StringDecoder } from 'node:string_decoder';
import { promisify } from 'node:util';
import type { LaunchId } from '../site/identity.ts';
import { Fault } from '../site/problem.ts';
import type { Registry } from './registry.ts';
import type { Exit, Folder, Limits, Sandbox } from './sandbox.ts';
import { freeMb, KEEP_FREE_MB, refuseIfFull } from './storage/disk.ts';

const exec = promisify(execFile);
/** The environment of the few programs that builds need outside their box. */
export const EXPORTED = { PATH: '/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C' };

const LIMITS: Limits = { memoryMb: 3_072, processes: 1_024, cpus: 2, diskMb: 1_024 };
/** Builds have user ids of their own, apart from those of sites. */
const UIDS = { first: 300_000, count: 10_000 };
const PROXY_PORT = 3128;
const PROXY = `http://127.0.0.1:${PROXY_PORT}`;
/** What one build may write, MiB; looked at every so often, since asking a file system costs. */
const MAX_WORK_MB = 6_144;
const LOOK_EVERY_MS = 1_000;
const MEASURE_EVERY = 10;

/** Certificates that this machine trusts, a company's own among them; Node reads no system store by itself. */
const BUNDLES = ['/etc/ssl/certs/ca-certificates.crt', '/etc/pki/tls/certs/ca-bundle.crt', '/etc/ssl/cert.pem'];

export interface BuildBox extends AsyncDisposable {
  /** Runs a command in the sandbox; throws Fault `failure`, `build-limit` or `disk-full`. */
  run(command: string, how: { readonly cwd: string; readonly failure: 'install-failed' | 'build-failed' }): Promise<void>;
  /** Gives files that we put there to the build's user. */
  own(path: string): Promise<void>;
}

export type BuildBoxOptions = {
  readonly sandbox: Sandbox;
  readonly egress: { readonly socket: string };
  readonly registry: Registry;
  readonly diskMb?: number;
  readonly launch: LaunchId;
  readonly work: string;
  readonly checkout: string;
  readonly env: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  readonly log: (chunk: string) => void;
};

let lastUid = 0;

/** The checkout as `/work` in a box of its own, with the package registries and nothing else to reach. */
export async function createBuildBox(options: BuildBoxOptions): Promise<BuildBox> {
  const uid = UIDS.first + (lastUid++ % UIDS.count);
  const cache = join(options.work, 'cache');
  await mkdir(cache, { recursive: true });
  const own = async (path: string): Promise<void> => {
    if (process.getuid?.() === 0) await exec('chown', ['-R', '-h', `${uid}:${uid}`, '--', path], { env: EXPORTED });
  };
  await Promise.all([own(options.checkout), own(cache)]);
  let runs = 0;
  return {
    own,
    async run(command, how) {
      options.signal.throwIfAborted();
      options.log(`$ ${command}\n`);
      runs += 1;
      const decoder = new StringDecoder('utf8');
      const boxed = await options.sandbox.open(
        {
          name: `build-${options.launch}-${runs}`,
          command,
          cwd: join('/work', how.cwd),
          env: environment(options, command, how.failure),
          uid,
          folders: foldersOf(options, cache),
          doors: [{ direction: 'outward', port: PROXY_PORT, socket: options.egress.socket }],
          limits: LIMITS,
        },
        (chunk) => options.log(decoder.write(chunk)),
      );
      const kill = (): void => void boxed.stop(0);
      options.signal.addEventListener('abort', kill, { once: true });
      if (options.signal.aborted) kill();
      const disk = watchDisk(options.work, options.diskMb ?? MAX_WORK_MB, kill);
      const exit = await boxed.exited.finally(() => {
        options.signal.removeEventListener('abort', kill);
        disk[Symbol.dispose]();
      });
      options.signal.throwIfAborted();
      if (disk.fault) throw disk.fault;
      // It may have met the end of the disk, and failed for it, between two looks.
      if (exit.code !== 0) await refuseIfFull(options.work);
      refuse(exit, command, how.failure);
    },
    async [Symbol.asyncDispose]() {},
  };
}

/** Where a build sees the certificates that npm is configured with. */
const CERTIFICATES = '/mayfly/certificates.pem';

function foldersOf({ checkout, registry }: BuildBoxOptions, cache: string): readonly Folder[] {
  const { certificates } = registry;
  return [
    { from: checkout, to: '/work', access: 'write' },
    { from: cache, to: '/cache', access: 'write' },
    ...(certificates ? [{ from: certificates, to: CERTIFICATES, access: 'read' } as const] : []),
  ];
}

function refuse(exit: Exit, command: string, failure: 'install-failed' | 'build-failed'): void {
  if (exit.limit === 'memory') throw new Fault('build-limit', { details: { resource: 'memory', limit: `${LIMITS.memoryMb} MiB` } });
  if (exit.code === 0) return;
  if (exit.limit === 'processes') throw new Fault('build-limit', { details: { resource: 'processes', limit: String(LIMITS.processes) } });
  throw new Fault(failure, { details: { command, exit: String(exit.code ?? exit.signal) } });
}

const PNPM = {
  npm_config_store_dir: '/cache/pnpm',
  npm_config_manage_package_manager_versions: 'false',
  npm_config_package_manager_strict: 'false',
};

function environment(options: BuildBoxOptions, command: string, failure: 'install-failed' | 'build-failed'): Record<string, string> {
  const bundle = BUNDLES.find((file) => existsSync(file));
  const { address, certificates } = options.registry;
  return {
    // The site's own variables are the build's, not the install's: NODE_ENV=production would leave out what the build needs.
    ...(failure === 'build-failed' ? options.env : {}),
    // npm warns of settings that only pnpm knows.
    ...(/\bpnpm\b/.test(command) ? PNPM : {}),
    CI: '1',
    LANG: 'C.UTF-8',
    HTTP_PROXY: PROXY,
    HTTPS_PROXY: PROXY,
    http_proxy: PROXY,
    https_proxy: PROXY,
    NO_PROXY: 'localhost,127.0.0.1',
    npm_config_proxy: PROXY,
    npm_config_https_proxy: PROXY,
    npm_config_cache: '/cache/npm',
    npm_config_audit: 'false',
    npm_config_fund: 'false',
    npm_config_update_notifier: 'false',
    YARN_CACHE_FOLDER: '/cache/yarn',
    YARN_ENABLE_TELEMETRY: '0',
    YARN_GLOBAL_FOLDER: '/cache/berry',
    YARN_HTTP_PROXY: PROXY,
    YARN_HTTPS_PROXY: PROXY,
    ...(address ? { npm_config_registry: address, YARN_REGISTRY: address, YARN_NPM_REGISTRY_SERVER: address } : {}),
    ...(bundle === undefined ? {} : { NODE_EXTRA_CA_CERTS: bundle, SSL_CERT_FILE: bundle, YARN_HTTPS_CA_FILE_PATH: bundle }),
    ...(certificates ? { npm_config_cafile: CERTIFICATES, NODE_EXTRA_CA_CERTS: CERTIFICATES, YARN_HTTPS_CA_FILE_PATH: CERTIFICATES } : {}),
  };
}

/** Looks at the disk while a build runs; calls `stop` once when too little of it is left, or the build took too much. */
function watchDisk(folder: string, maxMb: number, stop: () => void): Disposable & { readonly fault: Fault | null } {
  const state: { fault: Fault | null } = { fault: null };
  let sinceMeasured = 0;
  let freeThen: number | undefined;
  const end = (fault: Fault): void => {
    state.fault ??= fault;
    stop();
  };
  const look = async (): Promise<void> => {
    const free = await freeMb(folder);
    if (free < KEEP_FREE_MB)
      end(new Fault('disk-full', { cause: new Error(`a build left ${free} MiB free, less than ${KEEP_FREE_MB} MiB`) }));
    freeThen ??= free;
    sinceMeasured += 1;
    // Measuring walks over every file: rarely, or when somebody has written much.
    if (sinceMeasured < MEASURE_EVERY && freeThen - free < maxMb / 4) return;
    sinceMeasured = 0;
    freeThen = free;
    const { stdout } = await exec('du', ['-sxm', '--', folder], { env: EXPORTED });
    if (Number(stdout.split('\t')[0]) > maxMb)
      end(new Fault('build-limit', { details: { resource: 'disk space', limit: `${maxMb} MiB` } }));
  };
  // du complains about files that a build removes under it; the next look is as good.
  const timer = setInterval(() => void look().catch(() => {}), LOOK_EVERY_MS);
  return Object.assign(state, { [Symbol.dispose]: () => clearInterval(timer) });
}
