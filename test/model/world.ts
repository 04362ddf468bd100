import { handOn } from '../../src/effects.ts';
import type { ForgeEvent } from '../../src/site/forge-event.ts';
import { Fault } from '../../src/site/problem.ts';
import { createForge, type ForgePull, type ForgeUser, repositoryOf } from '../doubles/forge.ts';
import { createGrounds } from '../doubles/target.ts';
import { github } from '../store/open.ts';
import { createJobs, type Enqueue, type Ground, type JobKind, listening, openProcess, type Process, WORD } from './jobs.ts';
import type { Allowing } from './sight.ts';
import { type Steps, startSteps } from './steps.ts';

type Pending = { readonly kind: JobKind; readonly id: string; readonly dueAt: number };
type Active = { readonly job: Pending; readonly steps: Steps; readonly process: Process };
type Mail = { readonly id: string; readonly event: ForgeEvent };
/** What somebody wrote, `at` which whole second, and what the head was then. Its id is later than whatever happened before. */
export type SaidByPeople = {
  readonly id: number;
  readonly at: number;
  readonly pull: number;
  readonly by: number;
  readonly words: string;
  readonly sha: string;
};
export type Touch = {
  /** Null: of all. */
  readonly pull: number | null;
  readonly how: 'access' | 'pushed' | 'closed' | 'reopened' | 'retargeted' | 'drafted' | 'fork deleted';
  readonly at: number;
};
/** More than that comes of nothing: it turns in circles. */
const MOST_JOBS = 400;
export type World = Awaited<ReturnType<typeof openWorld>>;

/**
 * A Mayfly of several processes, whose every call to the database, the forge and the target is made when the test says so; beside it a
 * forge and a target in memory, and what people and machines do to it. Everything but the outer edges is Mayfly's own code.
 */
export async function openWorld(ground: Ground, { maxSites }: { readonly maxSites: number }) {
  const { clock, store: raw, newId } = ground;
  await clock.reset();
  const repository = repositoryOf(github.id, 1);
  const forge = createForge(repository);
  const grounds = createGrounds();
  const broken = new Set<string>();
  const allowings: Allowing[] = [];
  const crimes = grounds.crimes;
  const trace: string[] = [];
  const pending: Pending[] = [];
  const active: Active[] = [];
  const mail: Mail[] = [];
  /** Whether what a change asks for is lost, as in a crash right after the commit; whether nobody hears of changes as they come. */
  const handing = { isLost: false, isDeaf: false };
  const log = listening(crimes);
  await raw.repositories.ensureForge(github);
  // Told when the app was installed.
  await raw.repositories.seen(repository);

  const enqueue: Enqueue = (kind, id, delayMs = 0) => void pending.push({ kind, id, dueAt: clock.now() + delayMs });
  const queueOf = (kind: JobKind) => {
    const add = async (id: string, options: { readonly delayMs?: number } = {}): Promise<void> => enqueue(kind, id, options.delayMs);
    return { add, nudge: add };
  };
  const queues = { intake: queueOf('intake'), provision: queueOf('provision'), report: queueOf('report') };
  raw.onEffects(async (site, effects) => {
    if (!handing.isLost) await handOn({ store: raw, queues }, site, effects);
  });

  const run = createJobs({ ground, handing, repository, forge, grounds, broken, allowings, crimes, enqueue, queues, maxSites, log });
  const processes: Process[] = [openProcess(ground, log), openProcess(ground, log)];

  const failed = (job: Pending, error: unknown): void => {
    trace.push(`  ${job.kind} failed: ${String(error)}`);
    // The queue would try again, and at last give up: the sweep comes back to all of it.
    if (!(error instanceof Fault)) crimes.push(`${job.kind} ${job.id} threw ${error instanceof Error ? error.stack : String(error)}`);
  };
  const start = async (job: Pending, process: Process): Promise<Active> => {
    const steps = await startSteps((step) => run(job, { process, step }).catch((error: unknown) => failed(job, error)));
    const started = { job, steps, process };
    if (!steps.isOver()) active.push(started);
    return started;
  };
  const advance = async (it: Active, pick: number): Promise<void> => {
    const next = it.steps.next();
    trace.push(`  ${it.job.kind} ${it.job.id.slice(-3)}: ${next[pick % Math.max(next.length, 1)] ?? '-'}`);
    await it.steps.advance(pick);
    if (it.steps.isOver()) active.splice(active.indexOf(it), 1);
  };
  const finish = async (it: Active): Promise<void> => {
    while (!it.steps.isOver()) await advance(it, 0);
  };
  /** Works until nothing is left to do but what waits for a time beyond `patienceMs`. */
  const drain = async (patienceMs = 10_000): Promise<void> => {
    const end = clock.now() + patienceMs;
    for (let count = 0; count < MOST_JOBS; count++) {
      const process = processes.find(({ isFrozen }) => !isFrozen);
      const under = active.find((it) => !it.process.isFrozen);
      const next = pending.toSorted((a, b) => a.dueAt - b.dueAt)[0];
      if (under) await finish(under);
      else if (next === undefined || process === undefined || next.dueAt > end) return;
      else {
        if (next.dueAt > clock.now()) await clock.advance(next.dueAt - clock.now(), living());
        pending.splice(pending.indexOf(next), 1);
        await finish(await start(next, process));
      }
    }
    crimes.push(`no rest after ${MOST_JOBS} jobs: ${JSON.stringify(pending)}`);
  };
  const living = (): readonly string[] => processes.filter(({ isFrozen }) => !isFrozen).map(({ name }) => name);

  return {
    clock,
    store: raw,
    repository,
    forge,
    grounds,
    broken,
    allowings,
    crimes,
    trace,
    pending,
    active,
    mail,
    processes,
    handing,
    maxSites,
    enqueue,
    start,
    advance,
    finish,
    drain,
    demoted: new Set<number>(),
    said: [] as SaidByPeople[],
    touches: [] as Touch[],
    /** Something was changed on the forge. */
    changed(how: Touch['how'], pull?: ForgePull): void {
      this.touches.push({ pull: pull?.number ?? null, how, at: forge.next() });
    },
    /** Somebody writes a comment with one command. */
    say(pull: ForgePull, author: ForgeUser, words: string): void {
      const comment = forge.say(pull.number, 'a person', `${WORD} ${words}`);
      if (words.startsWith('approve'))
        allowings.push({ pull: pull.number, by: author.id, shas: words === 'approve' ? [...pull.shas] : [pull.sha] });
      // Forges write times in whole seconds.
      const at = Math.floor(clock.now() / 1_000) * 1_000;
      const writtenAt = new Date(at).toISOString().replace('.000Z', 'Z');
      this.said.push({ id: comment.id, at, pull: pull.number, by: author.id, words, sha: pull.sha });
      const event = { type: 'commentWritten', repository, number: pull.number } as const;
      const { id, login } = author;
      const told = {
        ...event,
        comment: { id: String(comment.id), body: comment.body, writtenAt },
        author: { id, login, kind: 'person' },
      } as const;
      mail.push({ id: newId(), event: told });
    },
    wait: (ms: number): Promise<void> => clock.advance(ms, living()),
    tell: (event: ForgeEvent): void => void mail.push({ id: newId(), event }),
    async deliver({ id, event }: Mail): Promise<void> {
      const stored = await raw.inbox.put({ id, forge: github.id, event, digest: id });
      if (stored === 'stored' || stored === 'again') enqueue('intake', id);
    },
    /** The process is gone in the middle of all that it did; its leases stay until their time is up, and another comes in its place. */
    async crash(index: number): Promise<readonly Pending[]> {
      const dead = processes[index];
      if (dead === undefined) return [];
      processes[index] = openProcess(ground, log);
      await clock.pool.query(`update mayfly.leases set holder = 'dead ' || holder where holder = $1`, [dead.name]);
      await dead.leases[Symbol.asyncDispose]();
      const left = active.filter(({ process }) => process === dead);
      for (const it of left) active.splice(active.indexOf(it), 1);
      return left.map(({ job }) => job);
    },
    async [Symbol.asyncDispose]() {
      for (const { leases } of processes) await leases[Symbol.asyncDispose]();
    },
  };
}
