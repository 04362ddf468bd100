import { describe, expect, test } from 'vitest';
import { retryDelay } from '../../src/queue-retry.ts';
import { Fault } from '../../src/site/problem.ts';

const now = new Date('2026-01-01T12:00:00Z');
const waits = (error: unknown, attempts: number): (number | null)[] =>
  Array.from({ length: attempts }, (_, before) => retryDelay(error, before + 1, now));

describe('how long a failure waits for its next attempt', () => {
  test('a bug: half a minute, doubling, five times', () => {
    expect(waits(new Error('a bug'), 6)).toEqual([30_000, 60_000, 120_000, 240_000, 480_000, null]);
  });

  test.each(['ECONNREFUSED', 'ECONNRESET', '57P01', '57P03', '08006', '53300', '40001', '40P01'])(
    'a store that is away (%s): soon',
    (code) => {
      expect(waits(Object.assign(new Error(), { code }), 6)).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, null]);
    },
  );

  test('a statement that is wrong is a bug, not a store that is away', () => {
    expect(retryDelay(Object.assign(new Error(), { code: '42601' }), 1, now)).toBe(30_000);
  });

  test('what is never gone is not tried again', () => {
    expect(retryDelay(new Fault('access-gone'), 1, now)).toBeNull();
    expect(retryDelay(new Fault('lease-lost'), 1, now)).toBeNull();
  });

  test.each([
    ['2026-01-01T12:02:00Z', 120_000],
    ['2026-01-01T11:00:00Z', 1_000],
    ['2026-01-03T12:00:00Z', 3_600_000],
    ['soon', 60_000],
  ])('a forge that asks for a pause until %s gets %i ms', (until, expected) => {
    expect(retryDelay(new Fault('forge-limited', { details: { until } }), 1, now)).toBe(expected);
  });

  test('a forge that goes on asking is left alone after twenty pauses', () => {
    const fault = new Fault('forge-limited', { details: { until: '2026-01-01T12:01:00Z' } });
    expect([retryDelay(fault, 20, now), retryDelay(fault, 21, now)]).toEqual([60_000, null]);
  });
});
