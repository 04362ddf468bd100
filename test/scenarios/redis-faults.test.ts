import { expect, test } from 'vitest';
import { createRedisWorld, refusedForAWhile } from '../redis-world.ts';

test('T-F12: Redis is full, with noeviction: not ready, webhooks are stored, sites stay up, and all of it goes on after', () =>
  refusedForAWhile({ on: 'CONFIG SET maxmemory 1', off: 'CONFIG SET maxmemory 0' }));

test('T-F11: a site whose time is up while Redis is full, and empty after it, ends when it is back', async () => {
  await using it = await createRedisWorld();
  const { w, redis } = it;
  const pull = await it.open('brief');
  const site = await w.reaches(pull, 'ready');
  await redis.run('CONFIG SET maxmemory 1');
  await w.letTimeBeUp(site);
  await redis.stop();
  await redis.start();
  await w.reaches(pull, 'ended');
  expect((await w.visit(pull)).status).toBe(410);
  expect(w.github.ourComments(pull)).toHaveLength(1);
});
