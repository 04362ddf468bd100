import { expect, test } from 'vitest';
import { createRedis } from '../redis.ts';
import { createRedisWorld } from '../redis-world.ts';
import { nodeApp } from './apps.ts';

/** How Redis refuses what changes something, and how it is talked into it and out of it. */
const REFUSALS = [
  { name: 'full, with noeviction', on: 'CONFIG SET maxmemory 1', off: 'CONFIG SET maxmemory 0' },
  { name: 'a read-only replica', on: 'REPLICAOF 127.0.0.1 1', off: 'REPLICAOF NO ONE' },
] as const;

test.each(REFUSALS)(
  'T-F12: Redis is $name: not ready, webhooks are stored, sites stay up, and all of it goes on after',
  async (refusal) => {
    await using it = await createRedisWorld();
    const { w, redis } = it;
    const [stays, moves] = [await it.open('stays'), await it.open('moves')];
    await Promise.all([w.reaches(stays, 'ready'), w.reaches(moves, 'ready')]);

    await redis.run(refusal.on);
    await it.isNotReady();
    const sha = await w.github.push(moves, nodeApp('moved'));
    expect(it.lastDelivery()).toMatchObject({ statusCode: 202 });
    const fresh = await it.open('fresh');
    expect(it.lastDelivery()).toMatchObject({ statusCode: 202 });
    expect((await w.visit(stays)).body).toBe('stays');

    await redis.run(refusal.off);
    await it.isReady();
    await Promise.all([w.reaches(moves, 'ready', sha), w.reaches(fresh, 'ready')]);
    expect((await w.visit(moves)).body).toBe('moved');
    await w.github.close(stays);
    await w.reaches(stays, 'ended');
    for (const pull of [stays, moves, fresh]) expect(w.github.ourComments(pull)).toHaveLength(1);
  },
);

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
  const before = proxy.connections();
  proxy.cutEvery(null);
  await it.isReady();
  for (const pull of pulls) expect(w.github.ourComments(pull)).toHaveLength(1);
  // A few connections each second, not as many as a client can make.
  expect(before).toBeLessThan(600);
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
