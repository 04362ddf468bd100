import { type Kysely, sql } from 'kysely';
import { type Forge, parseRepositoryId, type Repository, toForgeId } from '../site/identity.ts';
import type { Database } from './schema.ts';
import type { Repositories } from './store.ts';

type Row = { readonly forge: string; readonly id: string; readonly name: string; readonly access: string };

function toRepository({ forge, id: text, name, access }: Row): Repository {
  const id = parseRepositoryId(text);
  if (!id) throw new Error(`The row of repository ${text} is damaged`);
  return { forge: toForgeId(forge), id, name, access };
}
const toKind = (text: string): Forge['kind'] => (text === 'gitlab' ? 'gitlab' : 'github');

/** Forges and their repositories, known by id whatever they are called today. */
export function openRepositories(db: Kysely<Database>): Repositories {
  const all = db.selectFrom('repositories').selectAll();
  return {
    async ensureForge({ id, kind, address }) {
      await db
        .insertInto('forges')
        .values({ id, kind, address })
        .onConflict((conflict) => conflict.column('id').doUpdateSet({ kind, address }))
        .execute();
    },
    async forges() {
      const rows = await db.selectFrom('forges').selectAll().orderBy('id').execute();
      return rows.map(({ id, kind, address }) => ({ id: toForgeId(id), kind: toKind(kind), address }));
    },
    async seen({ forge, id, name, access }) {
      await db
        .insertInto('repositories')
        .values({ forge, id, name, access })
        .onConflict((conflict) => conflict.columns(['forge', 'id']).doUpdateSet({ name, access }))
        .execute();
    },
    async find(forge, id) {
      const row = await all.where('forge', '=', forge).where('id', '=', id).executeTakeFirst();
      return row && toRepository(row);
    },
    async all() {
      return (await all.orderBy('forge').orderBy('id').execute()).map(toRepository);
    },
    async ofAccess(forge, access) {
      return (await all.where('forge', '=', forge).where('access', '=', access).orderBy('id').execute()).map(toRepository);
    },
    async forget(forge, id) {
      await db.deleteFrom('repositories').where('forge', '=', forge).where('id', '=', id).execute();
    },
    async nextObservation() {
      const { rows } = await sql<{ number: number }>`select nextval('mayfly.observations') as number`.execute(db);
      const number = rows[0]?.number;
      if (number === undefined) throw new Error('The sequence of observations gave no number');
      return number;
    },
  };
}
