import { setTimeout as wait } from 'node:timers/promises';
import { Fault } from '../../site/problem.ts';

/**
 * GitHub allows an installation about 80 content-creating requests a minute and 500 an hour
 * (https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api). A few are left for what else it does.
 */
const WINDOWS = [
  { ms: 60_000, max: 76 },
  { ms: 3_600_000, max: 480 },
] as const;
const LONGEST_MS = 3_600_000;
/** Shorter than this is waited out; a longer pause goes back to the queue. */
const PATIENCE_MS = 2_000;

export const limited = (until: number, cause?: unknown): Fault =>
  new Fault('forge-limited', { details: { until: new Date(until).toISOString() }, ...(cause === undefined ? {} : { cause }) });

export interface Limits {
  /** Throws Fault `forge-limited` while GitHub has asked this installation for a pause. */
  checkPause(installation: number): void;
  /** Takes one of the installation's content-creating requests, after a short wait if need be. Throws Fault `forge-limited`. */
  takeWrite(installation: number): Promise<void>;
  /** GitHub asked for a pause: nothing is asked until then. */
  pause(installation: number, until: number): void;
}

/** Keeps every installation within GitHub's limits, in this process. */
export function createLimits(now: () => number = Date.now): Limits {
  const writes = new Map<number, number[]>();
  const pauses = new Map<number, number>();

  /** When the next write may go, in milliseconds since the epoch; now or before when it may. */
  function nextWrite(installation: number): number {
    const recent = (writes.get(installation) ?? []).filter((at) => at > now() - LONGEST_MS);
    writes.set(installation, recent);
    return Math.max(...WINDOWS.map(({ ms, max }) => (recent.at(-max) ?? Number.NEGATIVE_INFINITY) + ms));
  }

  const limits: Limits = {
    checkPause(installation) {
      const until = pauses.get(installation) ?? 0;
      if (until > now()) throw limited(until);
      pauses.delete(installation);
    },
    async takeWrite(installation) {
      for (let next = nextWrite(installation); next > now(); next = nextWrite(installation)) {
        if (next - now() > PATIENCE_MS) throw limited(next);
        await wait(next - now());
      }
      writes.get(installation)?.push(now());
    },
    pause(installation, until) {
      pauses.set(installation, Math.max(until, pauses.get(installation) ?? 0));
    },
  };
  return limits;
}
