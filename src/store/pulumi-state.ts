import pg from 'pg';
import type { Logger } from 'pino';
import type { Held } from '../site/ports.ts';
import { Fault } from '../site/problem.ts';
import { openPool } from './pool.ts';

/** Pulumi's own table and, in a schema of ours beside it, the newest epoch by stack. */
export interface PulumiState extends AsyncDisposable {
  /**
   * From now on nothing that an earlier holder's Pulumi writes about the stack is taken, and nothing that it had begun to write is
   * still under way. Throws Fault `lease-lost` when a later holder has done so.
   */
  fence(held: Held, stack: string): Promise<void>;
  /** Drops what Pulumi does not remove with a stack whose state is not there: its history and its backup. */
  forget(held: Held, stack: string): Promise<void>;
  /** Names of the project's stacks, those included whose state Pulumi itself could not read any more. */
  stacks(): Promise<readonly string[]>;
}

export type PulumiStateOptions = {
  /** `postgres://…`, as Pulumi gets it. */
  readonly url: string;
  readonly project: string;
  /** The host's name in the locks of our own children. */
  readonly ourHost: string;
  readonly log: Logger;
};

/** Advisory lock of whoever puts the fence up: `MAYF` in ASCII. */
const LOCK = 0x4d415946;
const INSUFFICIENT_PRIVILEGE = '42501';
const STATE_FILE = /^([^/]+?)\.json(?:\.gz|\.zst)?$/;

/** What Pulumi's sessions are called, for the fence to know them and for whoever takes the lease over to end them. */
export const pulumiSession = ({ holder, epoch }: Pick<Held, 'holder' | 'epoch'>): string => `mayfly:${holder}#${epoch}`;

/**
 * Opens Pulumi's state where that is in PostgreSQL. A lock of Pulumi's is looked at when an operation begins and never again, so one
 * that was frozen in the middle would write over what its successor has done since; ending its sessions does not help, it opens new
 * ones. A trigger on the table refuses it: each session bears the epoch of the lease that it works under.
 */
export async function openPulumiState({ url, log, ...options }: PulumiStateOptions): Promise<PulumiState> {
  const pool = openPool({ connectionString: url, max: 2, idleTimeoutMillis: 10_000 }, (error) =>
    log.warn({ err: error }, 'a connection to the state of Pulumi was lost'),
  );
  const table = tableIn(url);
  try {
    const isFenced = await putUpFence(pool, table, log);
    return stateOf({ ...options, pool, table: pg.escapeIdentifier(table), folder: folderIn(url), isFenced });
  } catch (error) {
    await pool.end();
    throw error;
  }
}

type Parts = Pick<PulumiStateOptions, 'project' | 'ourHost'> & {
  readonly pool: pg.Pool;
  readonly table: string;
  readonly folder: string;
  readonly isFenced: boolean;
};

function stateOf({ pool, table, folder, project, ourHost, isFenced }: Parts): PulumiState {
  const raise = async (held: Held, stack: string): Promise<void> => {
    if (!isFenced) return;
    const { rowCount } = await pool.query(RAISE, [stack, held.epoch]);
    if (rowCount === 0) throw new Fault('lease-lost', { details: { lease: held.name } });
  };
  const states = `${folder}/stacks/${project}/`;
  const locksOf = (stack: string): string => `${folder}/locks/organization/${project}/${stack}/`;
  return {
    async fence(held, stack) {
      await raise(held, stack);
      // Pulumi makes the lock before the stack, and a lock without a stack can be broken by no command of its own.
      await pool.query(
        `delete from ${table} where ${below(locksOf(stack))} and not exists (select from ${table} where ${below(`${states}${stack}.json`)})
         and convert_from(decode(data ->> 'data', 'base64'), 'utf8')::json ->> 'hostname' = $1`,
        [ourHost],
      );
    },
    async forget(held, stack) {
      await raise(held, stack);
      const places = [`${states}${stack}.json`, ...['history', 'backups'].map((kind) => `${folder}/${kind}/${project}/${stack}/`)];
      await pool.query(`delete from ${table} where ${places.map(below).join(' or ')}`);
    },
    stacks: () => stacksIn(pool, { table, states }),
    [Symbol.asyncDispose]: () => pool.end(),
  };
}

/** Names of the project's stacks, from a session that cannot change anything. None where Pulumi never was. */
export async function lookAtStacks({ url, project }: Pick<PulumiStateOptions, 'url' | 'project'>): Promise<readonly string[]> {
  const client = new pg.Client({ connectionString: url, options: '-c default_transaction_read_only=on' });
  // The statement that is under way throws.
  client.on('error', () => undefined);
  await client.connect();
  try {
    const table = pg.escapeIdentifier(tableIn(url));
    const { rows } = await client.query<{ isThere: boolean }>('select to_regclass($1) is not null as "isThere"', [table]);
    return rows[0]?.isThere ? await stacksIn(client, { table, states: `${folderIn(url)}/stacks/${project}/` }) : [];
  } finally {
    await client.end();
  }
}

async function stacksIn(
  db: Pick<pg.ClientBase, 'query'>,
  { table, states }: { readonly table: string; readonly states: string },
): Promise<readonly string[]> {
  const { rows } = await db.query<{ key: string }>(`select key from ${table} where ${below(states)}`);
  return rows.flatMap(({ key }) => STATE_FILE.exec(key.slice(states.length))?.[1] ?? []);
}

const tableIn = (url: string): string => new URL(url).searchParams.get('table') ?? 'pulumi_state';
/** Pulumi takes the address's path, which names the database, for a folder as well. */
const folderIn = (url: string): string => `${decodeURIComponent(new URL(url).pathname).replace(/^\/+|\/+$/g, '')}/.pulumi`;

/** As a literal: Pulumi's index serves a prefix that the planner can see. */
const below = (prefix: string): string => `key like ${pg.escapeLiteral(`${prefix.replace(/[\\%_]/g, '\\$&')}%`)}`;

/** @returns whether there is one: a role that may not make it is told to the operator */
async function putUpFence(pool: pg.Pool, table: string, log: Logger): Promise<boolean> {
  const client = await pool.connect();
  try {
    await client.query('begin');
    await client.query('select pg_advisory_xact_lock($1)', [LOCK]);
    // As Pulumi's own schema.sql has it, which then finds it made.
    const name = pg.escapeIdentifier(table);
    await client.query(makeTable(name));
    await client.query(FENCES);
    const { rows } = await client.query('select from pg_trigger where tgrelid = $1::regclass and tgname = $2', [name, 'mayfly_fence']);
    if (rows.length === 0) await client.query(makeTrigger(name));
    await client.query('commit');
    return true;
  } catch (error) {
    await client.query('rollback');
    if (!(error instanceof pg.DatabaseError) || error.code !== INSUFFICIENT_PRIVILEGE) throw error;
    log.warn('the role in PULUMI_BACKEND_URL may not make a schema and a trigger: the state is not fenced off from workers that froze');
    return false;
  } finally {
    client.release();
  }
}

const makeTable = (table: string): string => `
  create table if not exists ${table} (
    key text primary key, data json not null, updated_at timestamp with time zone not null default now()
  )`;
/**
 * A key names its stack as a folder or as a file. Whoever writes holds the stack's row shared until the write is through, so that raising
 * the epoch waits for it. Sessions without an epoch are people's. The schema must not be named as a role may be: Pulumi would find its
 * table in it by "$user".
 */
const FENCES = `
  create schema if not exists mayfly_fence;
  create table if not exists mayfly_fence.epochs (stack text primary key, epoch bigint not null);
  create or replace function mayfly_fence.check_epoch() returns trigger language plpgsql as $$
  declare
    own bigint := substring(current_setting('application_name') from '#([0-9]+)$');
    written text := case tg_op when 'DELETE' then old.key else new.key end;
    newest bigint;
  begin
    if own is not null then
      select max(epoch) into newest from (
        select epoch from mayfly_fence.epochs
        where stack in (select split_part(part, '.', 1) from unnest(string_to_array(written, '/')) as part) for share
      ) as fence;
      if newest > own then
        raise exception 'the lease was lost: epoch % is over, % has the stack', own, newest;
      end if;
    end if;
    return case tg_op when 'DELETE' then old else new end;
  end $$`;
const makeTrigger = (table: string): string =>
  `create trigger mayfly_fence before insert or update or delete on ${table} for each row execute function mayfly_fence.check_epoch()`;
const RAISE = `
  insert into mayfly_fence.epochs as known (stack, epoch) values ($1, $2)
  on conflict (stack) do update set epoch = excluded.epoch where known.epoch <= excluded.epoch`;
