import type { Logger } from 'pino';
import type { ForgeId, SiteId } from '../site/identity.ts';
import type { Store } from '../store/store.ts';
import type { Finding } from './plan.ts';

/** How many rows one look takes; the next look, right after, takes the rest. */
const PAGE = 500;
/** A delivery younger than this is still on its ordinary way. */
const DELIVERY_GRACE_MS = 5_000;

export type Wake = {
  readonly intake: (delivery: string) => Promise<void>;
  readonly provision: (site: SiteId) => Promise<void>;
  readonly report: (site: SiteId) => Promise<void>;
  /** Sites that one repository may have at once. */
  readonly maxSites: number;
  /** Those that are connected: on another nothing can be said, and what is owed there would only be in the way. */
  readonly forges: () => readonly ForgeId[];
};

export type Swept = { readonly expired: number; readonly unsettled: number; readonly unsaid: number; readonly deliveries: number };

/**
 * One look at the database alone: ends what is past its end, and wakes a worker for every row that one still owes something. All of
 * it is safe to repeat, so a lost job is late, never lost.
 */
export async function sweep(store: Store, wake: Wake, log: Logger): Promise<Swept> {
  const expired = await endExpired(store);
  for (const site of await store.sites.nearEnd(PAGE)) await store.apply(site, { type: 'endNeared' });
  const { unsettled, unsaid, deliveries } = await findUnsettled(store, wake);
  for (const { deed } of [...unsettled, ...unsaid, ...deliveries]) await deed.run?.();
  const swept: Swept = { expired, unsettled: unsettled.length, unsaid: unsaid.length, deliveries: deliveries.length };
  if (Object.values(swept).some((count) => count > 0)) log.debug(swept, 'swept');
  return swept;
}

/** What a sweep would do now; of many rows the first page of each kind. */
export async function planSweep(store: Store, wake: Wake): Promise<readonly Finding[]> {
  const { unsettled, unsaid, deliveries } = await findUnsettled(store, wake);
  return [...(await findExpired(store)), ...unsettled, ...unsaid, ...deliveries];
}

async function endExpired(store: Store): Promise<number> {
  let ended = 0;
  for (;;) {
    const expired = await findExpired(store);
    for (const { deed } of expired) await deed.run?.();
    ended += expired.length;
    if (expired.length < PAGE) return ended;
  }
}

const WHERE = 'the database';

async function findExpired(store: Store): Promise<readonly Finding[]> {
  return (await store.sites.expired(PAGE)).map((id) => ({
    kind: 'site',
    name: id,
    where: WHERE,
    why: 'its time is up',
    deed: { word: 'ended', run: async () => (await store.apply(id, { type: 'endReached' })).changed },
  }));
}

async function findUnsettled(store: Store, wake: Wake) {
  const { provision, report } = await store.sites.unsettled(PAGE, { maxSites: wake.maxSites, forges: wake.forges() });
  const deliveries = await store.inbox.pending(DELIVERY_GRACE_MS, PAGE);
  return {
    unsettled: provision.map((id) => owed({ kind: 'site', name: id, why: 'unsettled, and nobody works on it' }, () => wake.provision(id))),
    unsaid: report.map((id) => owed({ kind: 'site', name: id, why: 'its pull shows an earlier state' }, () => wake.report(id))),
    deliveries: deliveries.map((id) => owed({ kind: 'delivery', name: id, why: 'stored, and not handled yet' }, () => wake.intake(id))),
  };
}

const owed = (what: Pick<Finding, 'kind' | 'name' | 'why'>, run: () => Promise<void>): Finding => ({
  ...what,
  where: WHERE,
  deed: {
    word: 'given to a worker',
    async run() {
      await run();
      return true;
    },
  },
});
