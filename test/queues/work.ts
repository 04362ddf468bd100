import { setTimeout as delay } from 'node:timers/promises';
import type { Handlers } from '../../src/queues.ts';

/** Handlers for which there is nothing to do. */
export const idle: Handlers = { intake: async () => {}, provision: async () => {}, report: async () => {}, gaveUp: async () => {} };

/** Waits until `look` says so. */
export async function until(what: string, look: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 20_000; !(await look()); await delay(10)) {
    if (Date.now() > end) throw new Error(`waited 20 s for ${what}`);
  }
}
