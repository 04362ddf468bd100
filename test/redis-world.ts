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
