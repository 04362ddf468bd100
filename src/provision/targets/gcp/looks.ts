import { setTimeout as pause } from 'node:timers/promises';

/** Milliseconds between two looks, at the least and at the most. */
export type LookMs = { readonly least: number; readonly most: number };

export type Looks = {
  /** Milliseconds since these were opened. */
  readonly passed: () => number;
  /** Resolves when it is time for the next look; rejects when the signal is aborted. */
  readonly next: () => Promise<void>;
};

/** When to look whether Google is done with something. In between passes a sixtieth of what has passed: whoever waits hardly waits longer for it. */
export function openLooks({ least, most }: LookMs, signal?: AbortSignal): Looks {
  const started = performance.now();
  const passed = (): number => performance.now() - started;
  return {
    passed,
    next: () => pause(Math.min(Math.max(passed() / 60, least), most), undefined, signal ? { signal } : {}),
  };
}
