import type { Logger } from 'pino';
import type { SiteId } from '../site/identity.ts';
import type { Found, Stock } from '../site/ports.ts';
import type { Store } from '../store/store.ts';
import { type Deed, type Finding, LEFT_ALONE, NOT_COMPARED, shared } from './plan.ts';

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
  readonly log: Logger;
};

/**
 * What is kept for sites that have ended or never were, and what is nobody's. What is ours and cannot be told whose is left to the
 * operator. Nothing of a site that stands is ever found, and every deed takes the site's lease and looks again, so that a launch is never
 * disturbed.
 */
export async function planOrphans(store: Rows, { stocks, where, instead, log }: Kept): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  for (const [name, stock] of Object.entries(stocks)) {
    try {
      findings.push(...(await orphansIn(store, stock, where(name))));
    } catch (error) {
      // One place that cannot be looked at must not keep the others from being looked at.
      log.warn({ err: error, place: name }, 'what is kept for sites could not be compared with the rows');
      findings.push({ kind: 'place', name, where: where(name), why: 'an error, see the log', deed: NOT_COMPARED });
    }
  }
  return instead === null ? findings : findings.map((finding) => (finding.deed.run === null ? finding : { ...finding, deed: instead }));
}

async function orphansIn(store: Rows, stock: Stock, where: string): Promise<readonly Finding[]> {
  const seen = await stock.survey();
  const fates = await fatesOf(store, seen);
  if (fates.size === 0 && seen.every(({ site }) => site !== 'nobody' && site !== null)) return [];
  // A site that was ending while we looked has ended since: only what is still there once its row says so was left behind.
  const still = fates.size === 0 ? seen : await stock.survey();
  const deeds = new Map([...fates.keys()].map((site) => [site, shared('removed', () => removeRest(store, stock, site))]));
  return still.flatMap((found): Finding[] => {
    const { kind, name, site } = found;
    const about = { kind, name, where };
    if (site === null) return [{ ...about, why: 'nobody can tell whose it is', deed: LEFT_ALONE }];
    if (site === 'nobody') return [{ ...about, why: 'no site has it', deed: discarding(stock, found) }];
    const [why, deed] = [fates.get(site), deeds.get(site)];
    return why === undefined || deed === undefined ? [] : [{ ...about, why, deed }];
  });
}

/** Why what they have must go, by site, for those whose must. */
async function fatesOf({ sites }: Rows, found: readonly Found[]): Promise<ReadonlyMap<SiteId, string>> {
  const fates = new Map<SiteId, string>();
  const owners = new Set(found.flatMap(({ site }) => (site === null || site === 'nobody' ? [] : [site])));
  for (const id of owners) {
    const row = await sites.find(id);
    if (row === undefined) fates.set(id, `no site ${id} is known`);
    else if (row.status === 'ended') fates.set(id, `site ${id} has ended`);
  }
  return fates;
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
