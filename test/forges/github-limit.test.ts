import { expect, test } from 'vitest';
import { GITHUB_WINDOWS, type RequestKind } from '../../src/app/forges/github-limit.ts';
import { createLimits, HOUR_MS, type Limits, MINUTE_MS, TRAVEL_MS } from '../../src/app/forges/limits.ts';
import { Fault } from '../../src/site/problem.ts';

/** The forge's minute, and what a request may be on its way to it. */
const MINUTE = MINUTE_MS + TRAVEL_MS;
const HOUR = HOUR_MS + TRAVEL_MS;

/** Takes requests until one is put off. @returns how many were taken, and for how many minutes the next is put off */
async function takeAll(limits: Limits<RequestKind>, kind: RequestKind, now: () => number): Promise<[number, number]> {
  for (let taken = 0; ; taken += 1) {
    try {
      await limits.take('1', kind);
    } catch (error) {
      if (!(error instanceof Fault) || error.code !== 'forge-limited') throw error;
      return [taken, (Date.parse(error.details.until ?? '') - now()) / MINUTE];
    }
  }
}

test('T-F15: what is said in passing leaves first and last words their share of the minute and of the hour', async () => {
  let time = Date.parse('2026-01-02T03:04:05Z');
  const now = (): number => time;
  const limits = createLimits(GITHUB_WINDOWS, now);
  expect(await takeAll(limits, 'passing', now)).toEqual([20, 1]);
  expect(await takeAll(limits, 'content', now)).toEqual([56, 1]);
  time += MINUTE;
  // So much was said in this hour already that nothing more is said in passing.
  expect(await takeAll(limits, 'passing', now)).toEqual([4, (HOUR - MINUTE) / MINUTE]);
  let content = 80;
  while (content < 480) {
    content += (await takeAll(limits, 'content', now))[0];
    expect((await takeAll(limits, 'passing', now))[0]).toBe(0);
    time += MINUTE;
  }
  expect(content).toBe(480);
  // The checks go on all the while.
  expect(await takeAll(limits, 'state', now)).toEqual([84, 1]);
});

test('reads are counted: with what is written they stay within what GitHub gives for a minute, and writes leave them some', async () => {
  let time = Date.parse('2026-01-02T03:04:05Z');
  const now = (): number => time;
  const limits = createLimits(GITHUB_WINDOWS, now);
  expect(await takeAll(limits, 'read', now)).toEqual([880, 1]);
  expect(await takeAll(limits, 'state', now)).toEqual([0, 1]);
  time += MINUTE;
  expect(await takeAll(limits, 'state', now)).toEqual([84, 1]);
  expect(await takeAll(limits, 'content', now)).toEqual([76, 1]);
  expect(await takeAll(limits, 'read', now)).toEqual([80, 1]);
});
