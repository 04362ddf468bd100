import { expect, test } from 'vitest';
import { openUsageMeter } from '../../src/gate/usage-meter.ts';
import type { Usage } from '../../src/site/cost.ts';
import { type SiteId, toSiteId } from '../../src/site/identity.ts';

const ONE = toSiteId('01JONE');
const OTHER = toSiteId('01JOTHER');

/** A meter at a time of our choosing, whose saving may fail. */
function createMeter(everyMs: number) {
  const state = { now: 0, fails: false, saved: [] as [SiteId, Usage][], warnings: 0 };
  const meter = openUsageMeter({
    now: () => state.now,
    everyMs,
    log: { warn: () => void state.warnings++, error: () => undefined },
    async save(more) {
      if (state.fails) throw new Error('the database is away');
      state.saved.push(...more);
    },
  });
  const sum = (of: keyof Usage): number => state.saved.reduce((total, [, usage]) => total + usage[of], 0);
  return { state, meter, sum };
}

test('requests at the same time are one time, one after the other they add up, and sites are apart', async () => {
  const { state, meter } = createMeter(3_600_000);
  const first = meter.answering(ONE);
  state.now = 100;
  const second = meter.answering(ONE);
  state.now = 150;
  first[Symbol.dispose]();
  state.now = 200;
  second[Symbol.dispose]();
  state.now = 1_000;
  const third = meter.answering(ONE);
  meter.answering(OTHER)[Symbol.dispose]();
  state.now = 1_005;
  third[Symbol.dispose]();
  await meter[Symbol.asyncDispose]();
  expect(state.saved).toEqual([
    [ONE, { busyMs: 205, requests: 3 }],
    [OTHER, { busyMs: 0, requests: 1 }],
  ]);
});

test('what lasts is saved as it goes, and once', async () => {
  const { state, meter, sum } = createMeter(5);
  const long = meter.answering(ONE);
  state.now = 40;
  await expect.poll(() => sum('busyMs')).toBe(40);
  state.now = 100;
  long[Symbol.dispose]();
  await meter[Symbol.asyncDispose]();
  expect([sum('busyMs'), sum('requests')]).toEqual([100, 1]);
});

test('what could not be saved is kept for the next time', async () => {
  const { state, meter, sum } = createMeter(5);
  state.fails = true;
  const visit = meter.answering(ONE);
  state.now = 7;
  visit[Symbol.dispose]();
  await expect.poll(() => state.warnings).toBeGreaterThan(0);
  state.fails = false;
  await meter[Symbol.asyncDispose]();
  expect([sum('busyMs'), sum('requests')]).toEqual([7, 1]);
});
