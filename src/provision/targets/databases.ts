import { createHmac } from 'node:crypto';
import pg from 'pg';
import type { Logger } from 'pino';
import { instanceTag } from '../../../infra/labels.ts';
import type { SiteId } from '../../site/identity.ts';
import { openPool } from '../../store/pool.ts';
import { databaseName, databasePrefix, listDatabases, type SiteDatabase } from './database-names.ts';
import { ensureTemplate, type Kept } from './database-templates.ts';
import { alone, CONNECT_MS } from './database-turns.ts';
import type { Seed } from './seeding.ts';

export type DatabaseOptions = {
  /** A superuser's address, or of a role that may create databases and roles; never of Mayfly's own server. */
  readonly adminUrl: string;
  readonly instance: string;
  /** Passwords are derived from it, so that a database that is found again has the password that its app already has. */
  readonly passwordKey: Buffer;
  /** `host:port` at which an app finds it; `127.0.0.1:5432` unless given, which is where it is inside a sandbox. */
  readonly seenAt?: string;
  /** Templates kept; less in tests. */
  readonly kept?: Kept;
  readonly log: Logger;
};

/** The sites' own databases: one by site and content of the seed, each with a role of its own. */
export interface SiteDatabases extends AsyncDisposable {
  /**
   * Makes the database, or finds it. The address is as the app sees it.
   * Throws Fault `seed-failed` or `disk-full`.
   */
  ensure(site: SiteId, seed: Seed | null, signal: AbortSignal): Promise<{ readonly name: string; readonly url: string }>;
  exists(name: string): Promise<boolean>;
  /** Drops the database and its role, whoever is connected. Idempotent. */
  drop(name: string): Promise<void>;
  list(): Promise<readonly SiteDatabase[]>;
}

/** The port at which an app finds its database inside its sandbox. */
export const DATABASE_PORT = 5432;
/** What a site's role may take. `temp_file_limit` is in kB. */
const ROLE_LIMITS = { connections: 20, statementMs: 60_000, idleMs: 300_000, tempKb: 1_048_576 };

export async function openSiteDatabases(options: DatabaseOptions): Promise<SiteDatabases> {
  const { adminUrl, instance, passwordKey, seenAt = `127.0.0.1:${DATABASE_PORT}`, log } = options;
  const limits = { max: 4, idleTimeoutMillis: 10_000, connectionTimeoutMillis: CONNECT_MS };
  const pool = openPool({ connectionString: adminUrl, application_name: 'mayfly-sites', ...limits }, (error) =>
    log.warn({ error: error.message }, 'a connection to the sites’ PostgreSQL was lost'),
  );
  const rights = await readRights(pool).catch(async (error: unknown) => {
    await pool.end();
    throw error;
  });
  if (!rights.limitsFiles)
    log.warn('temp_file_limit cannot be set by the role in MAYFLY_PREVIEW_DATABASE_URL: sites’ temporary files have no limit');
  const password = (name: string): string => createHmac('sha256', passwordKey).update(name).digest('base64url');
  const admin: Admin = { db: pool, adminUrl, tag: instanceTag(instance), rights, password };
  await closeToPublic(admin, log);
  const dropping = new Map<string, Promise<void>>();
  return {
    async ensure(site, seed, signal) {
      const name = databaseName(instance, site, seed?.sha256 ?? null);
      await alone(admin, { name, others: 'ended' }, async (turn) => {
        signal.throwIfAborted();
        if (await isComplete(turn.db, name)) return setPassword(turn, name);
        const template = seed ? await ensureTemplate(admin, seed, { signal, ...(options.kept && { kept: options.kept }) }) : null;
        signal.throwIfAborted();
        await dropDatabase(turn.db, name);
        await createFrom(turn, name, template);
      });
      return { name, url: `postgres://${name}:${admin.password(name)}@${seenAt}/${name}` };
    },
    exists: (name) => isComplete(pool, name),
    drop: (name) => {
      if (!name.startsWith(databasePrefix(instance))) throw new Error(`Not a database of ours: ${JSON.stringify(name)}`);
      // Regions that share a server drop what is on it at the same time, under the one lease.
      const dropped =
        dropping.get(name) ??
        alone(admin, { name, others: 'ended' }, (turn) => dropDatabase(turn.db, name)).finally(() => dropping.delete(name));
      dropping.set(name, dropped);
      return dropped;
    },
    list: () => listDatabases(pool, instance),
    [Symbol.asyncDispose]: () => pool.end(),
  };
}

/** A connection, or a pool of them. */
type Queries = Pick<pg.ClientBase, 'query'>;

export type Admin = {
  readonly db: Queries;
  readonly adminUrl: string;
  /** Eight hex digits that stand for this Mayfly in names. */
  readonly tag: string;
  readonly rights: Rights;
  readonly password: (name: string) => string;
};

type Rights = {
  readonly isSuperuser: boolean;
  /** May set `temp_file_limit`, which is a superuser's unless granted. */
  readonly limitsFiles: boolean;
};

/** Throws what tells the operator what to do when the role can make no databases or roles. */
async function readRights(db: Queries): Promise<Rights> {
  const { rows } = await db.query<Rights & { makes: boolean }>(
    `select rolsuper as "isSuperuser", rolsuper or has_parameter_privilege('temp_file_limit', 'SET') as "limitsFiles",
       rolsuper or (rolcreatedb and rolcreaterole) as makes from pg_roles where rolname = current_user`,
  );
  const [own] = rows;
  if (own?.makes) return own;
  throw new Error(
    'The role in MAYFLY_PREVIEW_DATABASE_URL may not make the sites’ databases and roles: grant it both with ALTER ROLE … CREATEDB CREATEROLE, ' +
      'or leave the setting out for an embedded server',
  );
}

export const quoted = (name: string): string => pg.escapeIdentifier(name);

/** The same server, another database or role. */
export function addressOf(
  adminUrl: string,
  part: { readonly database: string; readonly user?: string; readonly password?: string },
): string {
  const url = new URL(adminUrl);
  url.pathname = `/${part.database}`;
  if (part.user !== undefined) url.username = part.user;
  if (part.password !== undefined) url.password = part.password;
  return url.href;
}

/** Only what was marked at its very end is whole. */
export async function isComplete(db: Queries, name: string): Promise<boolean> {
  const { rows } = await db.query(
    `select from pg_database where datname = $1 and shobj_description(oid, 'pg_database') like 'mayfly complete%'`,
    [name],
  );
  return rows.length > 0;
}

export const markComplete = async (db: Queries, name: string, note = ''): Promise<void> =>
  void (await db.query(`comment on database ${quoted(name)} is ${pg.escapeLiteral(`mayfly complete ${note}`)}`));

/** A role that can do nothing on the server but sign in. */
export async function createRole({ db, password, rights }: Admin, name: string, connections: number): Promise<void> {
  await db.query(
    `create role ${quoted(name)} login nosuperuser nocreatedb nocreaterole noreplication nobypassrls
     connection limit ${connections} password ${pg.escapeLiteral(password(name))}`,
  );
  // To make databases on its behalf, and to end its sessions: who made a role is not yet a member of it.
  if (!rights.isSuperuser) await db.query(`grant ${quoted(name)} to current_user`);
}

const setPassword = async ({ db, password }: Admin, name: string): Promise<void> =>
  void (await db.query(`alter role ${quoted(name)} password ${pg.escapeLiteral(password(name))}`));

export async function dropDatabase(db: Queries, name: string): Promise<void> {
  await db.query(`drop database if exists ${quoted(name)} with (force)`);
  await db.query(`drop role if exists ${quoted(name)}`);
}

async function createFrom(admin: Admin, name: string, template: string | null): Promise<void> {
  const { db } = admin;
  await createRole(admin, name, ROLE_LIMITS.connections);
  await db.query(`alter role ${quoted(name)} set statement_timeout = ${ROLE_LIMITS.statementMs}`);
  await db.query(`alter role ${quoted(name)} set idle_in_transaction_session_timeout = ${ROLE_LIMITS.idleMs}`);
  if (admin.rights.limitsFiles) await db.query(`alter role ${quoted(name)} set temp_file_limit = ${ROLE_LIMITS.tempKb}`);
  await db.query(`create database ${quoted(name)} owner ${quoted(name)} template ${template ? quoted(template) : 'template0'}`);
  await db.query(`revoke all on database ${quoted(name)} from public`);
  if (template) await handOver(admin, { name, from: template });
  await markComplete(db, name);
}

/** What the seed made belongs to the template's role, and must be the site's. */
async function handOver({ adminUrl }: Admin, { name, from }: { readonly name: string; readonly from: string }): Promise<void> {
  const client = new pg.Client(addressOf(adminUrl, { database: name }));
  await client.connect();
  try {
    await client.query(`reassign owned by ${quoted(from)} to ${quoted(name)}`);
    await client.query(`drop owned by ${quoted(from)}`);
  } finally {
    await client.end();
  }
}

/** The databases that come with a server let everybody in: a site's role would see the names of all the others there. */
async function closeToPublic({ db }: Admin, log: Logger): Promise<void> {
  const { rows } = await db.query<{ name: string }>(
    `select datname as name from pg_database where datname in ('postgres', 'template1', current_database()) and has_database_privilege('public', oid, 'CONNECT')`,
  );
  for (const { name } of rows) {
    try {
      await db.query(`revoke connect, temporary on database ${quoted(name)} from public`);
    } catch (error) {
      // On a server that is not all ours this may not be allowed: the operator is told, sites still cannot read each other.
      log.warn({ database: name, error: String(error) }, 'everybody may connect to a database of the sites’ PostgreSQL');
    }
  }
}
