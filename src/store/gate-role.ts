import { type BesideOptions, ensureRole, isDenied, nameBeside, openAdmin, ROLES_LOCK } from './roles.ts';

/** All that a gate by itself asks and writes: the version, the site of a host and its pull's address, and what sites are used. */
const GRANTS = [
  'usage on schema mayfly',
  'select on mayfly.migrations, mayfly.sites, mayfly.repositories, mayfly.forges',
  'select, insert, update on mayfly.usage',
];

/**
 * Makes a role beside Mayfly's own (`mayfly` → `mayfly_gate`) that may do what a gate does and nothing else: hostile sites' traffic goes
 * through the gate. Nothing is ever taken from it, since a gate of the version before may still run. Idempotent, and safe from several
 * hosts at once.
 */
export async function ensureGateRole({ adminUrl, password, sessionName, log }: BesideOptions): Promise<void> {
  const client = await openAdmin(adminUrl, sessionName, log);
  try {
    await client.query('begin');
    await client.query('select pg_advisory_xact_lock($1)', [ROLES_LOCK]);
    const { rows } = await client.query<{ own: string }>('select current_database() as own');
    const own = rows[0]?.own ?? '';
    const name = nameBeside(own, 'gate');
    await ensureRole(client, name, password);
    const connect = `connect on database ${client.escapeIdentifier(own)}`;
    for (const grant of [connect, ...GRANTS]) await client.query(`grant ${grant} to ${client.escapeIdentifier(name)}`);
    await client.query('commit');
  } catch (error) {
    if (!isDenied(error)) throw error;
    log.warn({ err: error }, 'the gate has no role of its own in the database: the role in DATABASE_URL may not make it');
  } finally {
    await client.end();
  }
}
