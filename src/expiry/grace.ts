import type { SiteId } from '../site/identity.ts';

/** Keeps a Mayfly from removing what only its rows lack: its database may be an older copy, or another than it was. */
export interface Grace {
  /** Of the sites that are there and that no row knows, those that may go. `sites`: how many are there, known or not. */
  over(place: string, there: { readonly unknown: ReadonlySet<SiteId>; readonly sites: number }): ReadonlySet<SiteId>;
}

/** A site's row is there before anything else of it, and stays after it: what has none is rare, and no hurry. */
export const GRACE_MS = 3_600_000;
/** From so many on, they stay for as long as they are most of what is there: it is the rows that are wrong then. */
const MANY = 3;

/** Counts from the first look of this process. @param now milliseconds of a clock that only goes on */
export function openGrace(now: () => number): Grace {
  const since = new Map<string, ReadonlyMap<SiteId, number>>();
  return {
    over(place, { unknown, sites }) {
      const before = since.get(place);
      // One that was known in between begins anew.
      const counting = new Map([...unknown].map((site) => [site, before?.get(site) ?? now()]));
      since.set(place, counting);
      if (unknown.size >= MANY && unknown.size > sites / 2) return new Set();
      return new Set([...counting].flatMap(([site, first]) => (now() - first >= GRACE_MS ? [site] : [])));
    },
  };
}
