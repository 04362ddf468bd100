import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import pg from 'pg';
import { type Logger, pino } from 'pino';
import { ulid } from 'ulid';
import { planPulls, planStrangers, standingIn } from '../src/expiry/reconcile.ts';
import { sweep } from '../src/expiry/sweep.ts';
import type { Repository } from '../src/site/identity.ts';
import { openStore } from '../src/store/db.ts';
import { openEmbeddedPostgres } from '../src/store/embedded.ts';
import type { Store } from '../src/store/store.ts';
import { memoryOf } from './footprint.ts';
import { type BenchMayfly, makeFolder, openMayfly } from './mayfly.ts';
import { type Bar, below, type Doing, type Measurement, type Row, row, type Unit } from './measurement.ts';
import { exponent, quantile, timed } from './sample.ts';

const SIZES = { whole: [1_000, 10_000, 100_000], smoke: [100, 1_000] } as const;
const HISTORY = 10;
const PAGES = 100;

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

const COSTS = ['list', 'page', 'byStatus', 'byRepository', 'byPull', 'sweep', 'reconcile', 'memory'] as const;
type Cost = (typeof COSTS)[number];
type Seen = { readonly size: number } & Readonly<Record<Cost, number>>;
type Ground = { readonly store: Store; readonly web: BenchMayfly; readonly repository: Repository; readonly log: Logger };

/** The 95th percentile of the milliseconds that a page of the list takes. */
async function pages(web: BenchMayfly, query: (n: number) => string): Promise<number> {
  const times: number[] = [];
  for (let n = 0; n < PAGES; n++) times.push(await timed(async () => (await web.api(`/sites?limit=20&${query(n)}`)).text()));
  return quantile(times, 0.95);
}

/** Reconcile's comparison of every row with a forge that has the same, without the forge's own time. */
async function reconcile({ store, repository }: Ground): Promise<number> {
  const pulls = (await standingIn(store, repository)).map(({ pull, head }) => ({
    ...({ number: pull.number, state: 'open', closedAt: null, labels: [], head } as const),
  }));
  const truth = {
    ...({ forge: { kind: 'github' }, looks: new Map(), lookAtPull: async () => undefined } as const),
    facts: { openPulls: async () => pulls, file: async () => undefined },
  };
  return timed(async () => {
    const found = [...(await planStrangers(store)), ...(await planPulls(store, repository, truth))];
    if (found.length > 0) throw new Error(`reconcile found ${found.length} differences where there are none`);
  });
}

async function look(ground: Ground, size: number): Promise<Seen> {
  const { store, web, log } = ground;
  const forges = (await store.repositories.forges()).map(({ id }) => id);
  const nothing = async (): Promise<void> => undefined;
  const wake = { intake: nothing, provision: nothing, report: nothing, maxSites: 1_000_000, forges: () => forges };
  // Half way down the list.
  const middle = await store.sites.findByPull({
    forge: ground.repository.forge,
    repository: ground.repository.id,
    number: Math.ceil(size / 2),
  });
  if (middle === undefined) throw new Error('the rows have not been made');
  const cursor = Buffer.from(`${middle.createdAt.getTime()}.${middle.id}`).toString('base64url');
  await sweep(store, wake, log);
  return {
    size,
    list: await pages(web, () => ''),
    page: await pages(web, () => `cursor=${cursor}`),
    byStatus: await pages(web, () => 'status=ready'),
    byRepository: await pages(web, () => `repository=${ground.repository.name}`),
    byPull: await pages(web, (n) => `pull=${1 + ((n * 997) % size)}`),
    sweep: await timed(() => sweep(store, wake, log)),
    reconcile: await reconcile(ground),
    memory: await memoryOf(web.pid),
  };
}

/** One real site, and the processes that are asked about its copies. */
async function openGround(stack: AsyncDisposableStack): Promise<Ground & { readonly db: pg.Client }> {
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
  const web = stack.use(await openMayfly({ ...shared, MAYFLY_ROLES: 'web' }, { github: first.github }));
  await web.start();
  const db = new pg.Client(url);
  await db.connect();
  stack.defer(() => db.end());
  const [repository] = await store.repositories.all();
  if (repository === undefined) throw new Error('no repository is known');
  return { store, web, repository, log, db };
}

const TOLD: readonly { readonly cost: Cost; readonly what: string; readonly unit: Unit; readonly bar?: Bar }[] = [
  { cost: 'list', what: 'first page of the list, p95', unit: 'ms', bar: below(100, 'ms') },
  { cost: 'page', what: 'a page in the middle, p95', unit: 'ms' },
  { cost: 'byStatus', what: 'filtered by status, p95', unit: 'ms', bar: below(100, 'ms') },
  { cost: 'byRepository', what: 'filtered by repository, p95', unit: 'ms', bar: below(100, 'ms') },
  { cost: 'byPull', what: 'filtered by pull, p95', unit: 'ms', bar: below(100, 'ms') },
  { cost: 'sweep', what: 'a sweep that finds nothing', unit: 'ms', bar: below(60_000, 'ms') },
  { cost: 'reconcile', what: 'reconcile, all of one repository, the forge’s time apart', unit: 'ms' },
  { cost: 'memory', what: 'memory of the web role (PSS)', unit: 'MiB' },
];

export const scale: Measurement = {
  title: 'Many sites in one database, all of them live',
  async run({ scale: size, say }: Doing): Promise<readonly Row[]> {
    await using stack = new AsyncDisposableStack();
    const ground = await openGround(stack);
    const seen: Seen[] = [];
    let made = 1;
    for (const sites of SIZES[size]) {
      await fill(ground.db, made + 1, sites);
      made = sites;
      say(`${sites.toLocaleString('en')} sites with ${(HISTORY * sites).toLocaleString('en')} entries of history`);
      seen.push(await look(ground, sites));
    }
    return TOLD.map(({ cost, what, unit, bar }) => {
      const grows = exponent(seen.map((one) => ({ size: one.size, cost: one[cost] }))).toFixed(2);
      const parts = Object.fromEntries(seen.map((one) => [`${one.size.toLocaleString('en')} sites`, one[cost]]));
      const told = {
        what: `${made.toLocaleString('en')} sites: ${what}; grows with n^${grows}`,
        unit,
        ours: [seen.at(-1)?.[cost] ?? Number.NaN],
      };
      return row(told, { parts, ...(bar ? { bar } : {}) });
    });
  },
};
