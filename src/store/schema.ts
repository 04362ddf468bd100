import type { ColumnType, Generated, JSONColumnType } from 'kysely';

/** Everything is in a PostgreSQL schema of its own, so that Mayfly can share a database without touching `public`. */
export const SCHEMA = 'mayfly';
/** Channel on which PostgreSQL tells of a changed site after its commit. */
export const CHANGED_CHANNEL = 'mayfly_site_changed';
/** The same of the connections to forges; nothing is told but that something changed. */
export const CONNECTIONS_CHANNEL = 'mayfly_connections_changed';

/**
 * A column of type `json`, written as text: unlike `jsonb` it keeps every string that JavaScript can hold, NUL and lone surrogates
 * included, and what comes from outside may hold them.
 */
export type Json = ColumnType<unknown, string, string>;
type Time = ColumnType<Date, Date, Date>;

export type SiteTable = {
  id: string;
  forge: string;
  /** Up to 19 digits: read and written as text. */
  repository: string;
  number: number;
  host: string;
  status: string;
  sha: string;
  region: string;
  observation: number;
  version: number;
  ends_at: Time;
  created_at: Time;
  /** What is never searched for: see `sites.ts`. */
  state: Json;
  /** The newest version that a report is owed for, and the newest that was reported. */
  report_due: number;
  said_version: Generated<number>;
  /** Whether it has one of its repository's places, and since when it waits, for a place or for a worker. */
  placed: boolean;
  queued_at: ColumnType<Date | null, Date | null, Date | null>;
  end_nears: boolean;
};

export type CommandTable = {
  forge: string;
  comment: string;
  line: number;
  repository: string;
  number: number;
  typed: string;
  by_id: string;
  by_login: string;
  permission: string;
  answer: Json | null;
  at: Generated<Date>;
};

export type DeliveryTable = {
  id: string;
  forge: string;
  event: Json;
  digest: string;
  received_at: Generated<Date>;
  attempts: Generated<number>;
  handled_at: Date | null;
  dead_at: Date | null;
  reason: string | null;
};

export type LaunchTable = {
  id: string;
  site: string;
  sha: string;
  outcome: string | null;
  reason: Json | null;
  started_at: Generated<Date>;
  finished_at: Date | null;
  stages: Json;
  notes: Json;
  tail: Generated<string>;
};

export type ReportTable = {
  site: string;
  comment_id: string | null;
  comment_url: string | null;
  comment: string | null;
  checks: JSONColumnType<Record<string, unknown>, string, string>;
  deployments: JSONColumnType<Record<string, unknown>, string, string>;
  version: number;
};

export type Database = {
  sites: SiteTable;
  site_history: { id: Generated<number>; site: string; version: number; at: Time; type: string; news: Json };
  deliveries: DeliveryTable;
  launches: LaunchTable;
  commands: CommandTable;
  forges: { id: string; kind: string; address: string; deliveries_until: Date | null };
  redeliveries: { forge: string; delivery: string; asked_at: Generated<Date> };
  repositories: { forge: string; id: string; name: string; access: string; launched_at: Date | null };
  reports: ReportTable;
  leases: { name: string; holder: string | null; epoch: number; expires_at: Time };
  keepsakes: { key: string; value: string };
  connections: { forge: string; sealed: Buffer; made_at: Generated<Date> };
  hooks: { forge: string; repository: string; name: string; hook: string; secrets: 'shared' | 'own' };
  usage: { site: string; busy_ms: number; requests: number };
  tickets: { digest: string; kind: string; about: string; expires_at: Time };
};
