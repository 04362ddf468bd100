import { sql, type Transaction } from 'kysely';
import type { Held } from '../site/ports.ts';
import { Fault } from '../site/problem.ts';
import type { Database } from './schema.ts';

/**
 * Throws Fault `lease-lost` unless the writer still holds its lease, which then stays its own until the transaction is through: whoever
 * takes it over waits for that (FOR SHARE), and so sees what was written.
 */
export async function checkHeld(tx: Transaction<Database>, held: Held): Promise<void> {
  const alive = await tx
    .selectFrom('leases')
    .select('name')
    .where('name', '=', held.name)
    .where('holder', '=', held.holder)
    .where('epoch', '=', held.epoch)
    .where('expires_at', '>', sql<Date>`clock_timestamp()`)
    .forShare()
    .executeTakeFirst();
  if (!alive) throw new Fault('lease-lost', { details: { lease: held.name } });
}
