import { type Logger, pino } from 'pino';
import { openIntake } from '../../src/app/intake.ts';
import { openReporter } from '../../src/app/reporter.ts';
import { openExpiry } from '../../src/expiry/expiry.ts';
import { sweep } from '../../src/expiry/sweep.ts';
import { type ProvisionParts, provision } from '../../src/provision/launch.ts';
import { runStages } from '../../src/provision/stages.ts';
import { createTurns, type Turns } from '../../src/provision/turns.ts';
import type { OperatorPolicy } from '../../src/site/decide.ts';
import type { Claim } from '../../src/site/forge-event.ts';
import { type Repository, type Sha, type SiteId, toSiteId } from '../../src/site/identity.ts';
import type { Facts, Target } from '../../src/site/ports.ts';
import { LEASE_TIMES, openLeases } from '../../src/store/leases.ts';
import type { Leases, SiteChanged, Store } from '../../src/store/store.ts';
import type { ForgeDouble } from '../doubles/forge.ts';
import { type Grounds, openTargetDouble } from '../doubles/target.ts';
import { github } from '../store/open.ts';
import type { Clock } from './clock.ts';
import { type Allowing, createSight, type Sight, watchCommits } from './sight.ts';
import { type Step, stepping } from './steps.ts';

export const WORD = '/preview';
const PREVIEW_URL = new URL('http://preview.localhost:8080');
const MINUTE = 60_000;
export const TERMS = { ttlMs: 6 * 60 * MINUTE, maxTtlMs: 24 * 60 * MINUTE };
const EVERY = [{ pattern: '*', allow: true }];
const nothing = (): undefined => undefined;
const METRICS = { intook: nothing, launched: nothing, staged: nothing, reported: nothing, found: nothing };
const LOG = { write: nothing, tail: async () => '', hide: nothing, [Symbol.asyncDispose]: async () => undefined };

/** What the runs of one test share: making it takes longer than a run. */
export type Ground = { readonly clock: Clock; readonly store: Store; readonly newId: () => string };
export type JobKind = 'intake' | 'provision' | 'report' | 'sweep' | 'reconcile';
export type Enqueue = (kind: JobKind, id: string, delayMs?: number) => void;

/** A process of Mayfly: who holds leases. One that is frozen neither renews them nor goes on. */
export type Process = { readonly name: string; readonly leases: Leases & AsyncDisposable; readonly turns: Turns; isFrozen: boolean };

export function openProcess({ clock, newId }: Ground, log: Logger): Process {
  const name = newId();
  const leases = openLeases({ pool: clock.pool, holder: name, sessionName: (of) => `model:${of}`, times: LEASE_TIMES, log });
  const turns = createTurns({ launches: 4, wakeNext: () => undefined, now: clock.now });
  return { name, leases, turns, isFrozen: false };
}

/** What all of a run's jobs work on. */
export type Stage = {
  readonly ground: Ground;
  readonly repository: Repository;
  readonly forge: ForgeDouble;
  readonly grounds: Grounds;
  /** Commits that do not start. */
  readonly broken: ReadonlySet<string>;
  readonly allowings: readonly Allowing[];
  readonly crimes: string[];
  readonly handing: { readonly isDeaf: boolean };
  readonly enqueue: Enqueue;
  readonly queues: Parameters<typeof openExpiry>[0]['queues'];
  readonly maxSites: number;
  readonly log: Logger;
};
type Job = { readonly kind: JobKind; readonly id: string };
type Seat = { readonly process: Process; readonly step: Step };

/** How Mayfly does each job: its own code over the doubles, every call a step. */
export function createJobs(on: Stage): (job: Job, seat: Seat) => Promise<void> {
  const { ground, forge, enqueue, queues, maxSites, log } = on;
  const storeFor = openStoreFor(on);
  return async ({ kind, id }, seat) => {
    const { step, process } = seat;
    const store = storeFor(seat);
    const sight = createSight();
    const facts = sight.seeing(stepping(forge.facts, step, 'facts'));
    // The forge in memory keeps nothing of an installation that could be forgotten.
    const forget = (): void => undefined;
    const links = new Map([
      [github.id, { forge: github, facts, voice: stepping(forge.voice, step, 'voice'), confirm: async (event: Claim) => event, forget }],
    ]);
    const target = openTargetDouble({
      grounds: on.grounds,
      behaviourOf: ({ key }) => (on.broken.has(key) ? { ends: 'no luck' } : { answers: key }),
      check: process.leases.check,
      step,
    });
    const intake = openIntake({ store, links, policy: policyOf(on), word: WORD, running: target, metrics: METRICS, log });
    switch (kind) {
      case 'intake':
        return intake.handleDelivery(id);
      case 'report': {
        const later = async (site: SiteId, ms: number): Promise<void> => enqueue('report', site, ms);
        const words = { previewUrl: PREVIEW_URL, word: WORD, maxSites, target: 'local' } as const;
        return openReporter({ store, links, later, ...words, metrics: METRICS, log }).report(toSiteId(id));
      }
      case 'provision': {
        const parts = { ...provisioning(on, { store, facts, target, sight, step }), turns: process.turns, newId: ground.newId };
        const wait = await provision(parts, toSiteId(id), new AbortController().signal);
        if (wait !== null) enqueue('provision', id, wait);
        return;
      }
      case 'sweep': {
        const wake = { intake: queues.intake.nudge, provision: queues.provision.nudge, report: queues.report.nudge };
        await sweep(store, { ...wake, maxSites, forges: () => [...links.keys()] }, log);
        return;
      }
      case 'reconcile': {
        const { lookAtPull, endIfOutOfReach, addRepository } = intake;
        const doing = {
          lookAtPull,
          endIfOutOfReach,
          addRepository,
          stocks: { target },
          deliveries: new Map(),
          repositories: EVERY,
          dataDir: '/none',
          maxSites,
          metrics: METRICS,
          log,
        };
        const expiry = openExpiry({ store, queues, links, ...doing });
        await expiry.reconcileNow();
        // What is out of reach ends in the second round that finds it so.
        if (!forge.repo.isOpen) await expiry.reconcileNow();
        return;
      }
      default:
        return kind satisfies never;
    }
  };
}

/** What a job sees of the store; what is written there is told to whoever listens at that moment. */
function openStoreFor({ ground, repository, crimes, handing, maxSites }: Stage): (seat: Seat) => Store {
  const { store: raw } = ground;
  const listeners = new Set<(change: SiteChanged | 'resync') => void>();
  const told =
    <Args extends readonly unknown[], Done extends { site: { id: SiteId; host: string; version: number }; changed: boolean } | undefined>(
      write: (...args: Args) => Promise<Done>,
    ) =>
    async (...args: Args): Promise<Done> => {
      const applied = await write(...args);
      if (!applied?.changed || handing.isDeaf) return applied;
      const { id, host, version } = applied.site;
      for (const listener of [...listeners]) listener({ site: id, host, version });
      return applied;
    };
  return ({ process, step }) => {
    const store = stepping(raw, step, 'store');
    return {
      ...store,
      leases: { ...stepping(process.leases, step, 'leases'), sessionName: process.leases.sessionName },
      apply: told(store.apply),
      applyToPull: told(store.applyToPull),
      claimPlace: told(async (...args: Parameters<Store['claimPlace']>) => {
        const applied = await store.claimPlace(...args);
        const holders = await raw.places.holders(repository);
        if (holders.length > maxSites) crimes.push(`${holders.length} sites have places, of ${maxSites}`);
        return applied;
      }),
      losses: () => 0,
      onChange(listener) {
        listeners.add(listener);
        return { [Symbol.dispose]: () => void listeners.delete(listener) };
      },
    };
  };
}

type Launching = { readonly store: Store; readonly facts: Facts; readonly target: Target; readonly sight: Sight; readonly step: Step };
const SAID = { commentId: null, commentUrl: null, comment: null, checks: {}, deployments: {}, version: 1 };

/** A worker whose launches fetch and build in name only. */
function provisioning(on: Stage, { store, facts, target, sight, step }: Launching): Omit<ProvisionParts, 'turns' | 'newId'> {
  const commits = watchCommits({ ...on, sight, step });
  const stages = {
    store,
    facts: () => facts,
    source: () => ({ address: async () => ({ url: 'https://forge.example', authorization: null }), headRef: () => 'refs/heads/main' }),
    target,
    seeds: { keep: () => Promise.reject(new Error('there is no database')) },
    policy: policyOf(on),
    idleMs: 15 * MINUTE,
    url: (label: string) => `http://${label}.preview.localhost`,
    log: nothing,
    use: async () => undefined,
  };
  return {
    // A launch waits for its pull's first comment by this machine's clock, which has no say here.
    store: { ...store, reports: { ...store.reports, get: async () => SAID } },
    target,
    stages: (launch) => {
      const sources = { fetch: (order: { readonly sha: Sha }) => commits.fetch(launch.site, order.sha) };
      const builder = {
        ensureArtefact: ({ snapshot }: { readonly snapshot: { readonly sha: Sha } }) => commits.build(launch.site, snapshot.sha),
      };
      return runStages({ ...stages, sources, builder }, launch);
    },
    useOnly: async () => undefined,
    forgetSource: async () => undefined,
    policy: policyOf(on),
    openLog: async () => LOG,
    metrics: METRICS,
    log: on.log,
  };
}

const policyOf = ({ maxSites }: Pick<Stage, 'maxSites'>): OperatorPolicy => ({
  repositories: EVERY,
  terms: TERMS,
  region: 'europe-west1',
  regions: ['europe-west1'],
  target: 'local',
  maxSites,
});

/** A log in which nothing may stand that is a bug. */
export function listening(crimes: string[]): Logger {
  const write = (line: string): void => {
    const { err, msg }: { err?: { type?: string; message?: string; stack?: string }; msg?: string } = JSON.parse(line);
    if (err !== undefined && err.type !== 'Fault') crimes.push(`logged "${msg}": ${err.stack ?? err.message}`);
  };
  return pino({ level: 'warn' }, { write });
}
