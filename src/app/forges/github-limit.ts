import { setTimeout as wait } from 'node:timers/promises';
import { Fault } from '../../site/problem.ts';

/**
 * `content` is what people are notified of: comments and reactions. `passing` is content that the next word makes up for. `state` is the
 * rest: checks, deployments and their statuses.
 */
export type WriteKind = 'content' | 'passing' | 'state';
export type RequestKind = 'read' | WriteKind;

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
/** What is counted of an installation, and for how long each is remembered. */
const KEPT_MS = { points: MINUTE_MS, content: HOUR_MS, state: MINUTE_MS } as const;
type Counted = keyof typeof KEPT_MS;
type Window = { readonly of: Counted; readonly ms: number; readonly max: number; readonly cost: number };

const points = (cost: number): Window => ({ of: 'points', ms: MINUTE_MS, max: 880, cost });
const most = (max: number, of: Counted, ms: number): Window => ({ of, ms, max, cost: 1 });

/**
 * GitHub allows an installation about 80 content-creating requests a minute and 500 an hour, and 900 points a minute of which a read
 * costs 1 and a write 5 (https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api). A few of each are left for what
 * is not counted here. Writes take (76 + 84) × 5 = 800 points at most, so that reads go on. Once much was said in passing, the rest is
 * kept for first and last words: two hundred pulls in an hour have both.
 */
const WINDOWS: Readonly<Record<RequestKind, readonly Window[]>> = {
  read: [points(1)],
  content: [most(76, 'content', MINUTE_MS), most(480, 'content', HOUR_MS), points(5)],
  passing: [most(20, 'content', MINUTE_MS), most(80, 'content', HOUR_MS), points(5)],
  state: [most(84, 'state', MINUTE_MS), points(5)],
};
/** Shorter than this is waited out; a longer pause goes back to the queue. */
const PATIENCE_MS = 2_000;

export const limited = (until: number, cause?: unknown): Fault =>
  new Fault('forge-limited', { details: { until: new Date(until).toISOString() }, ...(cause === undefined ? {} : { cause }) });

export interface Limits {
  /** Throws Fault `forge-limited` while GitHub has asked this installation for a pause. */
  checkPause(installation: number): void;
  /** Takes one of the installation's requests, after a short wait if need be. Throws Fault `forge-limited`. */
  take(installation: number, kind: RequestKind): Promise<void>;
  /** GitHub asked for a pause: nothing is asked until then. */
  pause(installation: number, until: number): void;
  /** The installation is gone, and with it what it was allowed. */
  forget(installation: number): void;
}

type Spent = { readonly at: number; readonly cost: number };

/** Keeps every installation within GitHub's limits, in this process. */
export function createLimits(now: () => number = Date.now): Limits {
  const spent = new Map<number, Record<Counted, Spent[]>>();
  const pauses = new Map<number, number>();

  const spentBy = (installation: number): Record<Counted, Spent[]> => {
    const known = spent.get(installation) ?? { points: [], content: [], state: [] };
    spent.set(installation, known);
    return known;
  };

  /** When the next may go, in milliseconds since the epoch; now or before when it may. */
  function nextIn(installation: number, { of, ms, max, cost }: Window): number {
    const log = spentBy(installation)[of];
    log.splice(0, log.findLastIndex(({ at }) => at <= now() - KEPT_MS[of]) + 1);
    let left = max - cost;
    for (const one of log.toReversed()) {
      left -= one.cost;
      if (left < 0) return one.at + ms;
    }
    return Number.NEGATIVE_INFINITY;
  }

  const limits: Limits = {
    checkPause(installation) {
      const until = pauses.get(installation) ?? 0;
      if (until > now()) throw limited(until);
      pauses.delete(installation);
    },
    async take(installation, kind) {
      const next = (): number => Math.max(...WINDOWS[kind].map((window) => nextIn(installation, window)));
      for (let at = next(); at > now(); at = next()) {
        if (at - now() > PATIENCE_MS) throw limited(at);
        await wait(at - now());
      }
      const costs = new Map(WINDOWS[kind].map(({ of, cost }) => [of, cost]));
      for (const [of, cost] of costs) spentBy(installation)[of].push({ at: now(), cost });
    },
    pause(installation, until) {
      pauses.set(installation, Math.max(until, pauses.get(installation) ?? 0));
    },
    forget(installation) {
      pauses.delete(installation);
      spent.delete(installation);
    },
  };
  return limits;
}
