import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePort } from '../../../demo/ports.ts';
import { BAD_GATEWAY } from '../../doubles/answers.ts';
import { type Asked, asked } from '../../doubles/asked.ts';
import { type ForgeName, isOfPull, receipts, type StageDelivery } from '../../doubles/stage.ts';
import { createWorld, until, type World } from '../../world.ts';
import { nodeApp } from '../apps.ts';

/** Nobody listens there: a webhook to it fails, and the forge remembers. */
const DEAD_DOOR = 'http://127.0.0.1:9/';

/** The forge sent it that long ago. What GitLab signed bears its time, and the record tells no other. */
function setBack(delivery: StageDelivery, ms: number): void {
  delivery.at -= ms;
  if (delivery.headers?.['webhook-timestamp'] === undefined) return;
  delivery.headers = { ...delivery.headers, 'webhook-timestamp': String(Math.floor(delivery.at / 1_000)) };
}

/** Webhooks that the forge could not bring, on either. */
export function deliveries(forge: ForgeName): void {
  const name = { github: 'GitHub', gitlab: 'GitLab' }[forge];
  const { asksAgain } = asked[forge];

  describe('reconcile', () => {
    let w: World;
    let made = 0;
    beforeAll(async () => {
      // The address that GitLab was told is how its webhooks are known as ours.
      const port = String(forge === 'gitlab' ? await freePort(0) : 0);
      const at = forge === 'gitlab' ? { PORT: port, MAYFLY_PUBLIC_URL: `http://127.0.0.1:${port}` } : {};
      // Without the clock nothing is compared but when the test says so.
      w = await createWorld({ ...at, MAYFLY_ROLES: 'web,gate,worker' }, { forge });
    });
    afterAll(() => w[Symbol.asyncDispose]());
    const repository = () => w.forge.createRepository({ name: `rec-${++made}/shop-${made}`, files: nodeApp('main') });
    /** Webhooks fail from now on, and the forge remembers. On GitLab by the network's fault: what is sent to another address is not ours. */
    const shutDoors = (): void => {
      w.forge.sendWebhooksTo(forge === 'gitlab' ? w.webhooks() : DEAD_DOOR);
      w.gitlab.unplug();
    };
    const openDoors = (): void => {
      w.gitlab.plugIn();
      w.forge.sendWebhooksTo(w.webhooks());
    };
    /** The last one that tells of this comment. */
    const deliveryOf = (comment: string): StageDelivery => {
      const found = w.forge.deliveries.findLast(({ body }) => new RegExp(`"(?:body|note)":"${comment}"`).test(body));
      if (!found) throw new Error('nothing was sent');
      return found;
    };
    const pullsOf = (guid: string) => w.forge.deliveries.filter((delivery) => delivery.guid === guid);

    test('a webhook that could not be delivered is asked for once, however often we look', async () => {
      const repo = await repository();
      w.forge.setPermission(repo, 'dev', 'write');
      const pull = await w.forge.openPull(repo, { files: nodeApp('long') });
      const before = await w.reaches(pull, 'ready');
      shutDoors();
      const typed = await w.forge.comment(pull, 'dev', '/preview extend 2d');
      const lost = deliveryOf('/preview extend 2d');
      openDoors();
      for (let look = 0; look < 3; look++) await w.mayfly.reconcileNow();
      await until('the end to move', async () => (await w.siteOf(pull))?.endsAt.getTime() === before.endsAt.getTime() + 2 * 86_400_000);
      await until('the receipt', () => receipts(typed).at(-1) === '+1');
      expect(pullsOf(lost.guid).map(({ redelivery, statusCode }) => [redelivery, statusCode])).toEqual([
        [false, 0],
        [true, 202],
      ]);
    });

    test(`one that fails again is not asked for again; one that came meanwhile, one older than three days and one of ${name}’s own loss never`, async () => {
      const repo = await repository();
      const pull = await w.forge.openPull(repo, { files: nodeApp('still') });
      await w.reaches(pull, 'ready');
      w.forge.sendWebhooksTo(null);
      await w.forge.comment(pull, 'guest', 'never sent');
      shutDoors();
      for (const text of ['fails', 'comes', 'old']) await w.forge.comment(pull, 'guest', text);
      const [fails, comes, old] = [deliveryOf('fails'), deliveryOf('comes'), deliveryOf('old')];
      setBack(old, 4 * 86_400_000);
      openDoors();
      await w.forge.redeliver(comes);
      shutDoors();
      await w.mayfly.reconcileNow();
      await until('the redelivery', () => pullsOf(fails.guid).length === 2);
      await w.mayfly.reconcileNow();
      openDoors();
      await w.mayfly.reconcileNow();
      const posts = w.forge.requests.filter(asksAgain);
      const attempts = (of: StageDelivery) => pullsOf(of.guid).flatMap(({ id }) => posts.filter(({ path }) => path.includes(`/${id}/`)));
      expect([attempts(fails).length, attempts(comes).length, attempts(old).length]).toEqual([1, 0, 0]);
      openDoors();
    });

    test(`${name} says no when it is asked for a delivery: it is asked for at the next look`, async () => {
      const repo = await repository();
      const pull = await w.forge.openPull(repo, { files: nodeApp('again') });
      await w.reaches(pull, 'ready');
      shutDoors();
      await w.forge.close(pull);
      const lost = w.forge.deliveries.findLast(isOfPull);
      await w.forge.reopen(pull);
      openDoors();
      w.forge.fail({ match: (one: Asked) => asksAgain(one) && one.path.includes(`/${lost?.id}/`), answer: BAD_GATEWAY[forge] });
      await w.mayfly.reconcileNow();
      expect(pullsOf(lost?.guid ?? '')).toHaveLength(1);
      await w.mayfly.reconcileNow();
      await until('the redelivery', () => pullsOf(lost?.guid ?? '').at(-1)?.statusCode === 202);
    });
  });
}
