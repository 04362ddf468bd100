import { describe, expect, test } from 'vitest';
import { together } from '../src/together.ts';

/** Work that is over when the test says so. */
function held() {
  const calls: { readonly items: readonly number[]; readonly end: () => void }[] = [];
  const work = (items: readonly number[]): Promise<readonly string[]> =>
    new Promise((resolve) => calls.push({ items, end: () => resolve(items.map((item) => `did ${item}`)) }));
  return { work, calls, items: () => calls.map(({ items }) => items) };
}

test('what comes first goes at once and alone; what comes meanwhile goes together, so many at most', async () => {
  const { work, calls, items } = held();
  const add = together(work, { atOnce: 2, most: 3, isOnes: () => true });
  const done = Promise.all([1, 2, 3, 4, 5, 6].map(add));
  expect(items()).toEqual([[1], [2]]);
  calls[0]?.end();
  await expect.poll(items).toEqual([[1], [2], [3, 4, 5]]);
  calls[1]?.end();
  await expect.poll(items).toEqual([[1], [2], [3, 4, 5], [6]]);
  for (const { end } of calls) end();
  expect(await done).toEqual(['did 1', 'did 2', 'did 3', 'did 4', 'did 5', 'did 6']);
});

test('what is to wait for others goes with those that came meanwhile', async () => {
  const { work, calls, items } = held();
  const add = together(work, { atOnce: 1, most: 10, isOnes: () => true, afterMs: 1 });
  const done = Promise.all([1, 2, 3].map(add));
  expect(items()).toEqual([]);
  await expect.poll(items).toEqual([[1, 2, 3]]);
  const later = add(4);
  for (const { end } of calls) end();
  await expect.poll(items).toEqual([[1, 2, 3], [4]]);
  calls[1]?.end();
  expect([await done, await later]).toEqual([['did 1', 'did 2', 'did 3'], 'did 4']);
});

describe('a call for several that throws', () => {
  function failing(error: Error) {
    const calls: (readonly number[])[] = [];
    const work = async (items: readonly number[]): Promise<readonly number[]> => {
      calls.push(items);
      if (items.includes(3)) throw error;
      return items;
    };
    const isOnes = (thrown: unknown): boolean => thrown instanceof RangeError;
    return { calls, add: together(work, { atOnce: 1, most: 10, isOnes }) };
  }

  test('one that cannot be done takes nobody along', async () => {
    const { calls, add } = failing(new RangeError('not 3'));
    const ends = await Promise.allSettled([1, 2, 3, 4].map(add));
    expect(ends.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'fulfilled']);
    expect(calls).toEqual([[1], [2, 3, 4], [2], [3], [4]]);
  });

  test('what no single one has caused is asked once more for all of them, and not for each', async () => {
    const { calls, add } = failing(new Error('away'));
    const ends = await Promise.allSettled([1, 2, 3, 4].map(add));
    expect(ends.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected', 'rejected']);
    expect(calls).toEqual([[1], [2, 3, 4], [2, 3, 4]]);
  });

  test('what was over by the second time is told to nobody, also not to one that went alone', async () => {
    const calls: (readonly number[])[] = [];
    const work = async (items: readonly number[]): Promise<readonly number[]> => {
      // Each first time.
      if (calls.push(items) % 2 === 1) throw new Error('reset');
      return items;
    };
    const add = together(work, { atOnce: 1, most: 10, isOnes: () => false });
    expect(await Promise.all([1, 2, 3].map(add))).toEqual([1, 2, 3]);
    expect(calls).toEqual([[1], [1], [2, 3], [2, 3]]);
  });
});
