import { type Kysely, sql } from 'kysely';

/** What was typed and what came of it; who has one of a repository's places, and who waits for one. */
export async function commandsAndPlaces(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
}

const STATEMENTS = [
  `alter table mayfly.sites
    add column placed boolean not null default false,
    add column queued_at timestamptz,
    add column end_nears boolean not null default false`,
  `update mayfly.sites set
    placed = status in ('building', 'deploying', 'ending', 'ready') or (status <> 'ended' and state ->> 'live' is not null),
    queued_at = case when status = 'queued' then (state ->> 'since')::timestamptz end`,
  // A pull without a site has a row when there is something to remember of it: it neither stands nor ends.
  'drop index mayfly.sites_standing',
  'drop index mayfly.sites_ending',
  "create index sites_standing on mayfly.sites (id) where status not in ('ended', 'absent')",
  "create index sites_ending on mayfly.sites (ends_at) where status not in ('ending', 'ended', 'absent')",
  "create index sites_near_end on mayfly.sites (ends_at) where status not in ('ending', 'ended', 'absent') and not end_nears",
  'create index sites_placed on mayfly.sites (forge, repository, created_at) where placed',
  "create index sites_waiting on mayfly.sites (forge, repository, queued_at, id) where status = 'queued' and not placed",
  "create index sites_queued on mayfly.sites (queued_at) where status = 'queued'",
  `create table mayfly.commands (
    forge text not null,
    comment text not null,
    line integer not null,
    repository text collate "C" not null,
    number integer not null,
    typed text not null,
    by_id text not null,
    by_login text not null,
    permission text not null,
    answer json,
    at timestamptz not null default clock_timestamp(),
    primary key (forge, comment, line)
  )`,
  'create index commands_of_pull on mayfly.commands (forge, repository, number, at desc)',
];
