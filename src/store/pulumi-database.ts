import pg from 'pg';
import type { Logger } from 'pino';
import { type BesideOptions, ensureRole, isDenied, nameBeside, openAdmin, ROLES_LOCK } from './roles.ts';

/**
 * Makes a database for Pulumi's state beside Mayfly's own (`mayfly` → `mayfly_pulumi`), and a role of the same name that can touch
 * nothing else. Idempotent, and safe from several hosts at once.
 * @returns the address for `PULUMI_BACKEND_URL`
 */
export async function openPulumiDatabase({ adminUrl, password, sessionName, log }: BesideOptions): Promise<string> {
  const client = await openAdmin(adminUrl, sessionName, log);
  try {
    await client.query('select pg_advisory_lock($1)', [ROLES_LOCK]);
    const { rows } = await client.query<{ own: string }>('select current_database() as own');
    const own = rows[0]?.own ?? '';
    const name = nameBeside(own, 'pulumi');
    await ensureRole(client, name, password);
    await ensureDatabase(client, name);
    await closeDatabase(client, own, log);
    return addressOf(adminUrl, { name, password, sessionName });
  } catch (error) {
    if (!isDenied(error)) throw error;
    throw new Error(
      'The role in DATABASE_URL may not create the database and the role for the state of Pulumi (it lacks CREATEDB or CREATEROLE). ' +
        'Grant it both, or make a database yourself and set PULUMI_BACKEND_URL=postgres://…',
      { cause: error },
    );
  } finally {
    await client.end();
  }
}

/** The address that `openPulumiDatabase` made before; undefined when it was never called. Changes nothing. */
export async function findPulumiDatabase({ adminUrl, password, sessionName }: Omit<BesideOptions, 'log'>): Promise<string | undefined> {
  const client = new pg.Client({ connectionString: adminUrl, application_name: sessionName });
  // The statement that is under way throws.
  client.on('error', () => undefined);
  await client.connect();
  try {
    const { rows } = await client.query<{ own: string }>('select current_database() as own');
    const name = nameBeside(rows[0]?.own ?? '', 'pulumi');
    const { rowCount } = await client.query('select 1 from pg_database where datname = $1', [name]);
    return rowCount === 0 ? undefined : addressOf(adminUrl, { name, password, sessionName });
  } finally {
    await client.end();
  }
}

async function ensureDatabase(client: pg.Client, name: string): Promise<void> {
  const database = client.escapeIdentifier(name);
  const { rowCount } = await client.query('select 1 from pg_database where datname = $1', [name]);
  if (rowCount === 0) await client.query(`create database ${database} owner ${database}`);
  await client.query(`revoke all on database ${database} from public`);
}

/** Keeps every role that was not invited out of Mayfly's database, and, where we are the superuser, out of the server's own two. */
async function closeDatabase(client: pg.Client, own: string, log: Logger): Promise<void> {
  const { rows } = await client.query<{ superuser: boolean; owner: boolean }>(
    `select rolsuper as superuser, pg_has_role(datdba, 'member') as owner
     from pg_roles, pg_database where rolname = current_user and datname = current_database()`,
  );
  const { superuser = false, owner = false } = rows[0] ?? {};
  if (!owner) {
    log.warn({ database: own }, 'CONNECT could not be revoked from PUBLIC: the database belongs to another role');
    return;
  }
  const names = superuser ? [own, 'postgres', 'template1'] : [own];
  for (const name of names) await client.query(`revoke connect, temporary on database ${client.escapeIdentifier(name)} from public`);
}

function addressOf(adminUrl: string, { name, password, sessionName }: { name: string; password: string; sessionName: string }): string {
  const url = new URL(adminUrl);
  url.username = encodeURIComponent(name);
  url.password = encodeURIComponent(password);
  url.pathname = `/${encodeURIComponent(name)}`;
  url.searchParams.set('application_name', sessionName);
  // The embedded server speaks no TLS, and Go's driver insists on it unless told.
  if (['127.0.0.1', 'localhost'].includes(url.hostname) && !url.searchParams.has('sslmode')) url.searchParams.set('sslmode', 'disable');
  return url.href;
}
