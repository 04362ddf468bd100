import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { faultPoint } from '../fault-points.ts';
import type { OperatorPolicy } from '../site/decide.ts';
import { candidatesOf, isAtHome, MAX_SITES_IN_REGION } from '../site/home.ts';
import { type LaunchId, type PullRef, type SiteId, shortSha, toLaunchId } from '../site/identity.ts';
import type { Held, NewId, Target, Watch } from '../site/ports.ts';
import { Fault } from '../site/problem.ts';
import { currentLaunch, type Site, type Stage } from '../site/site.ts';
import type { SiteNews } from '../site/site-news.ts';
import type { Launch, LaunchNotes, Store } from '../store/store.ts';
import { createStopwatch, type Stopwatch } from './stopwatch.ts';
import type { Turns } from './turns.ts';

/** After a start within this time, a launch waits until it is over… */
const START_APART_MS = 5_000;
/** …and until nobody has pushed for this long: ten pushes in five seconds make at most two launches. */
const QUIET_MS = 1_000;
/** A lease of the dead lives on for 15 s at most; looked at again often, since people wait. */
const LEASE_RETRY_MS = 1_000;
/** The comment comes first, so that people see `queued`; a forge that is slow must not hold a launch up for longer than this. */
const FIRST_WORD_MS = 2_000;
const FIRST_WORD_LOOK_MS = 25;

/** The log of one launch while it runs. `tail` is masked and cleaned. */
export interface LaunchLog extends AsyncDisposable {
  write(chunk: string): void;
  tail(): Promise<string>;
}

/** What one launch hands to the stages. They throw a Fault, or whatever their abort threw. */
export type Run = {
  readonly site: Site;
  readonly launch: LaunchId;
  readonly held: Held;
  readonly watch: Watch;
  /** Tells the comment's small print. */
  readonly note: (notes: LaunchNotes) => Promise<void>;
  /** From now on these values are masked in the log. */
  readonly hide: (secrets: readonly string[]) => void;
};
type Succeeded = Extract<SiteNews, { type: 'launchSucceeded' }>;

export type ProvisionParts = {
  readonly store: Store;
  readonly target: Target;
  /** Fetches, builds and deploys; resolves with what would answer visitors. */
  readonly stages: (run: Run) => Promise<Succeeded['live']>;
  /** The site rests on what this launch was made of and on nothing else; null: on nothing at all. */
  readonly useOnly: (site: SiteId, launch: LaunchId | null) => Promise<void>;
  /** Drops what was kept of a repository that is out of our reach. */
  readonly forgetSource: (pull: PullRef) => Promise<void>;
  /** Sites that one repository may have at once, and the regions that they may be in. */
  readonly policy: Pick<OperatorPolicy, 'maxSites' | 'region' | 'regions' | 'target'>;
  readonly turns: Turns;
  readonly openLog: (site: SiteId, launch: LaunchId) => Promise<LaunchLog & { hide(secrets: readonly string[]): void }>;
  readonly metrics: { launched(outcome: string, code: string): void; staged(stage: string, ms: number): void };
  readonly newId: NewId;
  readonly log: Logger;
};

/**
 * Does what a site's row asks for, step by step, until it asks for nothing more. The row is read again after each step, under the
 * site's lease: nothing read before a slow call is trusted after it. Returns the milliseconds after which to come back, or null.
 * @param stop aborted when Mayfly stops; the row stays as it is, and another worker goes on
 */
export async function provision(parts: ProvisionParts, id: SiteId, stop: AbortSignal): Promise<number | null> {
  const behind = await whenNext(parts, id);
  if (behind > 0) return behind;
  await using held = await parts.store.leases.take(`site:${id}`);
  if (held === undefined) return LEASE_RETRY_MS;
  await faultPoint('lease-taken');
  while (!stop.aborted && !held.signal.aborted) {
    const site = await parts.store.sites.find(id);
    switch (site?.status) {
      case 'queued':
      case 'building':
      case 'deploying': {
        const wait = await whenMayStart(parts, site, held);
        if (wait !== 0) return wait;
        const full = parts.turns.wait(site.pull, await parts.store.places.before(id));
        if (full > 0) return full;
        using _turn = parts.turns.begin(site.pull);
        await firstWord(parts.store, site, stop);
        await launch(parts, site, { held, stop });
        break;
      }
      case 'ending':
        await parts.target.destroy(held, id, { signal: AbortSignal.any([held.signal, stop]) });
        await faultPoint('destroyed');
        await parts.useOnly(id, null);
        if (site.reason.kind === 'removed') await parts.forgetSource(site.pull);
        await parts.store.apply(id, { type: 'removalFinished' }, { held });
        parts.log.info({ site: id }, 'site removed');
        break;
      default:
        return null;
    }
  }
  return LEASE_RETRY_MS;
}

/**
 * Milliseconds after which one that has its place asks again for a worker. Asked without the lease: who has that is in nobody's way, and
 * that it was not given back says of an interrupted launch that its worker died.
 */
async function whenNext({ store, turns }: ProvisionParts, id: SiteId): Promise<number> {
  const site = await store.sites.find(id);
  const waits = site?.status === 'queued' ? site.place === 'taken' : site?.status === 'building' || site?.status === 'deploying';
  return site && waits ? turns.wait(site.pull, await store.places.before(id)) : 0;
}

/** Milliseconds until it may start; null while it waits for a place: whoever gives one up has it woken. */
async function whenMayStart({ store, policy }: ProvisionParts, site: Site, held: Held): Promise<number | null> {
  const candidates = candidatesOf(site, policy);
  const hasPlace = candidates === null ? site.place === 'taken' : isAtHome(site, candidates);
  const rooms = candidates && { candidates, max: MAX_SITES_IN_REGION };
  const placed = hasPlace ? site : (await store.claimPlace(site.id, { held, max: policy.maxSites, rooms })).site;
  return placed.place === 'taken' && placed.home.full === null ? tooSoon(store, site) : null;
}

async function tooSoon(store: Store, site: Site): Promise<number> {
  const { startedAt, now } = await store.launches.lastStart(site.id);
  if (startedAt === null || now.getTime() - startedAt.getTime() >= START_APART_MS) return 0;
  return Math.max(startedAt.getTime() + START_APART_MS - now.getTime(), site.pushedAt.getTime() + QUIET_MS - now.getTime(), 0);
}

/** Waits for the pull's first comment, a little. */
async function firstWord(store: Store, site: Site, stop: AbortSignal): Promise<void> {
  for (const end = performance.now() + FIRST_WORD_MS; performance.now() < end && !stop.aborted; await delay(FIRST_WORD_LOOK_MS)) {
    const { version } = await store.reports.get(site.id);
    if (version > 0) return;
  }
}

type Under = { readonly held: Held; readonly stop: AbortSignal };

async function launch(parts: ProvisionParts, site: Site, { held, stop }: Under): Promise<void> {
  const { store } = parts;
  const id = toLaunchId(parts.newId());
  const log = parts.log.child({ site: site.id, sha: site.head.sha, launch: id });
  const { now } = await store.launches.lastStart(site.id);
  const queuedMs = site.status === 'queued' ? now.getTime() - site.since.getTime() : 0;
  await store.launches.start({ id, site: site.id, sha: site.head.sha, queuedMs }, { held });
  await faultPoint('launch-row-written');
  const started = await store.apply(site.id, { type: 'launchStarted', launch: id, sha: site.head.sha }, { held });
  if (currentLaunch(started.site) !== id) return store.launches.finish(id, { outcome: 'superseded', reason: null, tail: '' });
  await faultPoint('launch-started');

  using overtaken = watchForOvertaking(store, started.site, log);
  await using launchLog = await parts.openLog(site.id, id);
  const stopwatch = createStopwatch('fetch');
  const news = inOrder(parts, { site: started.site, launch: id, held, stopwatch });
  const rest: Promise<void>[] = [];
  const signal = AbortSignal.any([held.signal, stop, overtaken.signal]);
  const watch: Watch = { signal, log: launchLog.write, entered: news.entered, later: (more) => void rest.push(more) };
  const note = (notes: LaunchNotes): Promise<void> => store.launches.note(id, { notes }, { held });
  launchLog.write(`Launching ${shortSha(site.head.sha)}\n`);
  const losses = store.losses();
  let end: Pick<Launch, 'outcome' | 'reason'>;
  let away: Fault | null = null;
  try {
    const run = { site: started.site, launch: id, held, watch, note, hide: (secrets: readonly string[]) => launchLog.hide(secrets) };
    const live = await parts.stages(run).finally(() => Promise.all(rest));
    await news.settled();
    await store.launches.note(id, { stages: stopwatch.stop() }, { held });
    const done = await store.apply(site.id, { type: 'launchSucceeded', launch: id, sha: site.head.sha, live }, { held });
    await faultPoint('launch-succeeded');
    end = { outcome: done.changed ? 'succeeded' : 'superseded', reason: null };
  } catch (error) {
    await news.settled();
    if (held.signal.aborted) return;
    // The engine keeps its state in the same database: one that was away is no verdict, the launch is made again.
    away = isAway(error) && !overtaken.signal.aborted ? error : null;
    const stopped = stop.aborted || away !== null || store.losses() !== losses;
    const failure: Failure = { error, during: stopwatch.current, overtaken: overtaken.signal.aborted, stopped };
    // Before the row changes, as above: the comment is written as soon as it has.
    await store.launches.note(id, { stages: stopwatch.stop() }, { held });
    end = await explain(parts, { site: started.site, launch: id, held, log, tail: () => launchLog.tail() }, failure);
  }
  await finish(parts, { site: site.id, launch: id, held, stopwatch, log }, { ...end, tail: await launchLog.tail() });
  if (away !== null) throw away;
}

/** The forge does not answer, or asked for a pause: no verdict on the commit. The queue comes back when the forge may be asked again. */
const isAway = (error: unknown): error is Fault =>
  error instanceof Fault && (error.code === 'forge-limited' || error.code === 'forge-unreachable');

type Failure = { readonly error: unknown; readonly during: Stage; readonly overtaken: boolean; readonly stopped: boolean };
type Failing = {
  readonly site: Site;
  readonly launch: LaunchId;
  readonly held: Held;
  readonly log: Logger;
  readonly tail: () => Promise<string>;
};

/** Tells the row why a launch came to nothing. One that was overtaken or interrupted has nothing to tell. */
async function explain(parts: ProvisionParts, failing: Failing, failure: Failure): Promise<Pick<Launch, 'outcome' | 'reason'>> {
  const { error, during } = failure;
  if (failure.overtaken) return { outcome: 'superseded', reason: null };
  if (failure.stopped) return { outcome: 'abandoned', reason: null };
  const fault = error instanceof Fault ? error : new Fault('unexpected', { cause: error });
  // A fault that the commit's author can mend is no news to the operator; everything else is.
  if (fault.cause === undefined) failing.log.info({ code: fault.code, details: fault.details, during }, 'launch failed');
  else failing.log.error({ err: error, code: fault.code, during }, 'launch failed');
  const { launch, site, held } = failing;
  if (fault.code === 'approval-void') {
    await parts.store.apply(site.id, { type: 'approvalLapsed', sha: site.head.sha }, { held });
    return { outcome: 'superseded', reason: null };
  }
  const reason = { during, code: fault.code, details: { ...fault.details, launch } };
  // The log's end is stored first: the comment is written as soon as the row has changed.
  await parts.store.launches.finish(launch, { outcome: 'failed', reason, tail: await failing.tail() }, { held });
  const applied = await parts.store.apply(site.id, { type: 'launchFailed', launch, sha: site.head.sha, ...reason }, { held });
  return applied.changed ? { outcome: 'failed', reason } : { outcome: 'superseded', reason: null };
}

type Finishing = {
  readonly site: SiteId;
  readonly launch: LaunchId;
  readonly held: Held;
  readonly stopwatch: Stopwatch;
  readonly log: Logger;
};

async function finish(parts: ProvisionParts, done: Finishing, end: Pick<Launch, 'outcome' | 'reason' | 'tail'>): Promise<void> {
  const { store, metrics } = parts;
  const stages = done.stopwatch.stop();
  await store.launches.note(done.launch, { stages }, done);
  await store.launches.finish(done.launch, end, done);
  metrics.launched(end.outcome ?? 'none', end.reason?.code ?? 'none');
  for (const [stage, ms] of Object.entries(stages)) metrics.staged(stage, ms);
  done.log.info({ outcome: end.outcome, stages }, 'launch over');
  // What visitors get now is what the row says; every other revision goes.
  const now = await store.sites.get(done.site);
  const keep = now.live?.revision ?? null;
  await faultPoint('before-settle');
  await parts.target.settle(done.held, done.site, keep);
  await parts.useOnly(done.site, keep);
}

/** Applies the stages as they are entered, one after the other, and times them. */
function inOrder(
  parts: ProvisionParts,
  {
    site,
    launch: id,
    held,
    stopwatch,
  }: { readonly site: Site; readonly launch: LaunchId; readonly held: Held; readonly stopwatch: Stopwatch },
): { entered(stage: Stage): void; settled(): Promise<void> } {
  let last: Promise<unknown> = Promise.resolve();
  return {
    entered(stage) {
      if (stage === stopwatch.current) return;
      stopwatch.enter(stage);
      last = last
        .then(() => parts.store.apply(site.id, { type: 'stageEntered', launch: id, sha: site.head.sha, stage }, { held }))
        // Only the comment would be a stage behind; whatever is really wrong shows itself at the next step.
        .catch((error: unknown) => parts.log.warn({ err: error, site: site.id, stage }, 'a stage could not be told'));
    },
    settled: () => last.then(() => undefined),
  };
}

/** A signal that is aborted as soon as the site's row is no longer in this launch: a newer commit, a close, an end. */
function watchForOvertaking(store: Store, site: Site, log: Logger): Disposable & { readonly signal: AbortSignal } {
  const controller = new AbortController();
  const launch = currentLaunch(site);
  const look = async (): Promise<void> => {
    const now = await store.sites.find(site.id);
    if (now === undefined || currentLaunch(now) !== launch || now.head.sha !== site.head.sha) controller.abort(new Error('overtaken'));
  };
  const lookAgain = (): void => {
    // A database that is away for a moment: the change is seen by `apply` at the latest.
    look().catch((error: unknown) => log.warn({ err: error }, 'could not look whether the launch was overtaken'));
  };
  const subscription = store.onChange((change) => {
    if (change === 'resync' || change.site === site.id) lookAgain();
  });
  // What changed between the launch's start and the subscription.
  lookAgain();
  return { signal: controller.signal, [Symbol.dispose]: () => subscription[Symbol.dispose]() };
}
