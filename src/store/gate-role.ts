import type pg from 'pg';
import type { Logger } from 'pino';
import { type BesideOptions, ensureRole, isDenied, isRole, nameBeside, openAdmin, ROLES_LOCK } from './roles.ts';

/** All that a gate by itself asks and writes: the version, the site of a host and its pull's address, and what sites are used. */
const GRANTS = [
  'usage on schema mayfly',
  'select on mayfly.migrations',
  'select on mayfly.sites',
  'select on mayfly.repositories',
  'select on mayfly.forges',
  'select, insert, update on mayfly.usage',
];

/**
 * Makes a role beside Mayfly's own (`mayfly` → `mayfly_gate`) that may do what a gate does and nothing else: hostile sites' traffic goes
 * through the gate. Nothing is ever taken from it, since a gate of the version before may still run. Idempotent, and safe from several
 * hosts at once. Where our own role may not do it, that is told, and all that is not a gate by itself goes on.
 */
export async function ensureGateRole({ adminUrl, password, sessionName, log }: BesideOptions): Promise<void> {
  const client = await openAdmin(adminUrl, sessionName, log);
  try {
    await client.query('begin');
    await client.query('select pg_advisory_xact_lock($1)', [ROLES_LOCK]);
    const { rows } = await client.query<{ own: string }>('select current_database() as own');
    const own = rows[0]?.own ?? '';
    const role = nameBeside(own, 'gate');
    const isThere = (await isAllowed(client, () => ensureRole(client, role, password))) || (await isMadeByOthers(client, role, log));
    const grants = [`connect on database ${client.escapeIdentifier(own)}`, ...GRANTS];
    const granted: boolean[] = [];
    // Each by itself: what may be granted is, whatever else may not.
    for (const right of isThere ? grants : [])
      granted.push(await isAllowed(client, async () => void (await client.query(`grant ${right} to ${client.escapeIdentifier(role)}`))));
    if (granted.includes(false))
      log.warn({ role }, 'the role of a gate by itself lacks what that needs: the role in DATABASE_URL may not grant it');
    await client.query('commit');
  } finally {
    await client.end();
  }
}

/** Does it, or nothing of it where our own role may not: within a transaction, which goes on. */
async function isAllowed(client: pg.Client, deed: () => Promise<void>): Promise<boolean> {
  await client.query('savepoint deed');
  try {
    await deed();
    return true;
  } catch (error) {
    if (!isDenied(error)) throw error;
    await client.query('rollback to deed');
    return false;
  }
}

async function isMadeByOthers(client: pg.Client, role: string, log: Logger): Promise<boolean> {
  if (await isRole(client, role)) {
    log.info({ role }, 'the role of a gate by itself keeps the password that it was made with: the role in DATABASE_URL may not change it');
    return true;
  }
  log.warn(
    { role },
    'a gate by itself has no role in the database, and the role in DATABASE_URL may not make it: give that CREATEROLE, or make this one with a password of yours, and start again',
  );
  return false;
}
