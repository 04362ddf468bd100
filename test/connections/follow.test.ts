import { expect, test } from 'vitest';
import { type Follower, openFollower } from '../../src/follow.ts';
import { silent } from '../store/open.ts';

const NEVER_MS = 3_600_000;

/** A follower with what tells it, and looks that the test lets succeed or fail one by one. */
function createFollowing() {
  const listeners = new Set<() => void>();
  const asked: PromiseWithResolvers<void>[] = [];
  let arrived = Promise.withResolvers<void>();
  const follower: Follower = openFollower((told) => {
    listeners.add(told);
    return { [Symbol.dispose]: () => void listeners.delete(told) };
  });
  return {
    follower,
    listeners,
    asked,
    tell: (): void => {
      for (const told of listeners) told();
    },
    look(): Promise<void> {
      const one = Promise.withResolvers<void>();
      asked.push(one);
      arrived.resolve();
      return one.promise;
    },
    /** The look under way, once there is one more than were before. */
    async next(): Promise<PromiseWithResolvers<void>> {
      await arrived.promise;
      arrived = Promise.withResolvers();
      const one = asked.at(-1);
      if (one === undefined) throw new Error('nobody looked');
      return one;
    },
  };
}

test('what was told before there was anything to look with is looked at at once', async () => {
  const w = createFollowing();
  w.tell();
  w.follower.start({ look: w.look, everyMs: NEVER_MS, log: silent });
  (await w.next()).resolve();
  await w.follower[Symbol.asyncDispose]();
  expect(w.asked).toHaveLength(1);
});

test('what is told during a look, however often, is one look more', async () => {
  const w = createFollowing();
  w.follower.start({ look: w.look, everyMs: NEVER_MS, log: silent });
  w.tell();
  const first = await w.next();
  for (const _ of [1, 2, 3]) w.tell();
  first.resolve();
  (await w.next()).resolve();
  await w.follower[Symbol.asyncDispose]();
  expect(w.asked).toHaveLength(2);
});

test('a look that fails is taken again until it succeeds, though nothing more is told', async () => {
  const w = createFollowing();
  w.follower.start({ look: w.look, everyMs: NEVER_MS, log: silent });
  w.tell();
  for (const _ of [1, 2]) (await w.next()).reject(new Error('the database is away'));
  (await w.next()).resolve();
  await w.follower[Symbol.asyncDispose]();
  expect(w.asked).toHaveLength(3);
});

test('when nothing is told it looks every now and then', async () => {
  const w = createFollowing();
  w.follower.start({ look: w.look, everyMs: 1, log: silent });
  for (const _ of [1, 2, 3]) (await w.next()).resolve();
  const closing = w.follower[Symbol.asyncDispose]();
  w.asked.at(-1)?.resolve();
  await closing;
  expect(w.listeners.size).toBe(0);
});

test('closed, it waits for the look under way and for no pause, and hears nothing more', async () => {
  const w = createFollowing();
  w.follower.start({ look: w.look, everyMs: NEVER_MS, log: silent });
  w.tell();
  const under = await w.next();
  let isClosed = false;
  const closing = w.follower[Symbol.asyncDispose]().then(() => {
    isClosed = true;
  });
  w.tell();
  await Promise.resolve();
  expect([isClosed, w.listeners.size]).toEqual([false, 0]);
  under.reject(new Error('the database is away'));
  await closing;
  expect(w.asked).toHaveLength(1);
});
