import { createHash } from 'node:crypto';
import pg from 'pg';
import type { Logger } from 'pino';

/**
 * Advisory lock of whoever makes roles beside Mayfly's own, or changes who may do what in its database: `MAYP` in ASCII. One for all, since
 * PostgreSQL refuses two changes of one database's rights at a time.
 */
export const ROLES_LOCK = 0x4d415950;
const MAX_NAME = 63;
const INSUFFICIENT_PRIVILEGE = '42501';

/** The name of what is made for `whom` beside Mayfly's own database: `mayfly` → `mayfly_gate`. Roles are the whole server's. */
export function nameBeside(own: string, whom: 'gate' | 'pulumi'): string {
  const name = `${own}_${whom}`;
  if (name.length <= MAX_NAME) return name;
  const hash = createHash('sha256').update(own).digest('hex').slice(0, 12);
  return `${own.slice(0, MAX_NAME - 20)}_${hash}_${whom}`;
}

/** Whom an address signs in as: PostgreSQL's own reading of it, which takes a bare `%` and has somebody where no user is named. */
export const roleIn = (url: string): string => new pg.Client(url).user ?? '';

/** For what is made beside Mayfly's own database. */
export type BesideOptions = {
  /** Mayfly's own database, migrated where its tables are granted, as a role that may create roles, and databases where one is made. */
  readonly adminUrl: string;
  /** The new role's password: the same on every host, so derived from the secret key. */
  readonly password: string;
  /** `application_name` of the sessions, so that they can be ended with ours. */
  readonly sessionName: string;
  readonly log: Logger;
};

/** A session that changes rights: neither it nor those who wait for it wait for ever, whichever host stands still in the middle. */
export async function openAdmin(adminUrl: string, sessionName: string, log: Logger): Promise<pg.Client> {
  const client = new pg.Client({
    connectionString: adminUrl,
    application_name: sessionName,
    connectionTimeoutMillis: 10_000,
    options: '-c lock_timeout=60s -c idle_in_transaction_session_timeout=10s',
  });
  // The statement that is under way throws; this keeps an idle loss from ending the process.
  client.on('error', (error) => log.warn({ err: error }, 'the connection was lost'));
  await client.connect();
  return client;
}

/** A role that may sign in with this password, and nothing else until it is granted. Not safe from two sessions at once. */
export async function ensureRole(client: pg.Client, name: string, password: string): Promise<void> {
  const role = client.escapeIdentifier(name);
  if (!(await isRole(client, name))) await client.query(`create role ${role} login nocreatedb nocreaterole`);
  await client.query(`alter role ${role} password ${client.escapeLiteral(password)}`);
  // To own its database on its behalf, and to end its sessions.
  await client.query(`grant ${role} to current_user`);
}

/** Whether the server has a role of this name, whoever made it. */
export async function isRole(client: pg.Client, name: string): Promise<boolean> {
  const { rowCount } = await client.query('select 1 from pg_roles where rolname = $1', [name]);
  return rowCount !== 0;
}

/** Whether it is our own role that may not do it. */
export const isDenied = (error: unknown): boolean => error instanceof pg.DatabaseError && error.code === INSUFFICIENT_PRIVILEGE;

/** SQLSTATE class of who is not let in: not known, with another password, or from where nobody is. */
const NOT_LET_IN = /^28/;
/** Whether the server lets our own role in nowhere, or not where it wants to. */
export const isRefused = (error: unknown): error is pg.DatabaseError =>
  error instanceof pg.DatabaseError && (NOT_LET_IN.test(error.code ?? '') || isDenied(error));
