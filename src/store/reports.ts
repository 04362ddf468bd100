import type { Kysely } from 'kysely';
import { checkHeld } from './fence.ts';
import type { Database } from './schema.ts';
import type { Reports, Said } from './store.ts';

const NOTHING: Said = { commentId: null, commentUrl: null, comment: null, checks: {}, deployments: {}, version: 0 };
const withoutNul = (text: string | null): string | null => text?.replaceAll('\0', '\u{fffd}') ?? null;

/** What was said on the forge about each site. */
export function openReports(db: Kysely<Database>): Reports {
  const get: Reports['get'] = async (site) => {
    const row = await db.selectFrom('reports').selectAll().where('site', '=', site).executeTakeFirst();
    if (!row) return NOTHING;
    return {
      commentId: row.comment_id,
      commentUrl: row.comment_url,
      comment: row.comment,
      // Parse boundary: only `save` writes these columns.
      checks: row.checks as Said['checks'],
      deployments: row.deployments as Said['deployments'],
      version: row.version,
    };
  };
  const save: Reports['save'] = async (site, said, { held } = {}) => {
    const columns = {
      comment_id: said.commentId,
      comment_url: said.commentUrl,
      comment: withoutNul(said.comment),
      checks: JSON.stringify(said.checks),
      deployments: JSON.stringify(said.deployments),
      version: said.version,
    };
    await db.transaction().execute(async (tx) => {
      if (held) await checkHeld(tx, held);
      await tx
        .insertInto('reports')
        .values({ site, ...columns })
        .onConflict((conflict) => conflict.column('site').doUpdateSet(columns))
        .execute();
      await tx.updateTable('sites').set({ said_version: said.version }).where('id', '=', site).execute();
    });
  };
  return {
    get,
    save,
    async doubt(site) {
      const { comment, checks, deployments, ...rest } = await get(site);
      const forgotten = <T extends { readonly digest: string }>(all: Readonly<Record<string, T>>): Record<string, T> =>
        Object.fromEntries(Object.entries(all).map(([sha, one]) => [sha, { ...one, digest: one.digest.replace(/[^:]*$/, '') }]));
      await save(site, { ...rest, comment: null, checks: forgotten(checks), deployments: forgotten(deployments) });
    },
    async isOwed(site) {
      const owed = db.selectFrom('sites').select('id').where('id', '=', site).whereRef('report_due', '>', 'said_version');
      return (await owed.executeTakeFirst()) !== undefined;
    },
  };
}
