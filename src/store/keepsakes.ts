import type { Kysely } from 'kysely';
import type { Database } from './schema.ts';
import type { Keepsakes } from './store.ts';

/** Small things that are made once, whoever asks first. */
export function openKeepsakes(db: Kysely<Database>): Keepsakes {
  const find: Keepsakes['find'] = async (key) =>
    (await db.selectFrom('keepsakes').select('value').where('key', '=', key).executeTakeFirst())?.value;
  return {
    find,
    async ensure(key, make) {
      const kept = await find(key);
      if (kept !== undefined) return kept;
      await db
        .insertInto('keepsakes')
        .values({ key, value: make() })
        .onConflict((conflict) => conflict.column('key').doNothing())
        .execute();
      const first = await find(key);
      if (first === undefined) throw new Error(`The keepsake ${key} was not kept`);
      return first;
    },
  };
}
