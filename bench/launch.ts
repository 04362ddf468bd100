import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { pino } from 'pino';
import { openEmbeddedPostgres } from '../src/store/embedded.ts';
import { fullName } from '../test/doubles/github/state.ts';
import type { Pull, Repo } from '../test/doubles/github.ts';
import { APPS, type BenchApp } from './apps.ts';
import { launchByHand } from './by-hand.ts';
import { type BenchMayfly, type BenchSite, makeFolder, openMayfly, until } from './mayfly.ts';
import { below, type Doing, type Measurement, type Row, row } from './measurement.ts';
import { inTurn, median, quantile, type Sample } from './sample.ts';

/** Where the round's own word is shown. */
const PATH_OF = { plain: '/', astro: '/round.json', store: '/' } as const;
type AppName = keyof typeof APPS;
const STAGES = ['queued', 'fetch', 'build', 'deploy', 'check'] as const;

type Ground = {
  readonly mayfly: BenchMayfly;
  readonly folder: string;
  readonly postgres: string;
  readonly doing: Doing;
  readonly said: number[];
};
/** `saidMs`: until the pull had its comment. */
type Told = { readonly ms: number; readonly saidMs: number; readonly site: BenchSite };

/** Whoever looks all the time works on the same processors as the launch: a visit is cheap, the API asks the database. */
const LOOK = { lookEveryMs: 25, patienceMs: 180_000 };
const FAILED_EVERY_MS = 1_000;

/** From the push on, its webhook included, until a visitor gets what was pushed. */
async function watch(
  mayfly: BenchMayfly,
  deed: () => Promise<Pull>,
  page: { readonly path: string; readonly shows: string },
): Promise<Told> {
  const started = performance.now();
  const pull = await deed();
  const said = until(`the comment on #${pull.number}`, async () => mayfly.github.ourComments(pull).length > 0).then(
    () => performance.now() - started,
  );
  const site = await until(`the site of #${pull.number}`, () => mayfly.site(pull));
  let askedAt = started;
  const shows = async (): Promise<boolean> => {
    const { status, body } = await mayfly.visit(site, page.path);
    if (status === 200 && body.includes(page.shows)) return true;
    if (performance.now() - askedAt < FAILED_EVERY_MS) return false;
    askedAt = performance.now();
    const now = await mayfly.site(pull);
    if (now?.status === 'failed') throw new Error(`#${pull.number} failed: ${now.reason}`);
    return false;
  };
  await until(`#${pull.number} to show ${page.shows}`, shows, LOOK);
  const ms = performance.now() - started;
  return { ms, saidMs: await said, site: await mayfly.reaches(pull, 'ready') };
}

/** Launches of one site begin five seconds apart at least, so that a rush of pushes makes few of them: whoever pushes now and then never waits for it. */
const APART_MS = 6_000;

async function measureApp(name: AppName, ground: Ground): Promise<readonly Row[]> {
  const { mayfly, folder, postgres, doing, said } = ground;
  const app = APPS[name];
  const rounds = doing.scale === 'smoke' ? 1 : 3;
  const path = PATH_OF[name];
  const stages = { cold: new Map<string, number[]>(), warm: new Map<string, number[]>(), unchanged: new Map<string, number[]>() };
  const note = (kind: keyof typeof stages, site: BenchSite): void => {
    for (const stage of STAGES) {
      const ms = site.launches[0]?.stages[stage];
      if (typeof ms === 'number') stages[kind].set(stage, [...(stages[kind].get(stage) ?? []), ms]);
    }
  };
  const pulls: Pull[] = [];
  const repositories: Repo[] = [];
  const shows = (kind: string, round: number): string => `${name}-${kind}-${round}`;
  const byHand = (repo: Repo, branch: string, word: string, cache: string): Promise<number> =>
    launchByHand(app, {
      ...{
        git: `${mayfly.github.serverUrl}/${fullName(repo)}.git`,
        branch,
        folder: join(folder, `hand-${randomUUID()}`),
        cache: join(folder, cache),
      },
      ...{ path, shows: app.shows(word), postgres },
    });
  const cold = await inTurn(rounds, {
    // A repository and files of its own each time: nothing of it has been fetched, installed, built or seeded before.
    ours: async (round) => {
      const repo = await mayfly.github.createRepository({ name: `bench/${name}-${round}`, files: app.files(), private: false });
      repositories.push(repo);
      const word = shows('cold', round);
      const opened = () => mayfly.github.openPull(repo, { files: app.changed(word), branch: 'bench' });
      const { ms, saidMs, site } = await watch(
        mayfly,
        async () => {
          const pull = await opened();
          pulls.push(pull);
          return pull;
        },
        { path, shows: app.shows(word) },
      );
      said.push(saidMs / 1_000);
      note('cold', site);
      return ms;
    },
    hand: async (round) => byHand(repositories[round] ?? never(), 'bench', shows('cold', round), `npm-${randomUUID()}`),
  });
  const pull = pulls[0] ?? never();
  let begun = performance.now();
  const pushed = async (kind: 'warm' | 'unchanged', files: ReturnType<BenchApp['changed']>, word: string): Promise<number> => {
    const before = await mayfly.site(pull);
    await delay(Math.max(1, begun + APART_MS - performance.now()));
    const started = performance.now();
    begun = started;
    await mayfly.github.push(pull, files);
    const isLive = async (): Promise<BenchSite | false | undefined> => {
      const now = await mayfly.site(pull);
      return now?.status === 'ready' && now.sha === pull.sha && now.launches.length > (before?.launches.length ?? 0) && now;
    };
    const site = await until(`#${pull.number} to be live anew`, isLive, LOOK);
    const { body } = await mayfly.visit(site, path);
    if (!body.includes(app.shows(word))) throw new Error(`#${pull.number} does not show ${word}`);
    note(kind, site);
    return performance.now() - started;
  };
  const warm = await inTurn(rounds, {
    ours: (round) => pushed('warm', app.changed(shows('warm', round)), shows('warm', round)),
    hand: (round) => byHand(pull.repository, 'bench', shows('warm', round), 'npm-warm'),
  });
  const last = shows('warm', rounds - 1);
  const unchanged = await inTurn(rounds, { ours: () => pushed('unchanged', {}, last) });
  for (const one of pulls) await mayfly.github.close(one);
  const inSeconds = (sample: Sample): Sample => sample.map((ms) => ms / 1_000);
  const beside = (sample: Sample) => ({ name: 'by hand', sample: inSeconds(sample) });
  const added = { text: '≤ 2 s more', is: (ours: number, other: number) => ours <= other + 2 };
  const isLarge = name === 'astro';
  const parts = (kind: keyof typeof stages): Readonly<Record<string, number>> =>
    Object.fromEntries([...stages[kind]].map(([stage, sample]) => [stage, median(sample) / 1_000]));
  const ourWarm = { what: `${app.name}, warm`, unit: 's', ours: inSeconds(warm('ours')) } as const;
  return [
    row(
      { what: `${app.name}, cold`, unit: 's', ours: inSeconds(cold('ours')) },
      {
        ...{ parts: parts('cold'), beside: beside(cold('hand')) },
        bar: isLarge ? { text: '≤ 1.25 ×', is: (ours, other) => ours <= 1.25 * other } : added,
      },
    ),
    // The script by hand begins anew each time; what it has downloaded before it may find in npm's cache.
    ...(isLarge
      ? [
          row(ourWarm, {
            parts: parts('warm'),
            beside: beside(cold('hand')),
            bar: { text: '≤ 0.6 ×', is: (ours, other) => ours <= 0.6 * other },
          }),
          row(ourWarm, { beside: { name: 'by hand with npm’s cache', sample: inSeconds(warm('hand')) } }),
        ]
      : [row(ourWarm, { parts: parts('warm'), beside: beside(warm('hand')), bar: added })]),
    row(
      { what: `${app.name}, unchanged`, unit: 's', ours: inSeconds(unchanged('ours')) },
      { parts: parts('unchanged'), bar: below(5, 's') },
    ),
  ];
}

function never(): never {
  throw new Error('the first round has left nothing to go on with');
}

export const launch: Measurement = {
  title: 'Launch: from the push until a visitor gets it, beside a script that does the same by hand',
  async run(doing) {
    await using stack = new AsyncDisposableStack();
    const folder = await makeFolder(stack);
    const log = pino({ level: 'error' });
    const server = stack.use(await openEmbeddedPostgres({ folder: join(folder, 'postgres'), name: 'bench', log }));
    const mayfly = stack.use(await openMayfly());
    await mayfly.start();
    const ground: Ground = { mayfly, folder, postgres: server.url('postgres'), doing, said: [] };
    const names: readonly AppName[] = doing.scale === 'smoke' ? ['plain'] : ['plain', 'store', 'astro'];
    const rows: Row[] = [];
    for (const name of names) rows.push(...(await measureApp(name, ground)));
    const p95 = quantile(ground.said, 0.95);
    return [...rows, row({ what: 'webhook → comment on the pull, p95', unit: 's', ours: [p95] }, { bar: below(3, 's') })];
  },
};
