import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { pino } from 'pino';
import { openEmbeddedPostgres } from '../src/store/embedded.ts';
import { createGitHub } from '../test/doubles/github.ts';
import { openRedis } from '../test/redis.ts';
import { type BenchSite, makeFolder, openMayfly, until } from './mayfly.ts';
import { type Measurement, type Row, row } from './measurement.ts';
import { inTurn, median, quantile } from './sample.ts';

/** So many repositories, each of an owner and an installation of its own, with so many pulls each; and how many processes work on them. */
type Load = { readonly repositories: number; readonly pulls: number; readonly processes: number };
/** Files alone: what is measured is the queue, the places and the engine, not somebody's build. */
const files = { 'index.html': 'hello' };

/**
 * Opens all pulls, repository after repository, while only the web is there, then starts the workers.
 * @returns every site with its launches, once all are ready
 */
async function launchAll({ repositories, pulls, processes }: Load): Promise<readonly BenchSite[]> {
  await using stack = new AsyncDisposableStack();
  const folder = await makeFolder(stack);
  const log = pino({ level: 'error' });
  const postgres = stack.use(await openEmbeddedPostgres({ folder: join(folder, 'postgres'), name: 'bench', log }));
  const redis = stack.use(await openRedis(folder));
  const github = stack.use(await createGitHub());
  const shared = {
    DATABASE_URL: await postgres.ensureDatabase('mayfly'),
    REDIS_URL: `unix://${redis.socket}`,
    MAYFLY_SECRET_KEY: randomBytes(32).toString('base64'),
    MAYFLY_MAX_SITES: String(pulls),
  };
  const web = stack.use(await openMayfly({ ...shared, MAYFLY_ROLES: 'web,clock' }, { github }));
  await web.start();
  for (let r = 0; r < repositories; r++) {
    const repo = await github.createRepository({ name: `team-${r}/site`, files });
    for (let n = 0; n < pulls; n++) await github.openPull(repo, { files: { 'page.txt': `${n}` } });
  }
  const workers = [];
  for (let n = 0; n < processes; n++) workers.push(stack.use(await openMayfly({ ...shared, MAYFLY_ROLES: 'gate,worker' }, { github })));
  await Promise.all(workers.map((one) => one.start()));
  const count = repositories * pulls;
  return await until(
    `${count} sites to be ready`,
    async () => {
      const sites = await web.sites();
      const failed = sites.find(({ status }) => status === 'failed');
      if (failed) throw new Error(`#${failed.pull} of ${failed.repository} failed: ${failed.reason}`);
      return sites.length === count && sites.every(({ status, launches }) => status === 'ready' && launches[0]?.finishedAt) && sites;
    },
    { lookEveryMs: 500, patienceMs: 600_000 },
  );
}

/** When each launch began and was over, in seconds after the first began. */
type Times = readonly { readonly repository: string; readonly began: number; readonly over: number }[];

function timesOf(sites: readonly BenchSite[]): Times {
  const launches = sites.flatMap(({ repository, launches: all }) => all.map((one) => ({ repository, ...one })));
  const twice = sites.filter(({ launches: all }) => all.length !== 1);
  if (twice.length > 0) throw new Error(`${twice.length} of ${sites.length} sites were not launched once`);
  const first = Math.min(...launches.map(({ startedAt }) => startedAt.getTime()));
  const since = (date: Date | null): number => ((date?.getTime() ?? Number.NaN) - first) / 1_000;
  return launches.map(({ repository, startedAt, finishedAt }) => ({ repository, began: since(startedAt), over: since(finishedAt) }));
}

const perMinute = (times: Times): number => (60 * times.length) / Math.max(...times.map(({ over }) => over));

/** How alike repositories were served that queued as much as each other at the same time. */
function fairness(times: Times): readonly Row[] {
  const byRepository = [...Map.groupBy(times, ({ repository }) => repository).values()];
  const end = Math.max(...times.map(({ over }) => over));
  const first = byRepository.map((own) => Math.min(...own.map(({ began }) => began)));
  const waits = byRepository.map((own) => own.reduce((sum, { began }) => sum + began, 0) / own.length);
  const mean = waits.reduce((sum, one) => sum + one, 0) / waits.length;
  const half = byRepository.map((own) => own.filter(({ over }) => over <= end / 2).length);
  const what = `${times.length} launches from ${byRepository.length} repositories, two workers`;
  const share = { text: '≤ 2 × a fair share', is: (ours: number, other: number) => ours <= 2 * other };
  return [
    // If they took turns, each would have its first launch before anybody's second is over.
    row(
      { what: `${what}: until the last repository had its first launch`, unit: 's', ours: [Math.max(...first)] },
      { beside: { name: 'if all took turns', sample: [end / (byRepository[0]?.length ?? 1)] } },
    ),
    row(
      { what: `${what}: a launch's wait, in the repository that waited most`, unit: 's', ours: [Math.max(...waits)] },
      { beside: { name: 'of all', sample: [mean] }, bar: share, parts: { least: Math.min(...waits), median: median(waits) } },
    ),
    row(
      { what: `${what}: launches over in half the time, per repository`, unit: '', ours: half },
      { parts: { least: Math.min(...half), median: median(half), most: Math.max(...half) } },
    ),
  ];
}

export const workers: Measurement = {
  title: 'Many launches at once: who gets a turn, and what a second process adds, on one PostgreSQL and one Redis',
  async run({ scale, say }) {
    const [repositories, pulls, few] = scale === 'whole' ? [20, 10, 1] : [2, 1, 1];
    const all = timesOf(await launchAll({ repositories, pulls, processes: 2 }));
    say(
      `each wait, in s: ${[0, 0.5, 0.9, 1]
        .map(
          (q) =>
            `${q * 100} % ${quantile(
              all.map(({ began }) => began),
              q,
            ).toFixed(1)}`,
        )
        .join(', ')}`,
    );
    const by = (processes: number) => async () => perMinute(timesOf(await launchAll({ repositories, pulls: few, processes })));
    const again = async (): Promise<number> => perMinute(all);
    const rates = await (scale === 'whole' ? inTurn(2, { one: by(1), two: by(2) }) : inTurn(1, { one: again, two: again }));
    return [
      ...fairness(all),
      row(
        { what: 'launches by two processes, each site once', unit: '/min', ours: rates('two') },
        { beside: { name: 'by one', sample: rates('one') } },
      ),
    ];
  },
};
