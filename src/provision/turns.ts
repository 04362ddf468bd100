import type { PullRef } from '../site/identity.ts';

/** Who may start a launch now, so that no repository keeps all workers busy while others wait. */
export interface Turns {
  /** Undefined when it is another repository's turn. Dispose of it once the launch is over. */
  take(pull: PullRef): Promise<Disposable | undefined>;
}

/**
 * A repository may have half of this process's workers at work while another one waits, and all of them while nobody does.
 * @param othersWait whether a launch of another repository waits for a worker
 */
export function createTurns(workers: number, othersWait: (pull: PullRef) => Promise<boolean>): Turns {
  const share = Math.max(1, Math.floor(workers / 2));
  const working = new Map<string, number>();
  return {
    async take(pull) {
      const key = `${pull.forge} ${pull.repository}`;
      if ((working.get(key) ?? 0) >= share && (await othersWait(pull))) return undefined;
      working.set(key, (working.get(key) ?? 0) + 1);
      return {
        [Symbol.dispose]() {
          const left = (working.get(key) ?? 1) - 1;
          if (left === 0) working.delete(key);
          else working.set(key, left);
        },
      };
    },
  };
}
