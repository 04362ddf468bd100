import { Fault, PROBLEMS } from './site/problem.ts';

/** Waits before each further attempt, in milliseconds; after the last the work is given up. */
const SOON_MS = [1_000, 2_000, 4_000, 8_000, 16_000];
const LATER_MS = [30_000, 60_000, 120_000, 240_000, 480_000];
/** A forge that asks for a pause is asked again when it is over: at least a second, at most an hour, for as many times. */
const PAUSE_MS = { shortest: 1_000, longest: 3_600_000, unknown: 60_000 };
const MAX_PAUSES = 20;

/**
 * How long to wait before the work that failed is tried again; null when it is not.
 * @param error a Fault's row in `PROBLEMS` says which class it is; anything else is a bug, which may be gone later
 * @param attempt the one that failed, from 1
 */
export function retryDelay(error: unknown, attempt: number, now: Date = new Date()): number | null {
  if (isAway(error)) return SOON_MS[attempt - 1] ?? null;
  const code = error instanceof Fault ? error.code : 'unexpected';
  if (error instanceof Fault && code === 'forge-limited') return attempt > MAX_PAUSES ? null : pause(error.details.until, now);
  switch (PROBLEMS[code].retry) {
    case 'soon':
      return SOON_MS[attempt - 1] ?? null;
    case 'later':
      return LATER_MS[attempt - 1] ?? null;
    case 'never':
      return null;
    default:
      return PROBLEMS[code] satisfies never;
  }
}

/** Connections that are refused or lost, a database that starts or stops, has no place left, or found two transactions in each other's way. */
const AWAY = /^(?:ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|08\d{3}|57P0[1-5]|53300|40001|40P01)$/;
const isAway = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' && !(error instanceof Fault) && AWAY.test(error.code);

function pause(until: string | undefined, now: Date): number {
  const asked = until === undefined ? Number.NaN : Date.parse(until) - now.getTime();
  return Number.isNaN(asked) ? PAUSE_MS.unknown : Math.min(Math.max(asked, PAUSE_MS.shortest), PAUSE_MS.longest);
}
