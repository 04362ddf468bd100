import type { Logger } from 'pino';
import { pause } from './expiry/clock.ts';

/** Milliseconds until a look that failed is taken again; doubled each time up to the second number. */
const AGAIN_MS = { first: 250, longest: 10_000 };

export type Look = {
  /** Safe to repeat; cheap when nothing has changed. */
  readonly look: () => Promise<void>;
  /** Milliseconds between two looks when nothing is told, for what was told and not heard. */
  readonly everyMs: number;
  readonly log: Logger;
};

/** Somebody who hears what is told from the beginning, and looks once there is something to look with. Disposing waits for the look under way. */
export interface Follower extends AsyncDisposable {
  /** From now on looks after each thing that was told, since `openFollower` too, and again after a look that failed until one succeeds. */
  start(look: Look): void;
}

/** @param subscribe to what tells that there is something new; what it tells is no more than that */
export function openFollower(subscribe: (told: () => void) => Disposable): Follower {
  const stop = new AbortController();
  const bell = createBell();
  const listening = subscribe(bell.ring);
  let looking: Promise<void> = Promise.resolve();
  return {
    start(look) {
      looking = keepLooking(look, bell, stop.signal);
    },
    async [Symbol.asyncDispose]() {
      listening[Symbol.dispose]();
      stop.abort();
      await looking;
    },
  };
}

async function keepLooking({ look, everyMs, log }: Look, bell: ReturnType<typeof createBell>, signal: AbortSignal): Promise<void> {
  let failures = 0;
  for (;;) {
    await bell.heard(failures === 0 ? everyMs : Math.min(AGAIN_MS.first * 2 ** (failures - 1), AGAIN_MS.longest), signal);
    if (signal.aborted) return;
    try {
      await look();
      failures = 0;
    } catch (error) {
      failures += 1;
      if (!signal.aborted) log.warn({ err: error, failures }, 'what has changed could not be read; it is tried again');
    }
  }
}

/** Rung while nobody listens, it is heard by whoever listens next. */
function createBell() {
  let rung = new AbortController();
  return {
    ring: (): void => rung.abort(),
    /** Resolves once it was rung since the last time, after `ms`, or with the signal. */
    async heard(ms: number, signal: AbortSignal): Promise<void> {
      await pause(ms, AbortSignal.any([rung.signal, signal]));
      rung = new AbortController();
    },
  };
}
