import { type Kysely, sql } from 'kysely';

/** Which failed webhooks a forge was asked to send again, and how far its record of them was looked at. */
export async function redeliveries(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
}

const STATEMENTS = [
  'alter table mayfly.forges add column deliveries_until timestamptz',
  `create table mayfly.redeliveries (
    forge text not null,
    delivery text not null,
    asked_at timestamptz not null default clock_timestamp(),
    primary key (forge, delivery)
  )`,
  'create index redeliveries_asked on mayfly.redeliveries (asked_at)',
];
