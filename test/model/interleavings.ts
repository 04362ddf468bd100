import fc from 'fast-check';
import { inject } from 'vitest';
import type { Site } from '../../src/site/site.ts';
import { createDatabase } from '../postgres.ts';
import { openAgain } from '../store/open.ts';
import { openClock } from './clock.ts';
import { type Deed, deeds, doDeed, PEOPLE, PULLS } from './deeds.ts';
import { type Ground, TERMS } from './jobs.ts';
import { wrongs } from './truth.ts';
import { openWorld, type World } from './world.ts';

/** A rest that is not reached in this many rounds of everything that is done by the clock is none. */
const ROUNDS = 12;
/** Longer than the lease of the dead lives. */
const ROUND_MS = 16_000;

export type Model = AsyncDisposable & {
  /** Plays as many random interleavings; throws with the seed, the path and the trace of the shortest that breaks an invariant. */
  check(runs: number, from?: { readonly seed: number; readonly path?: string }): Promise<void>;
};

/** What the runs share; each of them finds it empty. */
export async function openModel(): Promise<Model> {
  await using opening = new AsyncDisposableStack();
  const server = inject('postgresUrl');
  const database = opening.use(await createDatabase(server));
  const clock = opening.use(await openClock(server, database));
  let serial = 0;
  const newId = (): string => `01MODEL${String(++serial).padStart(19, '0')}`;
  const store = opening.use(await openAgain(database, { newId }));
  const plays = fc.asyncProperty(fc.record({ maxSites: fc.constantFrom(1, 5), what: deeds }), async ({ maxSites, what }) => {
    serial = 0;
    await play({ clock, store, newId }, { maxSites, what });
  });
  const opened = opening.move();
  return {
    check: (runs, from) => fc.assert(plays, { numRuns: runs, ...from }),
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

type Play = { readonly maxSites: number; readonly what: readonly Deed[] };

async function play(ground: Ground, { maxSites, what }: Play): Promise<void> {
  await using world = await openWorld(ground, { maxSites });
  for (const { id, role } of PEOPLE) world.forge.person(id, role);
  for (const deed of what) {
    await doDeed(world, deed);
    convict(world, world.crimes);
  }
  await comeToRest(world);
  convict(world, await atRest(world));
  await world.wait(TERMS.maxTtlMs);
  for (const _ of ['first sweep', 'second sweep']) {
    world.enqueue('sweep', 'sweep');
    await world.drain();
  }
  convict(world, await atTheEnd(world));
}

function convict(world: World, crimes: readonly string[]): void {
  if (crimes.length > 0) throw new Error([...crimes, '', ...world.trace].join('\n'));
}

/** Nothing more happens; what was delivered is worked off, and the clock's loops run until they find nothing. */
async function comeToRest(world: World): Promise<void> {
  world.trace.push('— rest —');
  world.handing.isLost = false;
  world.handing.isDeaf = false;
  world.forge.repo.isAway = false;
  // Those that stand still come back when the others have taken their work over and done it.
  await world.drain();
  await world.wait(ROUND_MS);
  world.enqueue('sweep', 'sweep');
  await world.drain();
  for (const process of world.processes) process.isFrozen = false;
  let before = '';
  for (let round = 0; round < ROUNDS; round++) {
    for (const loop of ['sweep', 'reconcile'] as const) world.enqueue(loop, loop);
    await world.drain();
    const now = await rows(world);
    if (now === before) return;
    before = now;
    await world.wait(ROUND_MS);
  }
  convict(world, [`no rest after ${ROUNDS} rounds: ${before}`, ...world.crimes]);
}

/** What a look that finds nothing leaves as it is. */
async function rows({ clock }: World): Promise<string> {
  const { rows: found } = await clock.pool.query(
    'select id, status, sha, ends_at, queued_at, report_due, said_version from mayfly.sites order by id',
  );
  return JSON.stringify(found);
}

async function atRest(world: World): Promise<readonly string[]> {
  const { store, repository, forge, grounds, clock } = world;
  const found = [...world.crimes];
  const holders = await store.places.holders({ forge: repository.forge, id: repository.id });
  const isInReach = forge.repo.isOpen && (await store.repositories.find(repository.forge, repository.id)) !== undefined;
  for (const number of PULLS) {
    const settings = forge.pulls.get(number)?.base === 'main' ? forge.settings() : '';
    const ref = { forge: repository.forge, repository: repository.id, number };
    const site = await store.sites.findByPull(ref);
    const running = [...grounds.services.values()].filter((one) => one.site === site?.id).map(({ artefact }) => artefact.key);
    const ofPull = <T extends { readonly pull: number | null }>(all: readonly T[]): readonly T[] =>
      all.filter((one) => one.pull === number || one.pull === null);
    found.push(
      ...wrongs({
        ...{ pull: forge.pulls.get(number), site, running, commands: await store.commands.ofPull(ref, 500) },
        ...{ said: ofPull(world.said), touches: ofPull(world.touches), demoted: world.demoted, broken: world.broken },
        ...{ now: clock.now(), hasFreePlace: holders.length < world.maxSites, isInReach, settings },
      }),
    );
    const ours = [...forge.comments.values()].filter((one) => one.ours && one.number === number);
    if (ours.length > 1) found.push(`#${number} has ${ours.length} comments of ours`);
    if (site !== undefined && isToldOf(site) && isInReach && ours.length === 0) found.push(`#${number} has no comment of ours`);
  }
  return [...found, ...(await left(world))];
}

/** A site that ended with our access may have done so before anything was said, and afterwards nothing is. */
const isToldOf = (site: Site): boolean => site.status !== 'absent' && !(site.status === 'ended' && site.reason.kind === 'removed');

/** What nothing explains: things of sites that do not stand, deliveries that wait, words that were not said, other clocks. */
async function left({ store, grounds, clock, maxSites, repository }: World): Promise<readonly string[]> {
  const standing = new Set((await store.sites.standing({ after: null, limit: 100 })).map(({ id }) => id));
  const sites = [...grounds.stacks, ...[...grounds.services.values()].map(({ site }) => site), ...grounds.databases.values()];
  const orphans = sites.filter((site) => !standing.has(site)).map((site) => `something of ${site}, which does not stand, is left`);
  const waiting = (await store.inbox.pending(0, 10)).map((id) => `delivery ${id} waits`);
  const { rows } = await clock.pool.query<{ id: string; reason: string }>(
    'select id, reason from mayfly.deliveries where dead_at is not null',
  );
  const dead = rows.map(({ id, reason }) => `delivery ${id} is dead: ${reason}`);
  const unsettled = await store.sites.unsettled(10, { maxSites, forges: [repository.forge] });
  const unsaid = [...unsettled.report, ...unsettled.provision].map((id) => `${id} is unsettled`);
  const strangers = (await clock.strangers()).map((column) => `${column} does not go by our clock`);
  return [...orphans, ...waiting, ...dead, ...unsaid, ...strangers];
}

/** After its time no site is left, whatever else is (I6). */
async function atTheEnd(world: World): Promise<readonly string[]> {
  const standing = await world.store.sites.standing({ after: null, limit: 100 });
  return [...world.crimes, ...standing.map(({ id, status }) => `${id} is ${status} after its end`), ...(await left(world))];
}
