import type { Logger } from 'pino';
import type { SiteId } from '../site/identity.ts';
import type { Store } from '../store/store.ts';

/** How many rows one look takes; the next look, right after, takes the rest. */
const PAGE = 500;
/** A delivery younger than this is still on its ordinary way. */
const DELIVERY_GRACE_MS = 5_000;

export type Wake = {
  readonly intake: (delivery: string) => Promise<void>;
  readonly provision: (site: SiteId) => Promise<void>;
  readonly report: (site: SiteId) => Promise<void>;
};

export type Swept = { readonly expired: number; readonly unsettled: number; readonly unsaid: number; readonly deliveries: number };

/**
 * One look at the database alone: ends what is past its end, and wakes a worker for every row that one still owes something. All of
 * it is safe to repeat, so a lost job is late, never lost.
 */
export async function sweep(store: Store, { maxSites, ...wake }: Wake & { readonly maxSites: number }, log: Logger): Promise<Swept> {
  const expired = await endExpired(store);
  for (const site of await store.sites.nearEnd(PAGE)) await store.apply(site, { type: 'endNeared' });
  const { provision, report } = await store.sites.unsettled(PAGE, maxSites);
  for (const site of provision) await wake.provision(site);
  for (const site of report) await wake.report(site);
  const deliveries = await store.inbox.pending(DELIVERY_GRACE_MS, PAGE);
  for (const delivery of deliveries) await wake.intake(delivery);
  const swept: Swept = { expired, unsettled: provision.length, unsaid: report.length, deliveries: deliveries.length };
  if (Object.values(swept).some((count) => count > 0)) log.debug(swept, 'swept');
  return swept;
}

async function endExpired(store: Store): Promise<number> {
  let ended = 0;
  for (;;) {
    const expired = await store.sites.expired(PAGE);
    for (const site of expired) await store.apply(site, { type: 'endReached' });
    ended += expired.length;
    if (expired.length < PAGE) return ended;
  }
}
