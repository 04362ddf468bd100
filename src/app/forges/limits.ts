import { setTimeout as wait } from 'node:timers/promises';
import { Fault } from '../../site/problem.ts';

/** So many in so many milliseconds, of what is counted under that name, of which one request takes `cost`. */
export type Window = { readonly of: string; readonly ms: number; readonly max: number; readonly cost: number };
/** What each kind of request has to fit into. */
export type Windows<Kind extends string> = Readonly<Record<Kind, readonly Window[]>>;

export const MINUTE_MS = 60_000;
export const HOUR_MS = 3_600_000;
/** The forge counts a request when it arrives, which may be so much after it was sent: what was late is still counted with what was not. */
export const TRAVEL_MS = 3_000;
/** Shorter than this is waited out; a longer pause goes back to the queue. */
const PATIENCE_MS = 2_000;

export const limited = (until: number, cause?: unknown): Fault =>
  new Fault('forge-limited', { details: { until: new Date(until).toISOString() }, ...(cause === undefined ? {} : { cause }) });

/** Throughout, `access` is whom the forge counts: an installation of the app, a token. */
export interface Limits<Kind extends string> {
  /** Throws Fault `forge-limited` while the forge has asked for a pause. */
  checkPause(access: string): void;
  /** Takes one request of its share, after a short wait if need be. Throws Fault `forge-limited`. */
  take(access: string, kind: Kind): Promise<void>;
  /** The forge asked for a pause: nothing is asked until then. */
  pause(access: string, until: number): void;
  /** The access is gone, and with it what it was allowed. */
  forget(access: string): void;
}

type Spent = { readonly at: number; readonly cost: number };

/** Keeps every access within what its forge allows, in this process. */
export function createLimits<Kind extends string>(windows: Windows<Kind>, now: () => number = Date.now): Limits<Kind> {
  const keptMs = new Map<string, number>();
  for (const { of, ms } of Object.values<readonly Window[]>(windows).flat()) keptMs.set(of, Math.max(ms, keptMs.get(of) ?? 0));
  const spent = new Map<string, Map<string, Spent[]>>();
  const pauses = new Map<string, number>();

  function spentBy(access: string, of: string): Spent[] {
    const known = spent.get(access) ?? new Map<string, Spent[]>();
    const log = known.get(of) ?? [];
    spent.set(access, known.set(of, log));
    return log;
  }

  /** When the next may go, in milliseconds since the epoch; now or before when it may. */
  function nextIn(access: string, { of, ms, max, cost }: Window): number {
    const log = spentBy(access, of);
    log.splice(0, log.findLastIndex(({ at }) => at <= now() - (keptMs.get(of) ?? 0) - TRAVEL_MS) + 1);
    let left = max - cost;
    for (const one of log.toReversed()) {
      left -= one.cost;
      if (left < 0) return one.at + ms + TRAVEL_MS;
    }
    return Number.NEGATIVE_INFINITY;
  }

  return {
    checkPause(access) {
      const until = pauses.get(access) ?? 0;
      if (until > now()) throw limited(until);
      pauses.delete(access);
    },
    async take(access, kind) {
      const next = (): number => Math.max(...windows[kind].map((window) => nextIn(access, window)));
      for (let at = next(); at > now(); at = next()) {
        if (at - now() > PATIENCE_MS) throw limited(at);
        await wait(at - now());
      }
      const costs = new Map(windows[kind].map(({ of, cost }) => [of, cost]));
      for (const [of, cost] of costs) spentBy(access, of).push({ at: now(), cost });
    },
    pause(access, until) {
      pauses.set(access, Math.max(until, pauses.get(access) ?? 0));
    },
    forget(access) {
      pauses.delete(access);
      spent.delete(access);
    },
  };
}
