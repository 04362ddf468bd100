import pg from 'pg';
import type { Store } from '../../src/store/store.ts';
import type { TestDatabase } from '../postgres.ts';
import { headOf, headSeen, placeOf, sha } from './open.ts';

/** Copies of one site, as many as a large Mayfly has after years: one in a hundred still stands, a handful are due, unsettled or unsaid. */
export async function makeManySites(store: Store & { readonly database: TestDatabase }, count: number): Promise<void> {
  await store.repositories.ensureForge({ id: placeOf(1).pull.forge, kind: 'github', address: 'https://github.com' });
  await store.applyToPull(placeOf(1), headSeen(1, headOf(sha('a'))));
  const client = new pg.Client(store.database.url);
  await client.connect();
  try {
    await client.query(
      `insert into mayfly.sites (id, forge, repository, number, host, status, sha, region, observation, version, ends_at, created_at, state,
         report_due, said_version, placed, queued_at)
       select 'C' || lpad(n::text, 12, '0'), forge, (n % 200 + 2)::text, n, 'pr-' || n || '-copy',
         case when n % 10000 = 0 then 'queued' when n % 100 = 0 then 'ready' else 'ended' end, sha, region, n, 1,
         now() + (n % 5000 - 2) * interval '1 minute', now() - n * interval '1 minute', state, 1, case when n % 20000 = 0 then 0 else 1 end,
         n % 100 = 0 and n % 10000 <> 0, case when n % 10000 = 0 then now() end
       from mayfly.sites, generate_series(1, $1::int) as n where id not like 'C%'`,
      [count],
    );
    await client.query(
      `insert into mayfly.repositories (forge, id, name, access) select 'github', n::text, 'acme/r' || n, '1' from generate_series(2, 201) n`,
    );
    await client.query(
      `insert into mayfly.deliveries (id, forge, event, digest, handled_at)
       select 'd' || n, 'github', '{}', '', case when n % 10000 = 0 then null else now() end from generate_series(1, $1::int) as n`,
      [count],
    );
    await client.query(
      `insert into mayfly.leases (name, epoch, expires_at) select 'site:' || id, 1, '-infinity' from mayfly.sites where id like 'C%'`,
    );
    await client.query('vacuum analyze');
  } finally {
    await client.end();
  }
}
