import { type Kysely, sql } from 'kysely';

/** Sites with their history, deliveries, launches, forges and repositories, what was said, leases and keepsakes. */
export async function first(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
}

// `collate "C"`: ids and cursors are compared byte by byte, the same on every server.
const STATEMENTS = [
  `create table mayfly.forges (
    id text primary key,
    kind text not null check (kind in ('github', 'gitlab')),
    address text not null
  )`,
  `create table mayfly.repositories (
    forge text not null,
    id text collate "C" not null,
    name text not null,
    access text not null,
    primary key (forge, id)
  )`,
  'create index repositories_access on mayfly.repositories (forge, access)',
  'create index repositories_name on mayfly.repositories (lower(name))',
  'create sequence mayfly.observations as bigint',
  `create table mayfly.sites (
    id text collate "C" primary key,
    forge text not null,
    repository text collate "C" not null,
    number integer not null check (number > 0),
    host text not null unique,
    status text not null,
    sha text not null,
    region text not null,
    observation bigint not null,
    version integer not null,
    ends_at timestamptz not null,
    created_at timestamptz not null,
    state json not null,
    report_due integer not null,
    said_version integer not null default 0,
    unique (forge, repository, number)
  )`,
  'create index sites_newest on mayfly.sites (created_at desc, id desc)',
  'create index sites_newest_of_repository on mayfly.sites (repository, created_at desc, id desc)',
  'create index sites_newest_of_status on mayfly.sites (status, created_at desc, id desc)',
  'create index sites_newest_of_number on mayfly.sites (number, created_at desc, id desc)',
  // The three questions that are asked every few seconds look at a handful of rows however many sites there ever were.
  "create index sites_standing on mayfly.sites (id) where status <> 'ended'",
  "create index sites_ending on mayfly.sites (ends_at) where status not in ('ending', 'ended')",
  "create index sites_unsettled on mayfly.sites (id) where status in ('queued', 'building', 'deploying', 'ending')",
  'create index sites_unreported on mayfly.sites (id) where report_due > said_version',
  `create table mayfly.site_history (
    id bigint generated always as identity primary key,
    site text collate "C" not null references mayfly.sites (id),
    version integer not null,
    at timestamptz not null,
    type text not null,
    news json not null
  )`,
  'create index site_history_of_site on mayfly.site_history (site, id desc)',
  `create function mayfly.refuse_change() returns trigger language plpgsql as $$
    begin raise exception 'the history of a site is only ever added to'; end
  $$`,
  `create trigger site_history_is_append_only before update or delete or truncate on mayfly.site_history
    for each statement execute function mayfly.refuse_change()`,
  `create table mayfly.deliveries (
    id text primary key,
    forge text not null,
    event json not null,
    digest text not null,
    received_at timestamptz not null default now(),
    attempts integer not null default 0,
    handled_at timestamptz,
    dead_at timestamptz,
    reason text
  )`,
  'create index deliveries_pending on mayfly.deliveries (received_at) where handled_at is null and dead_at is null',
  'create index deliveries_handled on mayfly.deliveries (handled_at) where handled_at is not null',
  `create table mayfly.launches (
    id text collate "C" primary key,
    site text collate "C" not null references mayfly.sites (id),
    sha text not null,
    outcome text check (outcome in ('succeeded', 'failed', 'superseded', 'abandoned')),
    reason json,
    started_at timestamptz not null default clock_timestamp(),
    finished_at timestamptz,
    stages json not null,
    notes json not null,
    tail text not null default ''
  )`,
  'create index launches_of_site on mayfly.launches (site, started_at desc, id desc)',
  `create table mayfly.reports (
    site text collate "C" primary key references mayfly.sites (id),
    comment_id text,
    comment_url text,
    comment text,
    checks json not null,
    deployments json not null,
    version integer not null
  )`,
  `create table mayfly.leases (
    name text primary key,
    holder text,
    epoch bigint not null,
    expires_at timestamptz not null
  )`,
  'create index leases_of_holder on mayfly.leases (holder, expires_at) where holder is not null',
  'create table mayfly.keepsakes (key text primary key, value text not null)',
];
