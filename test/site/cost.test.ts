import { expect, test } from 'vitest';
import { costOf, dollars, NO_USAGE } from '../../src/site/cost.ts';
import { REGION_WORDS, regionsOf } from '../../src/site/region.ts';
import { renderComment } from '../../src/site/report.ts';
import { DONE, FAILED, LIVE, NOW, SITES, view } from './site-examples.ts';

const HOUR = 3_600_000;

test('a site costs nothing while it sleeps, and by region, time and requests while it answers', () => {
  expect(costOf('europe-west1', NO_USAGE)).toEqual({ asleepPerHour: 0, awakePerHour: expect.closeTo(0.0909, 6), soFar: 0 });
  expect(costOf('europe-west3', NO_USAGE).awakePerHour).toBeCloseTo(0.12726, 6);
  expect(costOf('europe-west1', { busyMs: 2 * HOUR, requests: 500_000 }).soFar).toBeCloseTo(2 * 0.0909 + 0.2, 6);
});

test('every region has a price', () => {
  const prices = new Set(REGION_WORDS.flatMap(regionsOf).map((region) => costOf(region, NO_USAGE).awakePerHour.toFixed(4)));
  expect([...prices].sort()).toEqual(['0.0909', '0.1273']);
});

test.each([
  [0, 'nothing'],
  [0.000_4, 'less than $0.01'],
  [0.01, 'about $0.01'],
  [0.127, 'about $0.13'],
  [12.3, 'about $12.30'],
])('%d is %s', (amount, words) => {
  expect(dollars(amount)).toBe(words);
});

const costIn = (text: string): string | undefined => /<details><summary>Cost.*?<\/details>/s.exec(text)?.[0];

test('the comment tells what it costs, where it costs something', () => {
  const used = { usage: { busyMs: 1.4 * HOUR, requests: 900 }, launches: [DONE] };
  expect(costIn(renderComment(view(SITES.ready, used), NOW))).toMatchInlineSnapshot(`
    "<details><summary>Cost</summary>

    Asleep nothing, while it answers about $0.13 an hour, so far about $0.18. Cloud Run's prices in eu-frankfurt of 2025-09-04, without the free tier; builds, traffic and databases are not in it.
    </details>"
  `);
  const unused = { usage: NO_USAGE, launches: [DONE] };
  expect(costIn(renderComment(view({ ...SITES.ready, region: 'europe-west1' }, unused), NOW))).toMatchInlineSnapshot(`
    "<details><summary>Cost</summary>

    Asleep nothing, while it answers about $0.09 an hour, so far nothing. Cloud Run's prices in eu-belgium of 2025-09-04, without the free tier; builds, traffic and databases are not in it.
    </details>"
  `);
  expect(costIn(renderComment(view(SITES.ready, { usage: null }), NOW))).toBeUndefined();
});

test('one that failed costs only while something is still served', () => {
  const used = { usage: { busyMs: HOUR, requests: 1 }, launches: [FAILED] };
  expect(costIn(renderComment(view(SITES.failed, used), NOW))).toBeUndefined();
  expect(costIn(renderComment(view({ ...SITES.failed, live: LIVE }, used), NOW))).toContain('so far about $0.13');
});
