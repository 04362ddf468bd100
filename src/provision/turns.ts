import type { PullRef } from '../site/identity.ts';

/** Who may start a launch now: so many at once, and never all of them of one repository. */
export interface Turns {
  /** Undefined when it has to wait. Dispose of it once the launch is over. */
  take(pull: PullRef): Promise<Disposable | undefined>;
}

/**
 * A repository may have half of the launches while another one waits, and all but one while nobody does: whoever comes next finds that one.
 * @param launches that this process works on at once
 * @param othersWait whether a launch of another repository waits
 */
export function createTurns(launches: number, othersWait: (pull: PullRef) => Promise<boolean>): Turns {
  const half = Math.max(1, Math.floor(launches / 2));
  const most = Math.max(1, launches - 1);
  const working = new Map<string, number>();
  const all = (): number => [...working.values()].reduce((sum, count) => sum + count, 0);
  return {
    async take(pull) {
      const key = `${pull.forge} ${pull.repository}`;
      const own = (): number => working.get(key) ?? 0;
      const share = own() >= half && (await othersWait(pull)) ? half : most;
      if (own() >= share || all() >= launches) return undefined;
      working.set(key, own() + 1);
      return {
        [Symbol.dispose]() {
          const left = own() - 1;
          if (left === 0) working.delete(key);
          else working.set(key, left);
        },
      };
    },
  };
}
