import { describe, expect, test } from 'vitest';
import type { Deliveries } from '../../src/site/ports.ts';

/** A webhook that the forge sent, as the test sees it. */
export type SeenDelivery = { readonly id: string; readonly attempts: number };

export interface DeliveriesWorld extends AsyncDisposable {
  readonly deliveries: Deliveries;
  /** From now on nobody opens to webhooks, or somebody does. */
  door(to: 'closed' | 'open'): void;
  /** Something happens that the forge tells of. */
  happens(what: 'a push' | 'a comment'): Promise<SeenDelivery>;
  /** The forge does as if it had sent it that long ago. */
  age(id: string, ms: number): void;
  attempts(id: string): number;
}

const HOUR = 3_600_000;
const hoursAgo = (hours: number): Date => new Date(Date.now() - hours * HOUR);

/** Every adapter's `Deliveries` keeps these. */
export function deliveriesContract(name: string, open: () => Promise<DeliveriesWorld>): void {
  describe(`Deliveries of ${name}`, () => {
    test('nothing was sent: nothing failed', async () => {
      await using w = await open();
      expect(await w.deliveries.failed(hoursAgo(1))).toEqual({ failed: [], until: null, cut: false });
    });

    test('what came is none of it; what did not is, with the time up to which was looked', async () => {
      await using w = await open();
      w.door('open');
      await w.happens('a push');
      w.door('closed');
      const lost = await w.happens('a push');
      const { failed, until, cut } = await w.deliveries.failed(hoursAgo(1));
      expect(failed.map(({ id }) => id)).toEqual([lost.id]);
      expect(failed[0]?.at.getTime()).toBe(until?.getTime());
      expect(cut).toBe(false);
    });

    test('what only the webhook tells of comes first, each the oldest first', async () => {
      await using w = await open();
      const ids: string[] = [];
      for (const what of ['a push', 'a comment', 'a push', 'a comment'] as const) ids.push((await w.happens(what)).id);
      const [push, comment, push2, comment2] = ids;
      const { failed } = await w.deliveries.failed(hoursAgo(1));
      expect(failed.map(({ id }) => id)).toEqual([comment, comment2, push, push2]);
    });

    test('asked for, it is sent once more and under the same id; once it has come it failed no more', async () => {
      await using w = await open();
      const { id } = await w.happens('a comment');
      const [lost] = (await w.deliveries.failed(hoursAgo(1))).failed;
      if (!lost) throw new Error('nothing failed');
      // That nobody opened again, which some forges tell at once, is no failure to ask.
      await w.deliveries.redeliver(lost);
      await expect.poll(() => w.attempts(id)).toBe(2);
      const [again] = (await w.deliveries.failed(hoursAgo(1))).failed;
      expect([again?.id, again?.attempt === lost.attempt]).toEqual([id, false]);
      w.door('open');
      if (again) await w.deliveries.redeliver(again);
      await expect.poll(async () => (await w.deliveries.failed(hoursAgo(1))).failed).toEqual([]);
    });

    test('it is looked back as far as asked for, over many pages', async () => {
      await using w = await open();
      const old = await w.happens('a push');
      w.age(old.id, 2 * HOUR);
      const first = await w.happens('a comment');
      for (let n = 0; n < 230; n++) await w.happens('a push');
      const { failed } = await w.deliveries.failed(hoursAgo(1));
      expect(failed).toHaveLength(231);
      expect(failed[0]?.id).toBe(first.id);
      expect((await w.deliveries.failed(hoursAgo(3))).failed).toHaveLength(232);
    });
  });
}
