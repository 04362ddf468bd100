import { type Kysely, type Selectable, sql, type Transaction } from 'kysely';
import type { CommandTable, Database } from './schema.ts';
import type { CommandDone, CommandGiven, Commands } from './store.ts';

/** PostgreSQL's `text` holds no NUL. */
const withoutNul = (text: string): string => text.replaceAll('\0', '\u{fffd}');

const toColumns = ({ forge, comment, line, pull, typed, by, permission }: CommandGiven) => ({
  forge,
  comment,
  line,
  repository: pull.repository,
  number: pull.number,
  typed: withoutNul(typed),
  by_id: String(by.id),
  by_login: withoutNul(by.login),
  permission,
});

const toDone = (row: Selectable<CommandTable>): CommandDone => ({
  comment: row.comment,
  line: row.line,
  typed: row.typed,
  by: row.by_login,
  permission: row.permission,
  // Parse boundary: only `answered` writes this column.
  answer: row.answer as CommandDone['answer'],
  at: row.at,
});

/** Notes a command in the transaction that carries it out. @returns false when it was carried out before */
export async function noteCommand(tx: Transaction<Database>, given: CommandGiven): Promise<boolean> {
  const inserted = await tx
    .insertInto('commands')
    .values(toColumns(given))
    .onConflict((conflict) => conflict.columns(['forge', 'comment', 'line']).doNothing())
    .returning('line')
    .executeTakeFirst();
  return inserted !== undefined;
}

/** What people typed, who they were, what they were allowed then, and what came of it. */
export function openCommands(db: Kysely<Database>): Commands {
  return {
    async ofComment(forge, comment) {
      const rows = await db.selectFrom('commands').selectAll().where('forge', '=', forge).where('comment', '=', comment).execute();
      return rows.map(toDone);
    },
    async answered(given, answer) {
      const text = JSON.stringify(answer);
      await db
        .insertInto('commands')
        .values({ ...toColumns(given), answer: text })
        .onConflict((conflict) => conflict.columns(['forge', 'comment', 'line']).doUpdateSet({ answer: text }))
        .execute();
    },
    async ofOthersLately({ forge, comment, repository }) {
      const { count } = await db
        .selectFrom('commands')
        .select((eb) => eb.fn.count<number>('comment').distinct().as('count'))
        .where('forge', '=', forge)
        .where('repository', '=', repository)
        .where('comment', '<>', comment)
        .where('permission', 'in', ['none', 'read'])
        .where('at', '>', sql<Date>`clock_timestamp() - interval '1 hour'`)
        .executeTakeFirstOrThrow();
      return count;
    },
    async ofPull({ forge, repository, number }, limit) {
      const rows = await db
        .selectFrom('commands')
        .selectAll()
        .where('forge', '=', forge)
        .where('repository', '=', repository)
        .where('number', '=', number)
        .orderBy('at', 'desc')
        .orderBy(sql`comment`, 'desc')
        .orderBy('line', 'desc')
        .limit(limit)
        .execute();
      return rows.map(toDone);
    },
  };
}
