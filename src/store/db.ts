import { setTimeout as delay } from 'node:timers/promises';
import { Kysely, PostgresDialect, sql } from 'kysely';
import pg from 'pg';
import type { Logger } from 'pino';
import type { NewId } from '../site/ports.ts';
import { type EffectsHandler, openApply } from './apply.ts';
import { openChanges } from './changes.ts';
import { openCommands } from './commands.ts';
import { openConnections, openHooks, openTickets } from './connections.ts';
import { openInbox } from './inbox.ts';
import { openKeepsakes } from './keepsakes.ts';
import { openLaunches } from './launches.ts';
import { LEASE_TIMES, type LeaseTimes, openLeases } from './leases.ts';
import { migrate, refuseOther } from './migrate.ts';
import { openPlaces } from './places.ts';
import { openPool } from './pool.ts';
import { openRedeliveries } from './redeliveries.ts';
import { openReports } from './reports.ts';
import { openRepositories } from './repositories.ts';
import { type Database, SCHEMA } from './schema.ts';
import { openSites } from './sites.ts';
import type { Store } from './store.ts';
import { openUsageStore } from './usage.ts';

export type StoreOptions = {
  /** `postgres://…`; PostgreSQL 15 or newer. */
  readonly url: string;
  /** First part of the sessions' `application_name`; the holder's id follows: `mayfly:<holder>`. */
  readonly applicationName: string;
  /** This process instance: who holds its leases. A new id unless given. */
  readonly holder?: string;
  readonly log: Logger;
  readonly newId: NewId;
  /** Whoever comes beside a Mayfly that runs is refused a database of another version, where Mayfly itself migrates it. */
  readonly beside?: 'to look' | 'to change';
  /** Shorter in tests. */
  readonly leaseTimes?: LeaseTimes;
};

const POOL_SIZE = 10;
/** PostgreSQL itself refuses every change, whatever we try. */
const READ_ONLY = '-c default_transaction_read_only=on';
/** No statement of ours takes long; one that does is stuck. */
const STATEMENT_LIMIT_MS = 30_000;
/** A transaction of a frozen process lets go of its rows after this time even when nobody takes its lease over. */
const IDLE_TRANSACTION_LIMIT_MS = 10_000;
const CONNECT_LIMIT_MS = 5_000;
/** A server that is frozen or cut off does not end its statements itself. */
const ANSWER_LIMIT_MS = STATEMENT_LIMIT_MS + 5_000;
/** A silent connection is probed after 10 s; the system's own number is two hours. */
const KEEP_ALIVE = { keepAlive: true, keepAliveInitialDelayMillis: 10_000 };

const INT8 = 20;
/** Our `bigint`s are counters: numbers. (Repository ids, which may be larger than a number holds, are `text`.) */
const types: pg.CustomTypesConfig = {
  getTypeParser: (oid, format) => (oid === INT8 ? Number : pg.types.getTypeParser(oid, format)),
};

/**
 * Migrates the database if it is behind and opens every part of the store on it. A database that goes away makes statements throw; once
 * it is back, later ones work.
 */
export async function openStore(options: StoreOptions): Promise<Store> {
  const { url, applicationName, log, newId, leaseTimes = LEASE_TIMES } = options;
  const holder = options.holder ?? newId();
  const sessionName = (of: string): string => `${applicationName}:${of}`;
  const connection = { connectionString: url, application_name: sessionName(holder), connectionTimeoutMillis: CONNECT_LIMIT_MS, types };
  await using opening = new AsyncDisposableStack();
  const settings = options.beside === 'to look' ? READ_ONLY : '';
  const pool = opening.adopt(openLimited({ ...connection, max: POOL_SIZE, options: settings }, log), (it) => it.end());
  const bare = new Kysely<Database>({ dialect: new PostgresDialect({ pool }) });
  await (options.beside === undefined ? migrate(bare) : refuseOther(bare));
  const db = bare.withSchema(SCHEMA);
  const leasePool = opening.adopt(openLimited({ ...connection, max: 1, query_timeout: leaseTimes.lifeMs / 3 }, log), (it) => it.end());
  const leases = opening.use(openLeases({ pool: leasePool, holder, sessionName, times: leaseTimes, log }));
  const changes = opening.use(openChanges({ ...connection, ...KEEP_ALIVE }, log));
  let effects: EffectsHandler = async () => undefined;
  const writers = openApply({ db, newId, log, effects: (site, due) => effects(site, due) });
  const opened = opening.move();
  return {
    sites: openSites(db),
    places: openPlaces(db),
    ...writers,
    launches: openLaunches(db),
    commands: openCommands(db),
    inbox: openInbox({ db, pool }),
    repositories: openRepositories(db),
    reports: openReports(db),
    leases,
    keepsakes: openKeepsakes(db),
    redeliveries: openRedeliveries(db),
    connections: openConnections(db),
    hooks: openHooks(db),
    tickets: openTickets(db),
    usage: openUsageStore(db),
    async history(site, limit) {
      const rows = await db.selectFrom('site_history').selectAll().where('site', '=', site).orderBy('id', 'desc').limit(limit).execute();
      return rows.map(({ at, version, type, news }) => ({ at, version, type, news }));
    },
    onEffects(handler) {
      effects = handler;
    },
    onChange: (listener) => changes.onChange(listener),
    onConnections: (listener) => changes.onConnections(listener),
    losses: changes.losses,
    async now() {
      const { rows } = await sql<{ now: Date }>`select clock_timestamp() as now`.execute(db);
      const now = rows[0]?.now;
      if (!now) throw new Error('The database did not tell the time');
      return now;
    },
    isReachable: (ms) => isReachable(pool, ms),
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

function openLimited(config: pg.PoolConfig, log: Logger): pg.Pool {
  const limits = `-c statement_timeout=${STATEMENT_LIMIT_MS} -c idle_in_transaction_session_timeout=${IDLE_TRANSACTION_LIMIT_MS}`;
  const limited = { query_timeout: ANSWER_LIMIT_MS, ...config, ...KEEP_ALIVE, options: `${limits} ${config.options ?? ''}` };
  const pool = openPool(limited, (error) => log.warn({ err: error }, 'a database connection was lost'));
  // A connection that is lost while it is in use tells its own listeners only; the statement on it throws anyway.
  return pool.on('connect', (client) => client.on('error', (error) => log.debug({ err: error }, 'a database connection in use was lost')));
}

async function isReachable(pool: pg.Pool, ms: number): Promise<boolean> {
  const timer = new AbortController();
  const answer = pool.query('select 1').then(
    () => true,
    // Whatever the reason: it does not answer.
    () => false,
  );
  const tooLate = delay(ms, false, { signal: timer.signal, ref: false }).catch(() => false);
  const reached = await Promise.race([answer, tooLate]);
  timer.abort();
  return reached;
}
