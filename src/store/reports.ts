import type { Kysely } from 'kysely';
import type { Database } from './schema.ts';
import type { Reports, Said } from './store.ts';

const NOTHING: Said = { commentId: null, commentUrl: null, comment: null, checks: {}, deployments: {}, version: 0 };
const withoutNul = (text: string | null): string | null => text?.replaceAll('\0', '\u{fffd}') ?? null;

/** What was said on the forge about each site. */
export function openReports(db: Kysely<Database>): Reports {
  return {
    async get(site) {
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
    },
    async save(site, said) {
      const columns = {
        comment_id: said.commentId,
        comment_url: said.commentUrl,
        comment: withoutNul(said.comment),
        checks: JSON.stringify(said.checks),
        deployments: JSON.stringify(said.deployments),
        version: said.version,
      };
      await db.transaction().execute(async (tx) => {
        await tx
          .insertInto('reports')
          .values({ site, ...columns })
          .onConflict((conflict) => conflict.column('site').doUpdateSet(columns))
          .execute();
        await tx.updateTable('sites').set({ said_version: said.version }).where('id', '=', site).execute();
      });
    },
    async isOwed(site) {
      const owed = db.selectFrom('sites').select('id').where('id', '=', site).whereRef('report_due', '>', 'said_version');
      return (await owed.executeTakeFirst()) !== undefined;
    },
  };
}
