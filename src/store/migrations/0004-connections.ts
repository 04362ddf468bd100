import { type Kysely, sql } from 'kysely';

/** What was set up at `/setup` or with `npm run connect`: credentials of forges, webhooks that we made there, and what is under way. */
export async function connections(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
}

const STATEMENTS = [
  // Everything of a connection is sealed, its address too: whoever can write here cannot send its credentials elsewhere.
  `create table mayfly.connections (
    forge text primary key,
    sealed bytea not null,
    made_at timestamptz not null default clock_timestamp()
  )`,
  `create table mayfly.hooks (
    forge text not null references mayfly.connections on delete cascade,
    repository text not null,
    name text not null,
    hook text not null,
    primary key (forge, repository)
  )`,
  `create table mayfly.tickets (
    digest text primary key,
    kind text not null,
    about text not null,
    expires_at timestamptz not null
  )`,
];
