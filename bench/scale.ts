import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import pg from 'pg';
import { pino } from 'pino';
import { ulid } from 'ulid';
import { sweep } from '../src/expiry/sweep.ts';
import { openStore } from '../src/store/db.ts';
import { openEmbeddedPostgres } from '../src/store/embedded.ts';
import { memoryOf } from './footprint.ts';
import { type BenchMayfly, makeFolder, openMayfly } from './mayfly.ts';
import { type Doing, type Measurement, type Row, row } from './measurement.ts';
import { exponent, quantile, timed } from './sample.ts';

const SIZES = { whole: [1_000, 10_000, 100_000], smoke: [100, 1_000] } as const;
const HISTORY = 10;
const PAGES = 100;
const SCANNED = 500;

/** Copies of the one site that is there, each on a pull of its own, all of them ready, with ten entries of history each. */
async function fill(db: pg.Client, from: number, to: number): Promise<void> {
  await db.query(
    `insert into mayfly.sites select made.* from mayfly.sites site, generate_series($1::int, $2::int) n,
       lateral jsonb_populate_record(site, jsonb_build_object('id', left(site.id, 18) || lpad(n::text, 8, '0'), 'number', n,
         'host', 'pr-' || n || '-bench', 'created_at', site.created_at + n * interval '1 ms')) made
     where site.number = 1`,
    [from, to],
  );
  await db.query(
    `insert into mayfly.site_history (site, version, at, type, news)
     select site.id, entry, site.created_at, 'stageEntered', '{}' from mayfly.sites site, generate_series(1, ${HISTORY}) entry
     where site.number between $1 and $2`,
    [from, to],
  );
  await db.query('analyze mayfly.sites');
}

type Seen = { readonly size: number; readonly list: number; readonly filtered: number; readonly sweep: number; readonly reconcile: number };

async function pageTimes(mayfly: BenchMayfly, query: string, count: number): Promise<number> {
  const times: number[] = [];
  for (let n = 0; n < count; n++) times.push(await timed(async () => (await mayfly.api(`/sites?${query}`)).text()));
  return quantile(times, 0.95);
}

export const scale: Measurement = {
  title: 'Many sites in one database, all of them live',
  async run({ scale: size, say }: Doing): Promise<readonly Row[]> {
    await using stack = new AsyncDisposableStack();
    const folder = await makeFolder(stack);
    const log = pino({ level: 'error' });
    const server = stack.use(await openEmbeddedPostgres({ folder: join(folder, 'postgres'), name: 'bench', log }));
    const url = await server.ensureDatabase('mayfly');
    const shared = { DATABASE_URL: url, MAYFLY_SECRET_KEY: randomBytes(32).toString('base64') };
    const store = stack.use(await openStore({ url, applicationName: 'bench', log, newId: ulid }));
    const first = stack.use(await openMayfly(shared));
    await first.start();
    const repo = await first.github.createRepository({ name: 'bench/many', files: { 'index.html': 'hello' } });
    await first.reaches(await first.github.openPull(repo, { files: { 'index.html': 'changed' } }), 'ready');
    await first.end('SIGTERM');
    const mayfly = stack.use(await openMayfly({ ...shared, MAYFLY_ROLES: 'web' }, first.github));
    await mayfly.start();
    const db = new pg.Client(url);
    await db.connect();
    stack.defer(() => db.end());
    const forges = (await store.repositories.forges()).map(({ id }) => id);
    const nothing = async (): Promise<void> => undefined;
    const wake = { intake: nothing, provision: nothing, report: nothing, maxSites: 1_000_000, forges: () => forges };
    const seen: Seen[] = [];
    let made = 1;
    for (const sites of SIZES[size]) {
      await fill(db, made + 1, sites);
      made = sites;
      const list = await pageTimes(mayfly, 'limit=20', PAGES);
      const filtered = await pageTimes(mayfly, 'limit=20&status=ready&repository=bench/many', PAGES);
      await sweep(store, wake, log);
      const swept = await timed(() => sweep(store, wake, log));
      const reconcile = await timed(async () => {
        let after: Awaited<ReturnType<typeof store.sites.standing>>[number]['id'] | null = null;
        for (;;) {
          const page: Awaited<ReturnType<typeof store.sites.standing>> = await store.sites.standing({ after, limit: SCANNED });
          after = page.at(-1)?.id ?? null;
          if (page.length < SCANNED) return;
        }
      });
      seen.push({ size: sites, list, filtered, sweep: swept, reconcile });
      say(
        `${sites} sites: list ${list.toFixed(1)} ms, filtered ${filtered.toFixed(1)} ms, sweep ${swept.toFixed(1)} ms, standing read ${reconcile.toFixed(0)} ms`,
      );
    }
    const last = seen.at(-1);
    if (last === undefined) throw new Error('nothing was measured');
    const grows = (of: Exclude<keyof Seen, 'size'>): string =>
      `grows with n^${exponent(seen.map((one) => ({ size: one.size, cost: one[of] }))).toFixed(2)}`;
    const at = `${last.size.toLocaleString('en')} sites`;
    return [
      row(
        { what: `${at}: first page of the list, p95 (${grows('list')})`, unit: 'ms', ours: [last.list] },
        { bar: { text: '< 100 ms', is: (ours) => ours < 100 } },
      ),
      row(
        { what: `${at}: filtered by status and repository, p95 (${grows('filtered')})`, unit: 'ms', ours: [last.filtered] },
        { bar: { text: '< 100 ms', is: (ours) => ours < 100 } },
      ),
      row(
        { what: `${at}: a sweep that finds nothing (${grows('sweep')})`, unit: 'ms', ours: [last.sweep] },
        { bar: { text: '< 60 s', is: (ours) => ours < 60_000 } },
      ),
      row({ what: `${at}: reading all that stand, as reconcile does (${grows('reconcile')})`, unit: 'ms', ours: [last.reconcile] }),
      row({ what: `${at}: memory of the web role (PSS)`, unit: 'MiB', ours: [await memoryOf(mayfly.pid)] }),
    ];
  },
};
