import { expect, test } from 'vitest';
import { createRedis } from '../redis.ts';
import { createWorld, until } from '../world.ts';
import { builtApp, nodeApp } from './apps.ts';

test('on Redis: opened, ready, closed, ended', async () => {
  await using redis = await createRedis();
  await using w = await createWorld({ REDIS_URL: `unix://${redis.socket}` });
  const repo = await w.github.createRepository({ name: 'acme/shop', files: nodeApp('main') });
  const pull = await w.github.openPull(repo, { files: nodeApp('hello from the pull') });
  await w.reaches(pull, 'ready');
  expect(await w.visit(pull)).toMatchObject({ status: 200, body: 'hello from the pull' });
  await w.github.close(pull);
  await w.reaches(pull, 'ended');
  expect(w.github.ourComments(pull)).toHaveLength(1);
});

test('Redis is emptied while work waits in it: the sweep puts it back (T-F11)', async () => {
  await using redis = await createRedis();
  await using w = await createWorld({ REDIS_URL: `unix://${redis.socket}` });
  const repo = await w.github.createRepository({ name: 'acme/shop', files: nodeApp('main') });
  const pull = await w.github.openPull(repo, { files: builtApp('one') });
  await until('the site', () => w.siteOf(pull));
  await redis.flush();
  await w.reaches(pull, 'ready');
  expect((await w.visit(pull)).body).toBe('one');
  await w.github.close(pull);
  await redis.flush();
  await w.reaches(pull, 'ended');
  expect(w.github.ourComments(pull)).toHaveLength(1);
});

test('Redis is away: not ready, webhooks are stored all the same, and everything goes on after it (T-A11)', async () => {
  await using redis = await createRedis();
  await using w = await createWorld({ REDIS_URL: `unix://${redis.socket}` });
  const readyz = async (): Promise<number> => (await fetch(`${w.mayfly.webUrl}/readyz`)).status;
  const repo = await w.github.createRepository({ name: 'acme/shop', files: nodeApp('main') });
  await redis.stop();
  expect(await readyz()).toBe(503);
  const pull = await w.github.openPull(repo, { files: nodeApp('one') });
  expect(w.github.deliveries.findLast((delivery) => delivery.event === 'pull_request')).toMatchObject({ statusCode: 202 });
  await redis.start();
  await until('Mayfly to be ready', async () => (await readyz()) === 200);
  await w.reaches(pull, 'ready');
  expect((await w.visit(pull)).body).toBe('one');
});
