import { alone } from './database-turns.ts';
import { type Admin, addressOf, createRole, dropDatabase, isComplete, markComplete, quoted } from './databases.ts';
import { runSeed, type Seed } from './seeding.ts';

export type Kept = { readonly count: number; readonly bytes: number };
/** The most templates that are kept, in number and in size together; the least recently used go first, the last one never. */
const KEPT: Kept = { count: 20, bytes: 4 * 1024 ** 3 };

const templateName = (tag: string, sha256: string): string => `mft_${tag}_${sha256.slice(0, 32)}`;

/**
 * The template of a seed's content, seeded by whoever comes first while all others wait. Sites' databases are copies of it.
 * @returns its name, which is its role's as well
 */
export async function ensureTemplate(
  admin: Admin,
  seed: Seed,
  { signal, kept = KEPT }: { readonly signal: AbortSignal; readonly kept?: Kept },
): Promise<string> {
  const name = templateName(admin.tag, seed.sha256);
  await alone(admin, { name, others: 'awaited' }, async (turn) => {
    if (!(await isComplete(turn.db, name))) {
      await dropDatabase(turn.db, name);
      try {
        await fill(turn, name, { seed, signal });
      } catch (error) {
        await dropDatabase(turn.db, name);
        throw error;
      }
    }
    await markComplete(turn.db, name, await usedNow(turn.db));
  });
  await dropTemplates(admin, kept);
  return name;
}

/** ISO text: the order of the notes is the order of use. */
async function usedNow(db: Admin['db']): Promise<string> {
  const { rows } = await db.query<{ now: string }>(
    `select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') as now`,
  );
  return rows[0]?.now ?? '';
}

async function fill(admin: Admin, name: string, { seed, signal }: { readonly seed: Seed; readonly signal: AbortSignal }): Promise<void> {
  const { db, adminUrl, password } = admin;
  await createRole(admin, name, 2);
  await db.query(`create database ${quoted(name)} owner ${quoted(name)} template template0`);
  await db.query(`revoke all on database ${quoted(name)} from public`);
  await runSeed(addressOf(adminUrl, { database: name, user: name, password: password(name) }), seed, signal);
  // From here on nobody signs in: a copy needs a template without sessions, and what a seed left running must not go on.
  await db.query(`alter role ${quoted(name)} nologin`);
  await db.query(`alter database ${quoted(name)} allow_connections false`);
  await db.query(`select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = $1`, [name]);
  // Its owner is an administrator, so that handing over what is in a copy never hands over the template itself.
  await db.query(`alter database ${quoted(name)} owner to current_user`);
}

/** Drops the templates that were not used for longest beyond `kept`. Remains of ones that were never finished are left to their next use. */
export async function dropTemplates(admin: Admin, kept: Kept): Promise<void> {
  const { rows } = await admin.db.query<{ name: string }>(
    `with template as (
       select datname as name, oid, shobj_description(oid, 'pg_database') as note from pg_database where starts_with(datname, $1)
     ), used as (
       select name, row_number() over recent as place, sum(pg_database_size(oid)) over recent as bytes
       from template where note like 'mayfly complete%' window recent as (order by note desc)
     )
     select name from used where place > $2 or (place > 1 and bytes > $3)`,
    [`mft_${admin.tag}_`, kept.count, kept.bytes],
  );
  for (const { name } of rows) await alone(admin, { name, others: 'awaited' }, (turn) => dropDatabase(turn.db, name));
}
