import { type CompiledQuery, Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { expect, test } from 'vitest';
import { toSiteId } from '../../src/site/identity.ts';
import { openInbox } from '../../src/store/inbox.ts';
import { openPlaces } from '../../src/store/places.ts';
import { type Database, SCHEMA } from '../../src/store/schema.ts';
import { openSites } from '../../src/store/sites.ts';
import { makeManySites } from './many.ts';
import { openTestStore, placeOf, repositoryId } from './open.ts';

const MANY = 20_000;

test('no question that is asked often reads every site or delivery (T-F25)', async () => {
  await using store = await openTestStore();
  await makeManySites(store, MANY);
  const asked: CompiledQuery[] = [];
  const pool = new pg.Pool({ connectionString: store.database.url, max: 1 });
  await using db = new Kysely<Database>({ dialect: new PostgresDialect({ pool }), log: ({ query }) => void asked.push(query) });
  const sites = openSites(db.withSchema(SCHEMA));
  const places = openPlaces(db.withSchema(SCHEMA));
  const inbox = openInbox({ db: db.withSchema(SCHEMA), pool });
  const first = await sites.list({ limit: 50 });
  if (first.next === null) throw new Error('one page holds everything');
  await sites.list({ limit: 50, after: first.next });
  await sites.list({ limit: 50, status: 'ready' });
  await sites.list({ limit: 50, pull: 100 });
  await sites.list({ limit: 50, repository: 'acme/r2' });
  await sites.list({ limit: 50, repository: '2', status: 'ready' });
  await sites.expired(500);
  await sites.unsettled(500, { maxSites: 5, forges: [placeOf(1).pull.forge] });
  await sites.nearEnd(500);
  await places.holders({ forge: placeOf(1).pull.forge, id: repositoryId(2) });
  await places.waiting({ forge: placeOf(1).pull.forge, id: repositoryId(2) }, 20);
  await places.before(toSiteId('C'));
  await places.next(3);
  await sites.standing({ after: null, limit: 500 });
  await sites.findByHost('pr-1-copy');
  await inbox.pending(5_000, 500);
  await inbox.sweep();

  for (const { sql, parameters } of asked) {
    const explain = `explain (analyze, costs off, timing off, summary off, buffers off) ${sql}`;
    const { rows } = await pool.query<{ 'QUERY PLAN': string }>(explain, [...parameters]);
    const plan = rows.map((row) => row['QUERY PLAN']).join('\n');
    expect.soft(plan, sql).not.toMatch(/Seq Scan on (sites|deliveries|leases)/);
    // An index whose rows are then thrown away one by one is no better.
    expect.soft(plan, sql).not.toMatch(/Rows Removed by Filter: \d{4,}/);
  }
});
