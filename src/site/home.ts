import type { OperatorPolicy } from './decide.ts';
import { resolveRegion } from './region.ts';
import type { Site } from './site.ts';

/** Where a site runs, or waits to: beside its `region`. Told apart on Google Cloud alone; on this machine all regions are one. */
export type Home = {
  /** What the settings ask for, a region, an alias or a group; null: for nothing. */
  readonly asks: string | null;
  /** Something of it may stand in its region, which it then keeps as long as it may. */
  readonly taken: boolean;
  /** The regions in which there was no room for it; null when it does not wait for any. */
  readonly full: readonly string[] | null;
};

export const NO_HOME: Home = { asks: null, taken: false, full: null };

/** Google's limit is 1,000 services a region and project; Mayfly's own and other people's are among them. */
export const MAX_SITES_IN_REGION = 950;

/**
 * The regions that a site may be in, most wanted first: those that were asked for in a command, else in the settings, else the operator's.
 * Null on this machine, and where what was asked for may not be: its launch says so.
 */
export function candidatesOf(
  { wishes, home }: Pick<Site, 'wishes' | 'home'>,
  policy: Pick<OperatorPolicy, 'region' | 'regions' | 'target'>,
): readonly string[] | null {
  if (policy.target === 'local') return null;
  const choice = resolveRegion(wishes.region ?? home.asks ?? policy.region, policy.regions);
  return 'refusal' in choice ? null : choice.candidates;
}

/** Whether it has its place already, in a region that it may be in. */
export const isAtHome = ({ place, home, region }: Pick<Site, 'place' | 'home' | 'region'>, candidates: readonly string[]): boolean =>
  place === 'taken' && home.taken && candidates.includes(region);

/**
 * The region with the most room, or the one where it is already; undefined when all are full.
 * @param counts how many sites each region has, without this one
 */
export function roomiest(
  { home, region }: Pick<Site, 'home' | 'region'>,
  counts: ReadonlyMap<string, number>,
  { candidates, max }: { readonly candidates: readonly string[]; readonly max: number },
): string | undefined {
  if (home.taken && candidates.includes(region)) return region;
  const sites = (name: string): number => counts.get(name) ?? 0;
  // Sorting keeps the operator's order among equals.
  return candidates.filter((name) => sites(name) < max).sort((one, other) => sites(one) - sites(other))[0];
}
