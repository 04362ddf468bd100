import { setTimeout as delay } from 'node:timers/promises';
import type { Handlers, Queues } from '../../src/queues.ts';

/** Handlers for which there is nothing to do. */
export const idle: Handlers = { intake: async () => {}, provision: async () => {}, report: async () => {}, gaveUp: async () => {} };

/** Waits until `look` says so. */
export async function until(what: string, look: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 20_000; !(await look()); await delay(10)) {
    if (Date.now() > end) throw new Error(`waited 20 s for ${what}`);
  }
}

const CONCURRENCY = { intake: 2, provision: 2, report: 2 };

/** Starts work with handlers that do nothing but these. */
export const start = (queues: Queues, handlers: Partial<Handlers>, graceMs = 1_000): AsyncDisposable =>
  queues.work({ ...idle, ...handlers }, { concurrency: CONCURRENCY, graceMs });

/** A promise and its key, to hold work in the middle. */
export function gate(): { readonly open: () => void; readonly opened: Promise<void> } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { open: resolve, opened: promise };
}
