import type { Logger } from 'pino';

export type Loop = {
  readonly name: string;
  readonly everyMs: number;
  /** What the loop does; `signal` is aborted when Mayfly stops. */
  readonly run: (signal: AbortSignal) => Promise<void>;
};

/** Each pause is longer by up to this share of it, so that many Mayflys do not beat as one. */
const JITTER = 0.1;

/**
 * Runs each loop at once and then again `everyMs` after it ended: two rounds of one loop never overlap. A round that throws is logged
 * and tried again at its next time. Disposing waits for the rounds under way.
 */
export function startLoops(loops: readonly Loop[], log: Logger): AsyncDisposable {
  const stop = new AbortController();
  const running = loops.map((loop) => keepRunning(loop, { signal: stop.signal, log: log.child({ loop: loop.name }) }));
  return {
    async [Symbol.asyncDispose]() {
      stop.abort();
      await Promise.all(running);
    },
  };
}

async function keepRunning(loop: Loop, { signal, log }: { readonly signal: AbortSignal; readonly log: Logger }): Promise<void> {
  while (!signal.aborted) {
    try {
      await loop.run(signal);
    } catch (error) {
      // The loop is the guarantee behind everything else: a database that is away for a moment must not end it.
      if (!signal.aborted) log.warn({ err: error }, 'loop failed; tried again at its next time');
    }
    await pause(loop.everyMs * (1 + Math.random() * JITTER), signal);
  }
}

/** Resolves after `ms`, or as soon as the signal is aborted. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const timer = setTimeout(done, ms);
    function done() {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    }
    signal.addEventListener('abort', done);
  });
}
