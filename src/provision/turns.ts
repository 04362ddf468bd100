import type { PullRef, SiteId } from '../site/identity.ts';

/** How soon who waits asks again; later where many wait, so that all of them together ask a hundred times a second. */
const RETRY_MS = 500;
const RETRY_APART_MS = 10;
/** Who has not asked again by then waits no more: it was closed, or another process works on it. */
const LATE_MS = 1_000;

/** Who may start a launch now: so many at once, never all of them of one repository, and repositories by turns. */
export interface Turns {
  /** Its turn, to dispose of once the launch is over; or the milliseconds after which to ask again. */
  take(site: { readonly id: SiteId; readonly pull: PullRef }): Disposable | number;
}

/**
 * The next is who has the fewest launches under way, and of those whose last one began the longest ago: a repository that queues one
 * launch does not wait for the hundred of another. One is kept free for whoever comes next.
 * @param launches that this process works on at once
 * @param now in milliseconds, of a clock that only goes forward
 */
export function createTurns(launches: number, now: () => number = () => performance.now()): Turns {
  const most = Math.max(1, launches - 1);
  const waiting = new Map<SiteId, { readonly repository: string; readonly until: number }>();
  const underWay = new Map<string, number>();
  /** A number for each repository that was ever launched here. */
  const lastBegan = new Map<string, number>();
  const countOf = (repository: string): number => underWay.get(repository) ?? 0;
  const isBefore = (one: string, other: string): boolean => {
    const more = countOf(one) - countOf(other);
    return more < 0 || (more === 0 && (lastBegan.get(one) ?? -1) < (lastBegan.get(other) ?? -1));
  };
  const isTurnOf = (repository: string): boolean => {
    const all = [...underWay.values()].reduce((sum, count) => sum + count, 0);
    if (all >= launches || countOf(repository) >= most) return false;
    return ![...waiting.values()].some((other) => isBefore(other.repository, repository));
  };
  return {
    take({ id, pull }) {
      const at = now();
      const repository = `${pull.forge} ${pull.repository}`;
      for (const [late, { until }] of waiting) if (until < at) waiting.delete(late);
      if (!isTurnOf(repository)) {
        const waitMs = Math.max(RETRY_MS, waiting.size * RETRY_APART_MS);
        waiting.set(id, { repository, until: at + waitMs + LATE_MS });
        return waitMs;
      }
      waiting.delete(id);
      lastBegan.set(repository, at);
      underWay.set(repository, countOf(repository) + 1);
      return {
        [Symbol.dispose]() {
          if (countOf(repository) === 1) underWay.delete(repository);
          else underWay.set(repository, countOf(repository) - 1);
        },
      };
    },
  };
}
