import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { nodeFlags } from '../scripts/node-flags.mjs';
import type { GitHub } from './github.ts';

/** Mayfly itself, as `npm start` runs it: a process of its own, told by its environment alone. */
export interface Mayfly extends AsyncDisposable {
  readonly url: string;
  readonly apiToken: string;
  readonly gatePort: number;
  readonly dataDir: string;
  /** Why the sites run without a sandbox; undefined when they have one. */
  readonly unboxed: string | undefined;
  /** Resolves when `/readyz` answers 200. Throws when the process ends before. */
  ready(signal: AbortSignal): Promise<void>;
  logTail(lines: number): Promise<string>;
}

export type MayflyOptions = {
  readonly port: number;
  readonly gatePort: number;
  readonly folder: string;
  readonly github: GitHub;
  /** Above what the demo itself sets. */
  readonly settings?: Readonly<Record<string, string>>;
};

/** Settings of the person's own Mayfly have no place in the demo's. */
const SETTING =
  /^(MAYFLY_|GITHUB_|GITLAB_|PULUMI_)|^(PORT|DATABASE_URL|REDIS_URL|APP_ID|PRIVATE_KEY|PRIVATE_KEY_PATH|WEBHOOK_SECRET|GOOGLE_CLOUD_PROJECT|NODE_OPTIONS)$/;
const STOP_MS = 30_000;

function whyUnboxed(): string | undefined {
  const tried = spawnSync('bwrap', ['--ro-bind', '/', '/', '--unshare-all', '--die-with-parent', 'true'], { encoding: 'utf8' });
  if (tried.status === 0) return undefined;
  return tried.error === undefined ? tried.stderr.trim() || `bwrap ended with ${tried.status}` : 'bubblewrap is not installed';
}

function environment(options: MayflyOptions, own: { readonly apiToken: string; readonly dataDir: string; readonly unboxed: boolean }) {
  const { github } = options;
  const inherited = Object.entries(process.env).filter(([name]) => !SETTING.test(name));
  return {
    ...Object.fromEntries(inherited),
    PORT: String(options.port),
    MAYFLY_GATE_PORT: String(options.gatePort),
    MAYFLY_PUBLIC_URL: `http://localhost:${options.port}`,
    MAYFLY_PREVIEW_URL: `http://preview.localhost:${options.gatePort}`,
    MAYFLY_DATA_DIR: own.dataDir,
    MAYFLY_SANDBOX: own.unboxed ? 'none' : 'auto',
    MAYFLY_API_TOKEN: own.apiToken,
    APP_ID: String(github.app.id),
    PRIVATE_KEY: github.app.privateKey,
    WEBHOOK_SECRET: github.app.webhookSecret,
    GITHUB_API_URL: github.url,
    GITHUB_SERVER_URL: github.url,
    ...options.settings,
  };
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  const late = new AbortController();
  const killer = sleep(STOP_MS, undefined, { signal: late.signal }).then(
    () => child.kill('SIGKILL'),
    () => {}, // it went by itself
  );
  await exited;
  late.abort();
  await killer;
}

export async function startMayfly(options: MayflyOptions): Promise<Mayfly> {
  const dataDir = join(options.folder, 'mayfly');
  const logFile = join(options.folder, 'mayfly.log');
  await mkdir(dataDir, { recursive: true });
  const apiToken = randomBytes(24).toString('hex');
  const unboxed = whyUnboxed();
  const child = spawn(process.execPath, [...nodeFlags, 'src/main.ts'], {
    cwd: join(import.meta.dirname, '..'),
    env: environment(options, { apiToken, dataDir, unboxed: unboxed !== undefined }),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const log = createWriteStream(logFile);
  child.stdout.pipe(log, { end: false });
  child.stderr.pipe(log, { end: false });
  const url = `http://127.0.0.1:${options.port}`;
  const logTail = async (lines: number) => (await readFile(logFile, 'utf8')).trim().split('\n').slice(-lines).join('\n');
  return {
    ...{ url, apiToken, gatePort: options.gatePort, dataDir, unboxed, logTail },
    async ready(signal) {
      for (;;) {
        signal.throwIfAborted();
        if (child.exitCode !== null) throw new Error(`Mayfly ended with ${child.exitCode}`);
        const answered = await fetch(`${url}/readyz`).catch(() => undefined); // not listening yet
        if (answered?.ok) return;
        await sleep(100);
      }
    },
    async [Symbol.asyncDispose]() {
      await stop(child);
      log.end();
    },
  };
}
