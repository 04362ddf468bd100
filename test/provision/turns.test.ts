import { expect, test } from 'vitest';
import { createTurns } from '../../src/provision/turns.ts';
import { placeOf } from '../store/open.ts';

const pullOf = (repository: number) => placeOf(1, repository).pull;

/** A process that works on so many launches, and a clock that stands still unless it is moved. */
function open(launches: number) {
  const clock = { ms: 0, woken: 0 };
  const turns = createTurns({ launches, wakeNext: () => void clock.woken++, now: () => clock.ms });
  return { clock, wait: turns.wait, begin: turns.begin };
}

test('a repository gets all launches but one, which is for whoever else comes', () => {
  const { wait, begin } = open(4);
  for (const _ of [1, 2, 3]) begin(pullOf(1));
  expect(wait(pullOf(1), 0)).toBe(250);
  expect(wait(pullOf(2), 0)).toBe(0);
  begin(pullOf(2));
  expect(wait(pullOf(2), 0)).toBe(250);
});

test('a process that works on one launch at a time gives that to any repository', () => {
  const { wait, begin } = open(1);
  expect(wait(pullOf(1), 0)).toBe(0);
  begin(pullOf(1));
  expect(wait(pullOf(2), 0)).toBe(250);
});

test('as many as places are free may begin, from the front of the line', () => {
  const { wait, begin } = open(4);
  expect([0, 1, 2, 3, 4].map((before) => wait(pullOf(1), before))).toEqual([0, 0, 0, 0, 4_250]);
  begin(pullOf(1));
  expect([0, 1, 2, 3].map((before) => wait(pullOf(2), before))).toEqual([0, 0, 0, 3_250]);
});

test('whoever is further back asks less often, at least once a minute', () => {
  const { wait, begin } = open(1);
  begin(pullOf(1));
  expect([0, 1, 2, 59, 60, 100_000].map((before) => wait(pullOf(2), before))).toEqual([250, 1_250, 2_250, 59_250, 60_000, 60_000]);
});

test('a place whose next does not come goes further back in the line, second by second', () => {
  const { clock, wait, begin } = open(2);
  begin(pullOf(1));
  expect([0, 1].map((before) => wait(pullOf(2), before))).toEqual([0, 1_250]);
  clock.ms += 999;
  expect(wait(pullOf(2), 1)).toBe(1_250);
  clock.ms += 1;
  expect([1, 2].map((before) => wait(pullOf(2), before))).toEqual([0, 2_250]);
  clock.ms += 100_000;
  expect(wait(pullOf(2), 101)).toBe(0);
});

test('the second counts from when a launch last began or was over', () => {
  const { clock, wait, begin } = open(2);
  clock.ms += 100_000;
  const first = begin(pullOf(1));
  expect(wait(pullOf(2), 1)).toBe(1_250);
  clock.ms += 1_000;
  expect(wait(pullOf(2), 1)).toBe(0);
  first[Symbol.dispose]();
  expect([0, 1, 2].map((before) => wait(pullOf(2), before))).toEqual([0, 0, 2_250]);
});

test('the next is woken when a launch begins, as a place may be free elsewhere, and when one is over', () => {
  const { clock, wait, begin } = open(1);
  const first = begin(pullOf(1));
  expect(clock.woken).toBe(1);
  first[Symbol.dispose]();
  expect(clock.woken).toBe(2);
  expect(wait(pullOf(1), 0)).toBe(0);
});
