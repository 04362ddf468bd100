import { expect, test } from 'vitest';
import { freePort } from '../../demo/ports.ts';
import { receipts } from '../doubles/stage.ts';
import { createWorld, until } from '../world.ts';
import { nodeApp } from './apps.ts';

/** Nobody listens there: a webhook to it fails, and GitLab remembers. */
const DEAD_DOOR = 'http://127.0.0.1:9/api/gitlab/webhooks';

test('a comment that GitLab could not bring is asked for once, and carried out', async () => {
  // The address that GitLab was told is how its webhooks are known as ours.
  const port = await freePort(0);
  const at = { PORT: String(port), MAYFLY_PUBLIC_URL: `http://127.0.0.1:${port}`, MAYFLY_ROLES: 'web,gate,worker' };
  await using w = await createWorld(at, { forge: 'gitlab' });
  const repo = await w.gitlab.createRepository({ name: 'acme/shop', files: nodeApp('main') });
  w.gitlab.setPermission(repo, 'dev', 'write');
  const pull = await w.gitlab.openPull(repo, { files: nodeApp('long') });
  const before = await w.reaches(pull, 'ready');
  w.gitlab.sendWebhooksTo(DEAD_DOOR);
  const asked = await w.gitlab.comment(pull, 'dev', '/preview extend 2d');
  const lost = w.gitlab.deliveries.at(-1);
  w.gitlab.sendWebhooksTo(w.webhooks());
  // GitLab sends again to where it sent before.
  Object.assign(lost ?? {}, { url: w.webhooks() });
  for (let look = 0; look < 3; look++) await w.mayfly.reconcileNow();
  await until('the end to move', async () => (await w.siteOf(pull))?.endsAt.getTime() === before.endsAt.getTime() + 2 * 86_400_000);
  await until('the receipt', () => receipts(asked).at(-1) === '+1');
  const attempts = w.gitlab.deliveries.filter(({ guid }) => guid === lost?.guid);
  expect(attempts.map(({ redelivery, statusCode }) => [redelivery, statusCode])).toEqual([
    [false, 0],
    [true, 202],
  ]);
});
