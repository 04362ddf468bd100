import type { Logger } from 'pino';
import type { SiteId } from '../site/identity.ts';
import type { Found, Stock } from '../site/ports.ts';
import type { Store } from '../store/store.ts';
import type { Grace } from './grace.ts';
import { type Deed, type Finding, LEFT_ALONE, LEFT_FOR_NOW, NOT_COMPARED, shared } from './plan.ts';

type Rows = Pick<Store, 'sites' | 'leases'>;
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
 * operator. Nothing of a site that stands is ever found, and every deed takes the site's lease and looks again, so that a launch is never
 * disturbed.
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
  const { fates, unknown, sites } = await fatesOf(store, seen);
  const mayGo = grace?.over(place, { unknown, sites }) ?? unknown;
  if (fates.size === 0 && seen.every(({ site }) => site !== 'nobody' && site !== null)) return [];
  // A site that was ending while we looked has ended since: only what is still there once its row says so was left behind.
  const still = fates.size === 0 ? seen : await stock.survey();
  const deedFor = (site: SiteId): Deed =>
    unknown.has(site) && !mayGo.has(site) ? LEFT_FOR_NOW : shared('removed', () => removeRest(store, stock, site));
  const deeds = new Map([...fates.keys()].map((site) => [site, deedFor(site)]));
  return still.flatMap((found): Finding[] => {
    const { kind, name, site } = found;
    const about = { kind, name, where };
    if (site === null) return [{ ...about, why: 'nobody can tell whose it is', deed: LEFT_ALONE }];
    if (site === 'nobody') return [{ ...about, why: 'no site has it', deed: discarding(stock, found) }];
    const [why, deed] = [fates.get(site), deeds.get(site)];
    return why === undefined || deed === undefined ? [] : [{ ...about, why, deed }];
  });
}

type Fates = { readonly fates: ReadonlyMap<SiteId, string>; readonly unknown: ReadonlySet<SiteId>; readonly sites: number };

/** Why what they have must go, by site, for those whose must; which of them no row knows, and how many sites are there. */
async function fatesOf({ sites }: Rows, found: readonly Found[]): Promise<Fates> {
  const fates = new Map<SiteId, string>();
  const unknown = new Set<SiteId>();
  const owners = new Set(found.flatMap(({ site }) => (site === null || site === 'nobody' ? [] : [site])));
  for (const id of owners) {
    const row = await sites.find(id);
    if (row === undefined) {
      unknown.add(id);
      fates.set(id, `no site ${id} is known`);
    } else if (row.status === 'ended') fates.set(id, `site ${id} has ended`);
  }
  return { fates, unknown, sites: owners.size };
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
