import { createHash, randomBytes } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { pino } from 'pino';
import { ulid } from 'ulid';
import { inject } from 'vitest';
import { openSandbox } from '../../src/provision/sandbox.ts';
import { openStacks, type Stacks } from '../../src/provision/stack.ts';
import type { Kept } from '../../src/provision/targets/database-templates.ts';
import { openSiteDatabases, type SiteDatabases } from '../../src/provision/targets/databases.ts';
import { type LocalSupervisor, openSupervisor, type SupervisorOptions } from '../../src/provision/targets/local/supervisor.ts';
import { openLocalTarget } from '../../src/provision/targets/local/target.ts';
import { parseRepositoryId, toForgeId, toLaunchId, toSiteId } from '../../src/site/identity.ts';
import type { DatabaseWish, DeployOrder, FolderArtefact, Held, Target } from '../../src/site/ports.ts';
import type { Served } from '../../src/site/site.ts';
import { builtAlready, type OrderPart } from '../contract/target.ts';
import { createDatabase, onDatabase } from '../postgres.ts';

export const log = pino({ level: 'silent' });
export const CLI_ROOT = join(homedir(), '.pulumi/versions/3.259.0');

/** A lease that is ours until the test says otherwise. */
export function hold(epoch = 1): Held & { readonly lose: (reason: unknown) => void } {
  const lost = new AbortController();
  return { name: 'site:test', holder: 'test', epoch, signal: lost.signal, lose: (reason) => lost.abort(reason) };
}

export type LocalWorld = AsyncDisposable & {
  readonly target: Target;
  /** The same sites as another host sees them: its engine shares the state and nothing else. */
  readonly elsewhere: Target;
  readonly stacks: Stacks;
  readonly supervisor: LocalSupervisor;
  readonly databases: SiteDatabases;
  readonly folder: string;
  readonly backendUrl: string;
  readonly instance: string;
  readonly logLines: Record<string, unknown>[];
  /** A supervisor like Mayfly's after a restart, over what this one declared. */
  reopenSupervisor(): Promise<LocalSupervisor>;
  sql(database: string, text: string): Promise<Record<string, unknown>[]>;
  artefact(files: Readonly<Record<string, string>>, runtime?: FolderArtefact['runtime']): Promise<FolderArtefact>;
  seed(sql: string): Promise<DatabaseWish>;
};

/** The local target with all that is below it: the real engine, PostgreSQL, sandbox. */
export async function openLocalWorld(
  settings: { readonly check?: (held: Held) => Promise<void>; readonly healthMs?: number; readonly folder?: string } = {},
): Promise<LocalWorld> {
  await using opening = new AsyncDisposableStack();
  const folder =
    settings.folder ?? opening.adopt(await mkdtemp(join(tmpdir(), 'mayfly-target-')), (path) => rm(path, { recursive: true, force: true }));
  await chmod(folder, 0o711);
  const server = inject('postgresUrl');
  const { url: backendUrl } = opening.use(await createDatabase(server, 'empty'));
  const instance = `test-${randomBytes(6).toString('hex')}`;
  const passphraseFile = join(folder, 'passphrase');
  await writeFile(passphraseFile, randomBytes(16).toString('hex'), { mode: 0o600 });
  const logLines: Record<string, unknown>[] = [];
  const recording = pino({ level: 'info' }, { write: (line) => void logLines.push(JSON.parse(line)) });
  const databases = opening.use(await openSiteDatabases({ adminUrl: server, instance, passwordKey: randomBytes(32), log }));
  opening.defer(() => dropEverything(server, instance));
  const postgres = await socketOf(server);
  const sandbox = await openSandbox({ mode: 'auto', dataDir: folder, log: () => undefined });
  const supervising = { sandbox, folder, sockets: join(folder, 'run'), logs: join(folder, 'logs'), postgres: () => postgres, log };
  const openAnother = (): Promise<LocalSupervisor> => openSupervisor({ ...supervising, healthMs: settings.healthMs ?? 20_000 });
  const supervisor = opening.use(await openAnother());
  const engine = { backendUrl, passphraseFile, cliRoot: CLI_ROOT, wrap: 'bubblewrap', log: recording } as const;
  const stacks = opening.use(await openStacks({ ...engine, folder: join(folder, 'pulumi') }));
  const others = opening.use(await openStacks({ ...engine, folder: join(folder, 'pulumi-elsewhere') }));
  const means = { instance, supervisor, databases, check: settings.check ?? (async () => undefined), log: recording };
  const opened = opening.move();
  return {
    target: openLocalTarget({ ...means, stacks }),
    elsewhere: openLocalTarget({ ...means, stacks: others }),
    stacks,
    supervisor,
    databases,
    folder,
    backendUrl,
    instance,
    logLines,
    reopenSupervisor: openAnother,
    async sql(database, text) {
      const client = new pg.Client(onDatabase(server, database));
      await client.connect();
      try {
        return (await client.query(text)).rows;
      } finally {
        await client.end();
      }
    },
    artefact: (files, runtime) => writeArtefact(folder, files, runtime),
    seed: (sql) => writeSeed(folder, sql),
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

export type DatabaseWorld = AsyncDisposable & {
  readonly databases: SiteDatabases;
  seed(sql: string | Buffer): Promise<NonNullable<DatabaseWish['seed']>>;
  templates(): Promise<readonly string[]>;
};

/** The sites' databases alone. */
export async function openDatabaseWorld({ kept, as }: { readonly kept?: Kept; readonly as?: string } = {}): Promise<DatabaseWorld> {
  await using opening = new AsyncDisposableStack();
  const folder = opening.adopt(await mkdtemp(join(tmpdir(), 'mayfly-seeds-')), (path) => rm(path, { recursive: true, force: true }));
  const server = inject('postgresUrl');
  const instance = `test-${randomBytes(6).toString('hex')}`;
  opening.defer(() => dropEverything(server, instance));
  const options = { adminUrl: as ?? server, instance, passwordKey: randomBytes(32), log, ...(kept && { kept }) };
  const databases = opening.use(await openSiteDatabases(options));
  const opened = opening.move();
  return {
    databases,
    async seed(sql) {
      const { seed } = await writeSeed(folder, sql);
      if (!seed) throw new Error('no seed');
      return seed;
    },
    templates: () => templatesOf(server, instance),
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

async function templatesOf(server: string, instance: string): Promise<readonly string[]> {
  const tag = createHash('sha256').update(instance).digest('hex').slice(0, 8);
  const client = new pg.Client(server);
  await client.connect();
  const { rows } = await client.query<{ name: string }>('select datname as name from pg_database where starts_with(datname, $1)', [
    `mft_${tag}_`,
  ]);
  await client.end();
  return rows.map(({ name }) => name);
}

export type SupervisorWorld = AsyncDisposable & {
  readonly supervisor: LocalSupervisor;
  readonly folder: string;
  /** A supervisor like Mayfly's after a restart, over what the first one declared. */
  reopen(part?: Partial<Pick<SupervisorOptions, 'healthMs' | 'limits'>>): Promise<LocalSupervisor>;
  artefact(files: Readonly<Record<string, string>>): Promise<FolderArtefact>;
};

/** The supervisor alone, with the real sandbox. */
export async function openSupervisorWorld(): Promise<SupervisorWorld> {
  await using opening = new AsyncDisposableStack();
  const folder = opening.adopt(await mkdtemp(join(tmpdir(), 'mayfly-apps-')), (path) => rm(path, { recursive: true, force: true }));
  await chmod(folder, 0o711);
  const sandbox = await openSandbox({ mode: 'auto', dataDir: folder, log: () => undefined });
  const settings = {
    sandbox,
    folder,
    sockets: join(folder, 'run'),
    logs: join(folder, 'logs'),
    postgres: () => null,
    log,
    healthMs: 20_000,
  };
  const supervisor = opening.use(await openSupervisor(settings));
  const opened = opening.move();
  return {
    supervisor,
    folder,
    reopen: (part = {}) => openSupervisor({ ...settings, ...part }),
    artefact: (files) => writeArtefact(folder, files),
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

async function writeArtefact(
  folder: string,
  files: Readonly<Record<string, string>>,
  runtime?: FolderArtefact['runtime'],
): Promise<FolderArtefact> {
  const key = randomBytes(8).toString('hex');
  const place = join(folder, 'artefacts', key);
  await mkdir(place, { recursive: true });
  for (const [name, text] of Object.entries(files)) await writeFile(join(place, name), text);
  return { key, folder: place, runtime: runtime ?? { kind: 'process', command: 'node server.js', cwd: '.' }, detected: 'a test' };
}

export async function writeSeed(folder: string, sql: string | Buffer): Promise<DatabaseWish> {
  const sha256 = createHash('sha256').update(sql).digest('hex');
  const file = join(folder, `${sha256}.sql`);
  await writeFile(file, sql);
  return { engine: 'postgres', seed: { name: 'db/seed.sql', file, sha256 } };
}

async function socketOf(server: string): Promise<string> {
  const client = new pg.Client(server);
  await client.connect();
  const { rows } = await client.query<{ folder: string; port: string }>(
    `select current_setting('unix_socket_directories') as folder, current_setting('port') as port`,
  );
  await client.end();
  return join(rows[0]?.folder ?? '', `.s.PGSQL.${rows[0]?.port}`);
}

/** Templates outlive sites on purpose; here they go with the world. */
export async function dropEverything(server: string, instance: string): Promise<void> {
  const tag = createHash('sha256').update(instance).digest('hex').slice(0, 8);
  const client = new pg.Client(server);
  await client.connect();
  const { rows } = await client.query<{ name: string }>(`select datname as name from pg_database where datname like $1`, [
    `mf%\\_${tag}\\_%`,
  ]);
  for (const { name } of rows) await client.query(`drop database ${name} with (force)`);
  const roles = await client.query<{ name: string }>(`select rolname as name from pg_roles where rolname like $1`, [`mf%\\_${tag}\\_%`]);
  for (const { name } of roles.rows) await client.query(`drop role ${name}`);
  await client.end();
}

/** An order like a launch makes it; what a test is not about has a value already. */
export function orderOf(part: OrderPart): DeployOrder {
  const repository = parseRepositoryId(1);
  if (!repository) throw new Error('not a repository');
  return {
    site: toSiteId(ulid()),
    pull: { forge: toForgeId('github'), repository, number: 1 },
    revision: toLaunchId(ulid()),
    live: null,
    run: { env: {}, port: 3000, health: '/', idleMs: 600_000 },
    database: null,
    region: 'local',
    trust: 'trusted',
    ...builtAlready(part),
  };
}

/** What a visitor gets: through the unix socket, waking the app if it sleeps, or from the folder. */
export async function visit(w: LocalWorld, served: Served, path = '/'): Promise<string> {
  if (served.kind === 'static') return readFile(join(served.folder, path), 'utf8');
  if (served.kind === 'remote') throw new Error('the target local serves nothing from elsewhere');
  return visitService(w, served.service, path);
}

export async function visitService({ supervisor }: Pick<LocalWorld, 'supervisor'>, service: string, path = '/'): Promise<string> {
  const { socket } = await supervisor.reach(service);
  return new Promise((resolve, reject) => {
    request({ socketPath: socket, path, agent: false }, (answer) => text(answer).then(resolve, reject))
      .on('error', reject)
      .end();
  });
}

/** Waits until `look` finds what is wanted. */
export async function until<Seen>(what: string, look: () => Promise<Seen | undefined | false> | Seen | undefined | false): Promise<Seen> {
  for (const end = Date.now() + 20_000; Date.now() < end; await delay(20)) {
    const seen = await look();
    if (seen !== undefined && seen !== false) return seen;
  }
  throw new Error(`waited 20 s for ${what}`);
}
