import { expect } from 'vitest';
import { openFaultProxy } from './fault-proxy.ts';
import { createRedis } from './redis.ts';
import { nodeApp } from './scenarios/apps.ts';
import { createWorld, until } from './world.ts';

/** Mayfly with its queue on a Redis of the test's own, behind a network that can be made bad. */
export async function createRedisWorld() {
  await using opening = new AsyncDisposableStack();
  const redis = opening.use(await createRedis());
  const proxy = opening.use(await openFaultProxy(redis.socket));
  const w = opening.use(await createWorld({ REDIS_URL: `redis://127.0.0.1:${proxy.port}` }));
  const repo = await w.github.createRepository({ name: 'acme/shop', files: nodeApp('main') });
  const opened = opening.move();
  const readyz = async (): Promise<number> => (await fetch(`${w.mayfly.webUrl}/readyz`)).status;
  return {
    redis,
    proxy,
    w,
    readyz,
    isReady: () => until('Mayfly to be ready', async () => (await readyz()) === 200),
    isNotReady: () => until('Mayfly not to be ready', async () => (await readyz()) === 503),
    open: (text: string) => w.github.openPull(repo, { files: nodeApp(text) }),
    lastDelivery: () => w.github.deliveries.findLast(({ event }) => event === 'pull_request'),
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

/** Redis refuses whatever changes something, and later does not. */
export async function refusedForAWhile(refusal: { readonly on: string; readonly off: string }): Promise<void> {
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
}
