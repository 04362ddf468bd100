import { randomInt } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { instanceTag } from '../../infra/labels.ts';
import { databasePrefix } from '../../src/provision/targets/database-names.ts';
import type { GoogleCloud } from '../doubles/google/cloud.ts';
import type { GoogleFault } from '../doubles/google/faults.ts';
import type { StagePull } from '../doubles/stage.ts';
import { onDatabase } from '../postgres.ts';
import { descendantsOf } from '../processes.ts';
import { nodeApp, storedApp } from '../scenarios/apps.ts';
import { instanceOf, onServer, serverOfTests } from '../scenarios/planted.ts';
import { createWorld, until, type World } from '../world.ts';

const PULLS = 5;
const LAUNCHES = 50;
/** Of Google's answers so many are not what was asked for. */
const FAULTY = 0.1;
/** In so many rounds the engine is killed while it runs. */
const KILLED = 0.4;
/** Longer than a launch takes on a machine that has nothing else to do. */
const LATEST_MS = 10_000;
const PATIENCE_MS = 300_000;

const seed = Number(process.env.MAYFLY_TEST_SEED ?? randomInt(2 ** 31));

/** Numbers from 0 to 1, the same for a seed: https://en.wikipedia.org/wiki/Linear_congruential_generator. */
function randomFrom(start: number): () => number {
  let state = start;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

const refused = (status: 'RESOURCE_EXHAUSTED' | 'UNAVAILABLE' | 'ALREADY_EXISTS' | 'ABORTED'): GoogleFault => ({ kind: 'refuse', status });
const OF_ALL: readonly GoogleFault[] = [refused('RESOURCE_EXHAUSTED'), refused('UNAVAILABLE'), { kind: 'lose' }];
const OF_SERVICES: readonly GoogleFault[] = [
  refused('ABORTED'),
  { kind: 'hang' },
  { kind: 'fail', status: 'INTERNAL', message: 'Internal error' },
];
const OF_METHOD: Readonly<Record<string, readonly GoogleFault[]>> = {
  'run.services.create': [refused('ALREADY_EXISTS'), ...OF_SERVICES],
  'run.services.update': OF_SERVICES,
  'run.services.delete': [refused('ABORTED')],
};

/** Calls go wrong at random until the returned is disposed; `met` tells which. */
function injectFaults({ faults }: GoogleCloud, random: () => number, met: string[]): Disposable {
  const { take } = faults;
  faults.take = (what) => {
    const planned = take(what);
    if (planned !== undefined || random() >= FAULTY) return planned;
    const possible = [...OF_ALL, ...(OF_METHOD[what] ?? [])];
    const fault = possible[Math.floor(random() * possible.length)];
    met.push(`${what} ${fault?.kind === 'refuse' ? fault.status : fault?.kind}`);
    return fault;
  };
  return {
    [Symbol.dispose]() {
      faults.take = take;
    },
  };
}

async function killEngines(met: string[]): Promise<void> {
  for (const { pid, command } of await descendantsOf(process.pid)) {
    if (!command.includes('pulumi up')) continue;
    try {
      process.kill(pid, 'SIGKILL');
      met.push('an engine is killed');
    } catch {
      // It has ended meanwhile.
    }
  }
}

/** The launch of this commit is over, however. */
const over = (w: World, pull: StagePull, sha: string): Promise<unknown> =>
  until(
    `the launch of #${pull.number} to be over`,
    async () => {
      const site = await w.siteOf(pull);
      return site?.head.sha === sha && (site.status === 'ready' || site.status === 'failed');
    },
    PATIENCE_MS,
  );

/** Whatever wears this Mayfly's label, or bears its name. */
async function worn(w: World, { services, policies, images, buckets, builds }: GoogleCloud): Promise<readonly string[]> {
  const server = serverOfTests();
  const ground = { dataDir: w.dataDir, database: w.database.name, server };
  const instance = await instanceOf(ground);
  const names = async (on: string, text: string, beginning: string): Promise<readonly string[]> =>
    (await onServer(on, (client) => client.query<{ name: string }>(text, [beginning]))).rows.map(({ name }) => name);
  const isGoing = ({ status }: Record<string, unknown>): boolean => status === 'QUEUED' || status === 'WORKING';
  return [
    ...services.keys(),
    ...policies.keys(),
    ...images.keys(),
    ...[...buckets.values()].flatMap(({ objects }) => [...objects.keys()].filter((name) => name.startsWith('sources/'))),
    ...[...builds].flatMap(([name, build]) => (isGoing(build) ? [name] : [])),
    // Templates of seeds are no site's, and kept for the next one.
    ...(await names(server, 'select datname as name from pg_database where starts_with(datname, $1)', databasePrefix(instance))),
    ...(await names(server, 'select rolname as name from pg_roles where starts_with(rolname, $1)', databasePrefix(instance))),
    ...(await names(
      onDatabase(server, `${w.database.name}_pulumi`),
      'select key as name from pulumi_state where strpos(key, $1) > 0',
      `gcp-${instanceTag(instance)}-`,
    )),
  ];
}

test(`nothing is left of ${LAUNCHES} launches during which Google and the engine fail at random`, { timeout: 3_600_000 }, async () => {
  const random = randomFrom(seed);
  await using w = await createWorld({}, { target: 'gcp' });
  if (w.google === null) throw new Error('no Google Cloud');
  const { cloud } = w.google;
  const met: string[] = [];
  try {
    {
      using _faulty = injectFaults(cloud, random, met);
      const appOf = (index: number, text: string) => (index % 2 === 0 ? nodeApp(text) : storedApp(text));
      const pulls = await Promise.all(
        Array.from({ length: PULLS }, async (_, index) => {
          const repo = await w.forge.createRepository({ name: `random-${index}/shop-${index}`, files: appOf(index, 'main') });
          return w.forge.openPull(repo, { files: appOf(index, '0') });
        }),
      );
      for (let round = 0; round < LAUNCHES / PULLS; round += 1) {
        const killed = random() < KILLED ? delay(random() * LATEST_MS).then(() => killEngines(met)) : Promise.resolve();
        const launched = pulls.map(async (pull, index) => {
          const sha = round === 0 ? pull.sha : await w.forge.push(pull, appOf(index, String(round)));
          await over(w, pull, sha);
        });
        await Promise.all([killed, ...launched]);
      }
      await Promise.all(pulls.map((pull) => w.forge.close(pull)));
      // Some of what the ends need fails as well.
      await delay(LATEST_MS / 2);
    }
    // Faults that were lost on the way are found at the look of the next minute.
    await until('nothing to wear our label', async () => (await worn(w, cloud)).length === 0, PATIENCE_MS);
    expect(await w.mayfly.target?.survey()).toEqual([]);
    expect(met.length).toBeGreaterThan(LAUNCHES);
  } catch (error) {
    const left = await worn(w, cloud);
    throw new Error(`MAYFLY_TEST_SEED=${seed}; met: ${met.join(', ')}; left: ${left.join(', ')}`, { cause: error });
  }
});
