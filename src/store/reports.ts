import type { Kysely, Selectable, Transaction } from 'kysely';
import type { SiteId } from '../site/identity.ts';
import { checkHeld } from './fence.ts';
import type { Database, ReportTable } from './schema.ts';
import type { Reports, Said } from './store.ts';

const NOTHING: Said = { commentId: null, commentUrl: null, comment: null, checks: {}, deployments: {}, version: 0 };
const withoutNul = (text: string | null): string | null => text?.replaceAll('\0', '\u{fffd}') ?? null;

const toSaid = (row: Selectable<ReportTable> | undefined): Said =>
  row === undefined
    ? NOTHING
    : {
        commentId: row.comment_id,
        commentUrl: row.comment_url,
        comment: row.comment,
        // Parse boundary: only `write` writes these columns.
        checks: row.checks as Said['checks'],
        deployments: row.deployments as Said['deployments'],
        version: row.version,
      };

async function write(tx: Transaction<Database>, site: SiteId, said: Said): Promise<void> {
  const columns = {
    comment_id: said.commentId,
    comment_url: said.commentUrl,
    comment: withoutNul(said.comment),
    checks: JSON.stringify(said.checks),
    deployments: JSON.stringify(said.deployments),
    version: said.version,
  };
  await tx
    .insertInto('reports')
    .values({ site, ...columns })
    .onConflict((conflict) => conflict.column('site').doUpdateSet(columns))
    .execute();
  await tx.updateTable('sites').set({ said_version: said.version }).where('id', '=', site).execute();
}

/** What was said on the forge about each site. */
export function openReports(db: Kysely<Database>): Reports {
  const get: Reports['get'] = async (site) =>
    toSaid(await db.selectFrom('reports').selectAll().where('site', '=', site).executeTakeFirst());
  return {
    get,
    save: (site, said, { held } = {}) =>
      db.transaction().execute(async (tx) => {
        if (held) await checkHeld(tx, held);
        await write(tx, site, said);
      }),
    doubt: (site) =>
      db.transaction().execute(async (tx) => {
        const row = await tx.selectFrom('reports').selectAll().where('site', '=', site).forUpdate().executeTakeFirst();
        const { checks, deployments, ...rest } = toSaid(row);
        const forgotten = <T extends { readonly digest: string }>(all: Readonly<Record<string, T>>): Record<string, T> =>
          Object.fromEntries(Object.entries(all).map(([sha, one]) => [sha, { ...one, digest: one.digest.replace(/[^:]*$/, '') }]));
        await write(tx, site, { ...rest, comment: null, checks: forgotten(checks), deployments: forgotten(deployments), version: 0 });
      }),
    async isOwed(site) {
      const owed = db.selectFrom('sites').select('id').where('id', '=', site).whereRef('report_due', '>', 'said_version');
      return (await owed.executeTakeFirst()) !== undefined;
    },
  };
}
