import type { PullRef, SiteId } from '../site/identity.ts';

/** How soon who waits asks again if nobody wakes it; later where many wait, so that all of them together ask a hundred times a second. */
const RETRY_MS = 500;
const RETRY_APART_MS = 10;
/** Who has not asked again by then waits no more: it was closed, or another process works on it. */
const LATE_MS = 1_000;
/** How long a turn is kept for who was woken for it. */
const KEPT_MS = 500;

/** Who may start a launch now: so many at once, never all of them of one repository, and repositories by turns. */
export interface Turns {
  /** Its turn, to dispose of once the launch is over; or the milliseconds after which to ask again, unless it is woken before. */
  take(site: { readonly id: SiteId; readonly pull: PullRef }): Disposable | number;
}

export type TurnsOptions = {
  /** That this process works on at once. */
  readonly launches: number;
  /** Has a site ask again now: a turn is kept for it. */
  readonly wake: (site: SiteId) => void;
  /** In milliseconds, of a clock that only goes forward. */
  readonly now?: () => number;
};

/**
 * A turn that comes free is for who has the fewest launches under way, and of those for whose last one began the longest ago: a
 * repository that queues one launch does not wait for the hundred of another. One is left for whoever comes next.
 */
export function createTurns({ launches, wake, now = () => performance.now() }: TurnsOptions): Turns {
  const most = Math.max(1, launches - 1);
  /** In the order in which they asked first. */
  const waiting = new Map<SiteId, { readonly repository: string; readonly until: number }>();
  const kept = new Map<SiteId, NodeJS.Timeout>();
  /** Launches, and turns that are kept for one. */
  const underWay = new Map<string, number>();
  /** A number for each repository that was ever launched here. */
  const lastBegan = new Map<string, number>();

  const countOf = (repository: string): number => underWay.get(repository) ?? 0;
  const mayBegin = (repository: string): boolean => {
    const all = [...underWay.values()].reduce((sum, count) => sum + count, 0);
    return all < launches && countOf(repository) < most;
  };
  const isBefore = (one: string, other: string): boolean => {
    const more = countOf(one) - countOf(other);
    return more < 0 || (more === 0 && (lastBegan.get(one) ?? -1) < (lastBegan.get(other) ?? -1));
  };
  const begin = (repository: string): void => {
    lastBegan.set(repository, now());
    underWay.set(repository, countOf(repository) + 1);
  };
  const end = (repository: string): void => {
    if (countOf(repository) === 1) underWay.delete(repository);
    else underWay.set(repository, countOf(repository) - 1);
    offer();
  };
  /** Keeps what is free for those who are next, and wakes them. */
  const offer = (): void => {
    for (const [late, { until }] of waiting) if (until < now()) waiting.delete(late);
    let next: { readonly site: SiteId; readonly repository: string } | undefined;
    for (const [site, { repository }] of waiting)
      if (mayBegin(repository) && (next === undefined || isBefore(repository, next.repository))) next = { site, repository };
    if (next === undefined) return;
    const { site, repository } = next;
    waiting.delete(site);
    begin(repository);
    const giveUp = (): void => {
      kept.delete(site);
      end(repository);
    };
    kept.set(site, setTimeout(giveUp, KEPT_MS).unref());
    wake(site);
    offer();
  };
  return {
    take({ id, pull }) {
      const repository = `${pull.forge} ${pull.repository}`;
      const own = kept.get(id);
      if (own === undefined && !mayBegin(repository)) {
        const waitMs = Math.max(RETRY_MS, waiting.size * RETRY_APART_MS);
        waiting.set(id, { repository, until: now() + waitMs + LATE_MS });
        return waitMs;
      }
      clearTimeout(own);
      kept.delete(id);
      waiting.delete(id);
      if (own === undefined) begin(repository);
      return { [Symbol.dispose]: () => end(repository) };
    },
  };
}
