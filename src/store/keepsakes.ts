import type { Kysely } from 'kysely';
import type { Database } from './schema.ts';
import type { Keepsakes } from './store.ts';

/** Small things that are made once, whoever asks first. */
export function openKeepsakes(db: Kysely<Database>): Keepsakes {
  const find = (key: string): Promise<{ value: string } | undefined> =>
    db.selectFrom('keepsakes').select('value').where('key', '=', key).executeTakeFirst();
  return {
    async ensure(key, make) {
      const kept = await find(key);
      if (kept) return kept.value;
      await db
        .insertInto('keepsakes')
        .values({ key, value: make() })
        .onConflict((conflict) => conflict.column('key').doNothing())
        .execute();
      const first = await find(key);
      if (!first) throw new Error(`The keepsake ${key} was not kept`);
      return first.value;
    },
  };
}
