import { type Kysely, sql } from 'kysely';
import { type ForgeId, toForgeId } from '../site/identity.ts';
import { CONNECTIONS_CHANNEL, type Database } from './schema.ts';

/** Credentials of forges that are kept here, sealed; who reads them is `app/setup/connections.ts`. */
export interface Connections {
  all(): Promise<readonly { readonly forge: ForgeId; readonly sealed: Buffer }[]>;
  save(connection: { readonly forge: ForgeId; readonly sealed: Buffer }): Promise<void>;
  /** With what is remembered of webhooks there. */
  remove(forge: ForgeId): Promise<void>;
}

/** A webhook that we made on a forge. `name` is the repository's of that time. */
export type MadeHook = { readonly repository: string; readonly name: string; readonly hook: string };
export interface Hooks {
  of(forge: ForgeId): Promise<readonly MadeHook[]>;
  made(forge: ForgeId, hook: MadeHook): Promise<void>;
  /** Those that still bear the secrets which were once one for all of the connection. */
  sharing(forge: ForgeId): Promise<readonly MadeHook[]>;
  /** It has its own; nothing when it was removed meanwhile. */
  ownSecrets(forge: ForgeId, repository: string): Promise<void>;
  removed(forge: ForgeId, repository: string): Promise<void>;
}

/** Words that open something once: only their digests are kept. */
export interface Tickets {
  put(ticket: { readonly kind: string; readonly digest: string; readonly about: string; readonly lifeMs: number }): Promise<void>;
  /** Of those that still hold. */
  digests(kind: string): Promise<readonly string[]>;
  /** What it is about, for the one who takes it first; undefined for everybody else and when it holds no more. */
  take(kind: string, digest: string): Promise<string | undefined>;
  /** All of a kind. */
  drop(kind: string): Promise<void>;
}

/** Credentials of forges, sealed before they come here. Every process hears of a change once it is committed. */
export function openConnections(db: Kysely<Database>): Connections {
  const notify = (on: Kysely<Database>): Promise<unknown> => sql`select pg_notify(${CONNECTIONS_CHANNEL}, '')`.execute(on);
  return {
    async all() {
      const rows = await db.selectFrom('connections').select(['forge', 'sealed']).orderBy('forge').execute();
      return rows.map(({ forge, sealed }) => ({ forge: toForgeId(forge), sealed }));
    },
    save: ({ forge, sealed }) =>
      db.transaction().execute(async (tx) => {
        await tx
          .insertInto('connections')
          .values({ forge, sealed })
          .onConflict((conflict) => conflict.column('forge').doUpdateSet({ sealed }))
          .execute();
        await notify(tx);
      }),
    remove: (forge) =>
      db.transaction().execute(async (tx) => {
        await tx.deleteFrom('connections').where('forge', '=', forge).execute();
        await notify(tx);
      }),
  };
}

/** Webhooks that we made, so that exactly those are removed again. */
export function openHooks(db: Kysely<Database>): Hooks {
  const all = (forge: ForgeId) => db.selectFrom('hooks').select(['repository', 'name', 'hook']).where('forge', '=', forge).orderBy('name');
  return {
    of: (forge) => all(forge).execute(),
    sharing: (forge) => all(forge).where('secrets', '=', 'shared').execute(),
    async ownSecrets(forge, repository) {
      await db.updateTable('hooks').set({ secrets: 'own' }).where('forge', '=', forge).where('repository', '=', repository).execute();
    },
    async made(forge, { repository, name, hook }) {
      await db
        .insertInto('hooks')
        .values({ forge, repository, name, hook, secrets: 'own' })
        .onConflict((conflict) => conflict.columns(['forge', 'repository']).doUpdateSet({ name, hook }))
        .execute();
    },
    async removed(forge, repository) {
      await db.deleteFrom('hooks').where('forge', '=', forge).where('repository', '=', repository).execute();
    },
  };
}

/** What may be done once, by whoever knows the word whose digest is kept here. */
export function openTickets(db: Kysely<Database>): Tickets {
  return {
    async put({ kind, digest, about, lifeMs }) {
      await db.deleteFrom('tickets').where('expires_at', '<', sql<Date>`clock_timestamp()`).execute();
      const expires_at = sql<Date>`clock_timestamp() + make_interval(secs => ${lifeMs / 1_000})`;
      await db.insertInto('tickets').values({ kind, digest, about, expires_at }).execute();
    },
    async digests(kind) {
      const live = db.selectFrom('tickets').select('digest').where('kind', '=', kind);
      return (await live.where('expires_at', '>', sql<Date>`clock_timestamp()`).execute()).map(({ digest }) => digest);
    },
    async take(kind, digest) {
      const taken = db.deleteFrom('tickets').where('kind', '=', kind).where('digest', '=', digest);
      return (await taken.where('expires_at', '>', sql<Date>`clock_timestamp()`).returning('about').executeTakeFirst())?.about;
    },
    async drop(kind) {
      await db.deleteFrom('tickets').where('kind', '=', kind).execute();
    },
  };
}
