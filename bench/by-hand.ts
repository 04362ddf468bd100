import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, rm } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import pg from 'pg';
import { freePort } from '../demo/ports.ts';
import type { BenchApp } from './apps.ts';
import { get, until } from './mayfly.ts';

export type HandOptions = {
  /** Address that is cloned, the forge's as Mayfly has it, and the branch. */
  readonly git: string;
  readonly branch: string;
  /** Empty, or not there yet; removed in the end. */
  readonly folder: string;
  /** Path and text that the page has to show. */
  readonly path: string;
  readonly shows: string;
  /** npm's cache: what was downloaded once is there the next time. */
  readonly cache: string;
  /** Administrator's address of a PostgreSQL for an app that has a database. */
  readonly postgres: string;
};

const BIN = join(import.meta.dirname, '..', 'node_modules', '.bin');

/** What a person's own script would do, without a sandbox, a comment or an end: clone, install, build, start, wait for 200. In milliseconds. */
export async function launchByHand(app: BenchApp, options: HandOptions): Promise<number> {
  const { git, branch, folder, cache } = options;
  const port = await freePort(0);
  const { PATH = '', NODE_EXTRA_CA_CERTS } = process.env;
  const environment = {
    PATH: `${BIN}${delimiter}${PATH}`,
    HOME: folder,
    npm_config_cache: cache,
    PORT: String(port),
    // What this machine's registry is trusted by, as Mayfly's builds have it.
    ...(NODE_EXTRA_CA_CERTS === undefined ? {} : { NODE_EXTRA_CA_CERTS }),
  };
  const started = performance.now();
  await run('git', ['clone', '--quiet', '--branch', branch, '--single-branch', git, folder], environment, '/');
  const database = app.hasDatabase ? await seeded(options) : null;
  const env = { ...environment, ...(database === null ? {} : { DATABASE_URL: database }) };
  for (const command of app.byHand.slice(0, -1)) await run('sh', ['-c', command], env, folder);
  const server = spawn('sh', ['-c', `exec ${app.byHand.at(-1)}`], { env, cwd: folder, stdio: 'ignore', detached: true });
  try {
    const url = new URL(options.path, `http://127.0.0.1:${port}`);
    await until(`${app.name} to answer by hand`, async () => {
      const { status, body } = await get(url, url.host);
      return status === 200 && body.includes(options.shows);
    });
    return performance.now() - started;
  } finally {
    await end(server);
    if (database !== null) await drop(options.postgres, database);
    await rm(folder, { recursive: true, force: true });
  }
}

async function run(program: string, args: readonly string[], env: Readonly<Record<string, string>>, cwd: string): Promise<void> {
  const child = spawn(program, args, { env, cwd, stdio: ['ignore', 'ignore', 'pipe'] });
  const said: string[] = [];
  child.stderr.setEncoding('utf8').on('data', (text: string) => said.push(text));
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${code}: ${said.join('').slice(-1_000)}`);
}

/** The whole group: what npm started is not npm. */
async function end(server: ChildProcess): Promise<void> {
  const ended = once(server, 'exit');
  process.kill(-(server.pid ?? 0), 'SIGKILL');
  await ended;
}

async function seeded({ postgres, folder }: HandOptions): Promise<string> {
  const name = `hand_${Date.now()}`;
  await query(postgres, `create database ${name}`);
  const url = new URL(postgres);
  url.pathname = `/${name}`;
  await query(url.href, await readFile(join(folder, 'seed.sql'), 'utf8'));
  return url.href;
}

const drop = (postgres: string, url: string): Promise<void> =>
  query(postgres, `drop database ${new URL(url).pathname.slice(1)} with (force)`);

async function query(url: string, sql: string): Promise<void> {
  const client = new pg.Client(url);
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}
