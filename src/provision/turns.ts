import type { PullRef } from '../site/identity.ts';

/** How soon the first in the line asks again: it was woken, and a process without a free place took its job. */
const RETRY_MS = 250;
/** Who has not come for a place in this time loses it to the next, who asks again that much later. */
const LATE_MS = 1_000;
const LONGEST_MS = 60_000;

/** The launches that this process works on: so many at once, and never all of them of one repository. Who is next is for the line to say. */
export interface Turns {
  /**
   * Milliseconds after which to ask again, unless woken before; 0 when it may begin.
   * @param before how many are before it in the line, which is one for all processes
   */
  wait(pull: PullRef, before: number): number;
  /** To dispose of once the launch is over. */
  begin(pull: PullRef): Disposable;
}

export type TurnsOptions = {
  /** That this process works on at once. */
  readonly launches: number;
  /** Something has changed: has the first in the line ask again now. */
  readonly wakeNext: () => void;
  /** In milliseconds, of a clock that only goes forward. */
  readonly now?: () => number;
};

/**
 * Places that are free go to as many from the front of the line. Some there may not come: their queue waits for something else, or was
 * lost. So the longer nothing has changed while a place is free, the further back in the line it may go: none stays empty for good.
 */
export function createTurns({ launches, wakeNext, now = () => performance.now() }: TurnsOptions): Turns {
  const most = Math.max(1, launches - 1);
  const underWay: string[] = [];
  let changedAt = now();
  const changed = (): void => {
    changedAt = now();
    wakeNext();
  };

  return {
    wait(pull, before) {
      const free = launches - underWay.length;
      const own = underWay.filter((one) => one === repositoryOf(pull)).length;
      const late = Math.floor((now() - changedAt) / LATE_MS);
      if (free > 0 && own < most && before < free + late) return 0;
      return Math.min(RETRY_MS + before * LATE_MS, LONGEST_MS);
    },
    begin(pull) {
      underWay.push(repositoryOf(pull));
      // Another place may be free, here or elsewhere.
      changed();
      return {
        [Symbol.dispose]() {
          underWay.splice(underWay.indexOf(repositoryOf(pull)), 1);
          changed();
        },
      };
    },
  };
}

const repositoryOf = ({ forge, repository }: PullRef): string => `${forge} ${repository}`;
