/** How long a site may live, in milliseconds: `ttlMs` after its last push or deploy, `maxTtlMs` however often it is extended. */
export type Terms = { readonly ttlMs: number; readonly maxTtlMs: number };

const capped = (end: number, clockStart: Date, terms: Terms): Date => new Date(Math.min(end, clockStart.getTime() + terms.maxTtlMs));

/**
 * The end after the clock was started anew at `clockStart`. An end that was extended further stays, within the limit.
 * @param before the end until now; null for a new life
 */
export function endAfterRestart(before: Date | null, terms: Terms, clockStart: Date): Date {
  return capped(Math.max(clockStart.getTime() + terms.ttlMs, before?.getTime() ?? 0), clockStart, terms);
}

/** The latest end there may be. */
export const endAtLimit = (terms: Terms, clockStart: Date): Date => new Date(clockStart.getTime() + terms.maxTtlMs);

/** The end `byMs` later, never past the limit and never earlier than it was. */
export function endAfterExtension(before: Date, byMs: number, clock: { readonly clockStart: Date; readonly terms: Terms }): Date {
  const extended = capped(before.getTime() + byMs, clock.clockStart, clock.terms);
  return extended < before ? before : extended;
}

/** The end under terms that may have become shorter: never past the limit, else as it was. */
export function endWithin(end: Date, clock: { readonly clockStart: Date; readonly terms: Terms }): Date {
  return capped(end.getTime(), clock.clockStart, clock.terms);
}

/** An end this close is said in the comment. */
const NEAR_MS = 3_600_000;

/** Whether the end is more than an hour away. */
export const isFar = (end: Date, from: Date): boolean => end.getTime() - from.getTime() > NEAR_MS;

const UNITS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 } as const;
/** A duration longer than this is a typing mistake, and a Date could not hold its sums. */
const LONGEST_MS = 3_650 * UNITS.d;

/** `90s`, `15m`, `36h`, `3d`, `2w` in milliseconds; undefined for anything else, for zero and for more than ten years. */
export function parseDuration(text: string): number | undefined {
  const parts = /^([0-9]{1,7})([smhdw])$/.exec(text);
  if (!parts) return undefined;
  const ms = Number(parts[1]) * UNITS[parts[2] as keyof typeof UNITS];
  return ms > 0 && ms <= LONGEST_MS ? ms : undefined;
}
