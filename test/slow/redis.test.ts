import { expect, test } from 'vitest';
import { createRedisWorld } from '../redis-world.ts';

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
