import pg from 'pg';
import { hashed, instanceTag } from '../../../infra/labels.ts';
import { NO_SEED } from '../../../infra/preview-local.ts';
import { parseSiteId, type SiteId } from '../../site/identity.ts';

/** `site` is null for a name that begins as ours do and says no site. */
export type SiteDatabase = { readonly name: string; readonly site: SiteId | null };

/** What the names of one Mayfly's site databases, and of their roles, begin with. */
export const databasePrefix = (instance: string): string => `mf_${instanceTag(instance)}_`;

/** One database by site and content of the seed. */
export function databaseName(instance: string, site: SiteId, seedSha256: string | null): string {
  // A ULID's text takes part in a name as it is: letters and digits.
  if (parseSiteId(site) === undefined) throw new Error(`Not a site’s id: ${JSON.stringify(site)}`);
  return `${databasePrefix(instance)}${site.toLowerCase()}_${hashed(seedSha256 ?? NO_SEED, 8)}`;
}

/** Databases and roles that bear this Mayfly's tag; a role whose database is gone counts, and so does the reverse. */
export async function listDatabases(client: Pick<pg.Pool, 'query'>, instance: string): Promise<readonly SiteDatabase[]> {
  const prefix = databasePrefix(instance);
  const { rows } = await client.query<{ name: string }>(
    `select datname as name from pg_database where starts_with(datname, $1)
     union select rolname from pg_roles where starts_with(rolname, $1) order by name`,
    [prefix],
  );
  return rows.map(({ name }) => {
    const site = name.slice(prefix.length).split('_')[0]?.toUpperCase() ?? '';
    return { name, site: parseSiteId(site) ?? null };
  });
}

/** The same from outside, over a connection of its own that can change nothing. */
export async function lookAtDatabases(adminUrl: string, instance: string): Promise<readonly SiteDatabase[]> {
  const client = new pg.Client({
    connectionString: adminUrl,
    application_name: 'mayfly-look',
    options: '-c default_transaction_read_only=on',
  });
  // The statement that is under way throws; this keeps an idle loss from ending the process.
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await listDatabases(client, instance);
  } finally {
    await client.end();
  }
}
