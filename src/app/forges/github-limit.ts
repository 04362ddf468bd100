import { setTimeout as wait } from 'node:timers/promises';
import { Fault } from '../../site/problem.ts';

/**
 * `content` is what people are notified of: comments and reactions. `passing` is content that the next word makes up for. `state` is the
 * rest: checks, deployments and their statuses.
 */
export type WriteKind = 'content' | 'passing' | 'state';

/**
 * GitHub allows an installation about 80 content-creating requests a minute and 500 an hour, and 900 points a minute of which every
 * write costs 5 (https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api). A few of each are left for what else it
 * does: (76 + 84) × 5 = 800 points, and 100 reads. Once much was said in passing, the rest is kept for first and last words: two
 * hundred pulls in an hour have both.
 */
const WINDOWS = {
  content: [
    { ms: 60_000, max: 76 },
    { ms: 3_600_000, max: 480 },
  ],
  passing: [
    { ms: 60_000, max: 20 },
    { ms: 3_600_000, max: 80 },
  ],
  state: [{ ms: 60_000, max: 84 }],
} as const satisfies Record<WriteKind, readonly { ms: number; max: number }[]>;
const LONGEST_MS = 3_600_000;
/** Shorter than this is waited out; a longer pause goes back to the queue. */
const PATIENCE_MS = 2_000;

export const limited = (until: number, cause?: unknown): Fault =>
  new Fault('forge-limited', { details: { until: new Date(until).toISOString() }, ...(cause === undefined ? {} : { cause }) });

export interface Limits {
  /** Throws Fault `forge-limited` while GitHub has asked this installation for a pause. */
  checkPause(installation: number): void;
  /** Takes one of the installation's writes, after a short wait if need be. Throws Fault `forge-limited`. */
  takeWrite(installation: number, kind: WriteKind): Promise<void>;
  /** GitHub asked for a pause: nothing is asked until then. */
  pause(installation: number, until: number): void;
  /** The installation is gone, and with it what it was allowed. */
  forget(installation: number): void;
}

/** Keeps every installation within GitHub's limits, in this process. */
export function createLimits(now: () => number = Date.now): Limits {
  const content = new Map<number, number[]>();
  const writes = { content, passing: content, state: new Map<number, number[]>() };
  const pauses = new Map<number, number>();

  /** When the next write may go, in milliseconds since the epoch; now or before when it may. */
  function nextWrite(installation: number, kind: WriteKind): number {
    const recent = (writes[kind].get(installation) ?? []).filter((at) => at > now() - LONGEST_MS);
    writes[kind].set(installation, recent);
    return Math.max(...WINDOWS[kind].map(({ ms, max }) => (recent.at(-max) ?? Number.NEGATIVE_INFINITY) + ms));
  }

  const limits: Limits = {
    checkPause(installation) {
      const until = pauses.get(installation) ?? 0;
      if (until > now()) throw limited(until);
      pauses.delete(installation);
    },
    async takeWrite(installation, kind) {
      for (let next = nextWrite(installation, kind); next > now(); next = nextWrite(installation, kind)) {
        if (next - now() > PATIENCE_MS) throw limited(next);
        await wait(next - now());
      }
      writes[kind].get(installation)?.push(now());
    },
    pause(installation, until) {
      pauses.set(installation, Math.max(until, pauses.get(installation) ?? 0));
    },
    forget(installation) {
      pauses.delete(installation);
      for (const kind of Object.values(writes)) kind.delete(installation);
    },
  };
  return limits;
}
