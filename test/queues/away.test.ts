import { setTimeout as delay } from 'node:timers/promises';
import { pino } from 'pino';
import { expect, test } from 'vitest';
import { openQueues } from '../../src/queues.ts';
import { createCluster } from '../cluster.ts';
import { createRedis } from '../redis.ts';
import { idle, start, until } from './work.ts';

test('PostgreSQL goes away and comes back: waiting workers, running work and later adds all go on', async () => {
  await using cluster = await createCluster();
  await using queues = await openQueues({
    databaseUrl: cluster.url,
    redisUrl: null,
    log: pino({ level: process.env.MAYFLY_TEST_LOG ?? 'silent' }),
    stall: { lockMs: 1_000, checkEveryMs: 500 },
  });
  const ran: string[] = [];
  const back = Promise.withResolvers<void>();
  await using _work = queues.work(
    {
      ...idle,
      async intake(id) {
        if (id === 'long') await back.promise;
        ran.push(id);
      },
    },
    { concurrency: { intake: 4, provision: 1, report: 1 }, graceMs: 1_000 },
  );
  await queues.intake.add('before');
  await queues.intake.add('long');
  await queues.intake.add('delayed', { delayMs: 1_500 });
  await until('the first', () => ran.includes('before'));

  await cluster.stop();
  expect(await queues.isReachable(1_000)).toBe(false);
  await expect(queues.intake.add('refused')).rejects.toThrow();
  await delay(2_000);
  await cluster.start();
  back.resolve();

  await until('it to be reachable', () => queues.isReachable(1_000));
  await queues.intake.add('after');
  await until('the one added after', () => ran.includes('after'));
  await queues.settled();
  expect(new Set(ran)).toEqual(new Set(['before', 'long', 'delayed', 'after']));
});

test('Redis goes away and comes back: an add says so, and later ones run', async () => {
  await using redis = await createRedis();
  await using queues = await openQueues({ databaseUrl: '', redisUrl: redis.socket, log: pino({ level: 'silent' }) });
  const ran: string[] = [];
  await using _work = start(queues, { intake: async (id) => void ran.push(id) });
  await queues.intake.add('before');
  await until('the first', () => ran.includes('before'));

  await redis.stop();
  expect(await queues.isReachable(1_000)).toBe(false);
  await expect(queues.intake.add('refused')).rejects.toThrow();

  await redis.start();
  await until('it to be reachable', () => queues.isReachable(1_000));
  await queues.intake.add('after');
  await until('the one added after', () => ran.includes('after'));
  await queues.settled();
});
