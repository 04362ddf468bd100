import type { Stage } from '../site/site.ts';

export interface Stopwatch {
  readonly current: Stage;
  enter(stage: Stage): void;
  /** Milliseconds of every stage entered so far. */
  stop(): Partial<Record<Stage, number>>;
}

/** Times the stages of a launch; a stage that is entered twice adds up. */
export function createStopwatch(first: Stage): Stopwatch {
  const spent: Partial<Record<Stage, number>> = {};
  let current: Stage = first;
  let since = performance.now();
  const take = (): void => {
    const now = performance.now();
    spent[current] = (spent[current] ?? 0) + (now - since);
    since = now;
  };
  return {
    get current() {
      return current;
    },
    enter(stage) {
      take();
      current = stage;
    },
    stop() {
      take();
      return Object.fromEntries(Object.entries(spent).map(([stage, ms]) => [stage, Math.round(ms)]));
    },
  };
}
