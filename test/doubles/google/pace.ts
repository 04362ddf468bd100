import { setTimeout as delay } from 'node:timers/promises';

/** How long things take on Google Cloud, in milliseconds; what the stand-in itself takes is within it. Tests do without. */
export type Pace = {
  /** A call to an API, over HTTP or by Google's Pulumi provider. */
  readonly call: number;
  /** An upload of source. */
  readonly upload: number;
  /** A build from its turn to its end. */
  readonly build: number;
  /** A revision until its container is started; the app's own start comes after it. */
  readonly revision: number;
  /** A service or an image until it is gone. */
  readonly removal: number;
  /** From one look of Google's Pulumi provider at an operation to its next; the first is at once. */
  readonly look: number;
  /** Before each of the three looks that Google's Pulumi provider takes at a policy that it has set. */
  readonly reread: number;
};
export const AT_ONCE: Pace = { call: 0, upload: 0, build: 0, revision: 0, removal: 0, look: 0, reread: 0 };

/** Something that Google did, by `performance.now()`. */
export type Took = { readonly what: string; readonly from: number; readonly to: number };

/** Lets things take as long as on Google Cloud, and notes when they were. */
export interface Pacer {
  readonly pace: Pace;
  /** In the order in which they ended. */
  readonly took: readonly Took[];
  /** Resolves or rejects as `deed` does, `least` milliseconds after now or later. */
  during<T>(what: string, least: number, deed: () => Promise<T>): Promise<T>;
}

export function openPacer(pace: Pace): Pacer {
  const took: Took[] = [];
  return {
    pace,
    took,
    async during(what, least, deed) {
      const from = performance.now();
      try {
        return await deed();
      } finally {
        const left = from + least - performance.now();
        if (left > 0) await delay(left);
        took.push({ what, from, to: performance.now() });
      }
    },
  };
}
