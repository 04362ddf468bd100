import { setTimeout as delay } from 'node:timers/promises';
import { pino } from 'pino';
import { expect, test } from 'vitest';
import { openQueues } from '../../src/queues.ts';
import { createCluster } from '../cluster.ts';
import { createRedis } from '../redis.ts';
import { gate, idle, start, until } from './work.ts';

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

test('PostgreSQL is away when the workers start: they begin once it is there, and keep nobody from a turn until then', async () => {
  await using cluster = await createCluster();
  await using queues = await openQueues({ databaseUrl: cluster.url, redisUrl: null, log: pino({ level: 'silent' }) });
  await queues.intake.add('waiting');
  await cluster.stop();
  const ran: string[] = [];
  await using _work = start(queues, { intake: async (id) => void ran.push(id) });
  expect(await queues.isReachable(1_000)).toBe(false);
  await cluster.start();
  await until('what waited', () => ran.includes('waiting'));
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

test.each(['PostgreSQL', 'Redis'] as const)('queues on %s can be closed while it is away', async (store) => {
  await using server = store === 'Redis' ? await createRedis() : await createCluster();
  const address = 'socket' in server ? { databaseUrl: '', redisUrl: server.socket } : { databaseUrl: server.url, redisUrl: null };
  const queues = await openQueues({ ...address, log: pino({ level: 'silent' }) });
  const entered = gate();
  const work = start(queues, {
    async intake(_, { signal }) {
      entered.open();
      await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(new Error('aborted'))));
    },
  });
  await queues.intake.add('unfinished');
  await entered.opened;
  await server.stop();
  await work[Symbol.asyncDispose]();
  await queues[Symbol.asyncDispose]();
});
