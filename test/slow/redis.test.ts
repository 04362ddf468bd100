import { expect, test } from 'vitest';
import { createRedis } from '../redis.ts';
import { createRedisWorld, refusedForAWhile } from '../redis-world.ts';
import { nodeApp } from '../scenarios/apps.ts';

test('T-F12: Redis answers two seconds late: not ready, a pull gets its site all the same, and everything goes on after', async () => {
  await using it = await createRedisWorld();
  const { w, proxy } = it;
  proxy.delay(2_000);
  await it.isNotReady();
  const pull = await it.open('patient');
  expect(it.lastDelivery()).toMatchObject({ statusCode: 202 });
  await w.reaches(pull, 'ready');
  expect((await w.visit(pull)).body).toBe('patient');
  proxy.delay(0);
  await it.isReady();
  await w.github.close(pull);
  await w.reaches(pull, 'ended');
  expect(w.github.ourComments(pull)).toHaveLength(1);
});

test('T-F12: Redis is a read-only replica: not ready, webhooks are stored, sites stay up, and all of it goes on after', () =>
  refusedForAWhile({ on: 'REPLICAOF 127.0.0.1 1', off: 'REPLICAOF NO ONE' }));

test('T-F12: connections to Redis are cut every second: no work is lost and none is done twice', async () => {
  await using it = await createRedisWorld();
  const { w, proxy } = it;
  proxy.cutEvery(1_000);
  const pulls = [await it.open('one'), await it.open('two'), await it.open('three')];
  for (const pull of pulls) await w.reaches(pull, 'ready');
  const sha = await w.github.push(pulls[0] as never, nodeApp('one more'));
  await w.reaches(pulls[0] as never, 'ready', sha);
  for (const pull of pulls) await w.github.close(pull);
  for (const pull of pulls) await w.reaches(pull, 'ended');
  const { made, cuts } = proxy.counts();
  proxy.cutEvery(null);
  await it.isReady();
  for (const pull of pulls) expect(w.github.ourComments(pull)).toHaveLength(1);
  // A few connections after each cut, not as many as a client can make.
  expect(made / cuts).toBeLessThan(20);
});

test('T-F11: a failover to a stale replica, behind the same address: what was done since is not undone, what was queued is found', async () => {
  await using it = await createRedisWorld();
  await using other = await createRedis();
  const { w, redis, proxy } = it;
  const pull = await it.open('before');
  await w.reaches(pull, 'ready');
  // The old primary goes on answering on the connections that stand, and refuses what changes something.
  await redis.run('REPLICAOF 127.0.0.1 1');
  proxy.leadTo(other.socket);
  const sha = await w.github.push(pull, nodeApp('after'));
  await w.reaches(pull, 'ready', sha);
  await it.isReady();
  expect((await w.visit(pull)).body).toBe('after');
  expect(w.github.ourComments(pull)).toHaveLength(1);
});
