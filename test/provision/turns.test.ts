import { expect, test } from 'vitest';
import { createTurns } from '../../src/provision/turns.ts';
import { placeOf } from '../store/open.ts';

const busy = placeOf(1, 1).pull;
const calm = placeOf(1, 2).pull;

test('a repository gets all launches but one, and half of them while another waits', async () => {
  let someoneWaits = false;
  const turns = createTurns(4, async () => someoneWaits);
  const taken = [await turns.take(busy), await turns.take(busy), await turns.take(busy)];
  expect(taken.every((turn) => turn !== undefined)).toBe(true);
  expect(await turns.take(busy)).toBeUndefined();
  const other = await turns.take(calm);
  expect(other).toBeDefined();
  expect(await turns.take(calm)).toBeUndefined();
  taken[0]?.[Symbol.dispose]();
  someoneWaits = true;
  expect(await turns.take(busy)).toBeUndefined();
  expect(await turns.take(calm)).toBeDefined();
});

test('with one launch at a time every repository has its turn', async () => {
  const turns = createTurns(1, async () => true);
  const turn = await turns.take(busy);
  expect(turn).toBeDefined();
  expect(await turns.take(calm)).toBeUndefined();
  turn?.[Symbol.dispose]();
  expect(await turns.take(calm)).toBeDefined();
});
