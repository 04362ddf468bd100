import type { Logger } from 'pino';
import type { SiteId } from '../site/identity.ts';
import type { Found, Stock } from '../site/ports.ts';
import type { Live } from '../site/site.ts';
import type { Store } from '../store/store.ts';
import type { Grace } from './grace.ts';
import { type Deed, type Finding, LEFT_ALONE, LEFT_FOR_NOW, NOT_COMPARED, shared } from './plan.ts';

type Rows = Pick<Store, 'sites' | 'leases' | 'apply'>;
/** By what an operator calls them. */
export type Stocks = Readonly<Record<string, Stock>>;
/** Where things of sites are kept. */
export type Kept = {
  readonly stocks: Stocks;
  /** What an operator calls the place of a stock. */
  readonly where: (stock: string) => string;
  /** In place of removing, where that is for another process to do. */
  readonly instead: Deed | null;
  /** Of what no row knows; null: it goes at once, since an operator asked. */
  readonly grace: Grace | null;
  readonly log: Logger;
};

/**
 * What is kept for sites that have ended or never were, and what is nobody's. What is ours and cannot be told whose is left to the
 * operator. Every removal takes the site's lease and looks again, so that a launch is never disturbed. Of a site that stands one thing is
 * found: that its visitors get another launch than its row says, which a worker may do that froze over a request to Google and thawed after
 * its site was another's. What it rests on stays; it is launched again.
 */
export async function planOrphans(store: Rows, { stocks, where, instead, grace, log }: Kept): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  for (const [name, stock] of Object.entries(stocks)) {
    try {
      findings.push(...(await orphansIn(store, { name, stock, where: where(name), grace })));
    } catch (error) {
      // One place that cannot be looked at must not keep the others from being looked at.
      log.warn({ err: error, place: name }, 'what is kept for sites could not be compared with the rows');
      findings.push({ kind: 'place', name, where: where(name), why: 'an error, see the log', deed: NOT_COMPARED });
    }
  }
  return instead === null ? findings : findings.map((finding) => (finding.deed.run === null ? finding : { ...finding, deed: instead }));
}

type Looking = { readonly name: string; readonly stock: Stock; readonly where: string; readonly grace: Grace | null };

async function orphansIn(store: Rows, { name: place, stock, where, grace }: Looking): Promise<readonly Finding[]> {
  const seen = await stock.survey();
  const { fates, unknown, sites, ready } = await fatesOf(store, seen);
  const mayGo = grace?.over(place, { unknown, sites }) ?? unknown;
  // A site that was ending while we looked has ended since, or has its next launch: only what is still so once its row says so was left behind.
  const isSure = fates.size === 0 && seen.every((found) => liveInstead(found, ready) === undefined);
  const still = isSure ? seen : await stock.survey();
  const deedFor = (site: SiteId): Deed =>
    unknown.has(site) && !mayGo.has(site) ? LEFT_FOR_NOW : shared('removed', () => removeRest(store, stock, site));
  const deeds = new Map([...fates.keys()].map((site) => [site, deedFor(site)]));
  return still.flatMap((found): Finding[] => {
    const { kind, name, site } = found;
    const about = { kind, name, where };
    if (site === null) return [{ ...about, why: 'nobody can tell whose it is', deed: LEFT_ALONE }];
    if (site === 'nobody') return [{ ...about, why: 'no site has it', deed: discarding(stock, found) }];
    const live = liveInstead(found, ready);
    if (live !== undefined) {
      const there = found.serving?.launch?.toUpperCase() ?? 'unknown';
      return [{ ...about, why: `at launch ${there}, and its site at ${live.revision}`, deed: launchingAgain(store, site, live) }];
    }
    const [why, deed] = [fates.get(site), deeds.get(site)];
    return why === undefined || deed === undefined ? [] : [{ ...about, why, deed }];
  });
}

/** What the row has, when visitors get something else there. Only of a site that is ready: a launch that goes on, or failed, is there too. */
function liveInstead({ site, serving }: Found, ready: ReadonlyMap<Found['site'], Live>): Live | undefined {
  const live = ready.get(site);
  if (serving === undefined || live?.served.kind !== 'remote' || live.served.origin !== serving.origin) return undefined;
  return live.revision.toLowerCase() === serving.launch ? undefined : live;
}

const launchingAgain = ({ apply }: Rows, site: SiteId, { revision: launch }: Live): Deed => ({
  word: 'launched again',
  run: async () => (await apply(site, { type: 'launchDoubted', launch })).changed,
});

type Fates = {
  readonly fates: ReadonlyMap<SiteId, string>;
  readonly unknown: ReadonlySet<SiteId>;
  readonly sites: number;
  readonly ready: ReadonlyMap<SiteId, Live>;
};

/**
 * Why what they have must go, by site, for those whose must; which of them no row knows, and how many sites are there; what visitors should
 * get of those that are ready.
 */
async function fatesOf({ sites }: Rows, found: readonly Found[]): Promise<Fates> {
  const fates = new Map<SiteId, string>();
  const unknown = new Set<SiteId>();
  const ready = new Map<SiteId, Live>();
  const owners = new Set(found.flatMap(({ site }) => (site === null || site === 'nobody' ? [] : [site])));
  for (const id of owners) {
    const row = await sites.find(id);
    if (row === undefined) {
      unknown.add(id);
      fates.set(id, `no site ${id} is known`);
    } else if (row.status === 'ended') fates.set(id, `site ${id} has ended`);
    else if (row.status === 'ready') ready.set(id, row.live);
  }
  return { fates, unknown, sites: owners.size, ready };
}

async function removeRest({ sites, leases }: Rows, stock: Stock, site: SiteId): Promise<boolean> {
  await using held = await leases.take(`site:${site}`);
  if (held === undefined) return false;
  // Read anew under the lease: the pull may have been reopened since.
  const now = await sites.find(site);
  if (now !== undefined && now.status !== 'ended') return false;
  await stock.destroy(held, site, { signal: held.signal });
  return true;
}

const discarding = (stock: Stock, found: Found): Deed => ({
  word: 'removed',
  async run() {
    await stock.discard(found);
    return true;
  },
});
