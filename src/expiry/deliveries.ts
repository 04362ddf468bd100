import type { Logger } from 'pino';
import type { ForgeId } from '../site/identity.ts';
import type { Deliveries, FailedDelivery } from '../site/ports.ts';
import type { Store } from '../store/store.ts';
import type { Finding } from './plan.ts';

type Rows = Pick<Store, 'redeliveries' | 'now'>;

/** As long as GitHub remembers. */
const LONGEST_AGO_MS = 3 * 86_400_000;
/** An attempt may be on the record a while after its time: this much is looked at twice. */
const OVERLAP_MS = 10 * 60_000;
/** Asked for in one look; within what GitHub lets an app change in a minute. The rest is for the next look. */
const AT_ONCE = 80;

export type DeliveryPlan = {
  readonly findings: readonly Finding[];
  /** To be called once every finding was carried out: the next look begins where this one ended. */
  readonly settle: () => Promise<void>;
};

/** Webhooks that the forge could not bring to us, and that we have not asked for yet. */
export async function planDeliveries(
  store: Rows,
  { forge, deliveries, log }: { readonly forge: ForgeId; readonly deliveries: Deliveries; readonly log: Logger },
): Promise<DeliveryPlan> {
  const { redeliveries } = store;
  const { failed, until, cut } = await deliveries.failed(await beginning(store, forge));
  if (cut) log.warn({ forge }, 'the forge made more attempts to deliver than one look takes: the oldest were not looked at');
  const missed = await redeliveries.missed(
    forge,
    failed.map(({ id }) => id),
  );
  const wanted = failed.filter(({ id }) => missed.has(id));
  return {
    findings: wanted.slice(0, AT_ONCE).map((delivery) => ({
      kind: 'delivery',
      name: `${delivery.event} ${delivery.id}`,
      where: forge,
      why: `not delivered at ${delivery.at.toISOString().slice(0, 19)}Z`,
      deed: { word: 'asked for again', run: () => askAgain(store, { forge, deliveries, delivery }) },
    })),
    async settle() {
      if (wanted.length <= AT_ONCE && until !== null) await redeliveries.lookedUntil(forge, until);
    },
  };
}

async function beginning({ redeliveries, now }: Rows, forge: ForgeId): Promise<Date> {
  const [looked, clock] = await Promise.all([redeliveries.until(forge), now()]);
  return new Date(Math.max((looked?.getTime() ?? 0) - OVERLAP_MS, clock.getTime() - LONGEST_AGO_MS));
}

type Asking = { readonly forge: ForgeId; readonly deliveries: Deliveries; readonly delivery: FailedDelivery };

/** Claimed before it is asked for: twice would do no harm, the inbox knows it, but once is what the forge was promised. */
async function askAgain({ redeliveries }: Rows, { forge, deliveries, delivery }: Asking): Promise<boolean> {
  if (!(await redeliveries.claim(forge, delivery.id))) return false;
  try {
    await deliveries.redeliver(delivery);
    return true;
  } catch (error) {
    await redeliveries.release(forge, delivery.id);
    throw error;
  }
}
