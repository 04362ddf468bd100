import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { createTurns } from '../../src/provision/turns.ts';
import { type SiteId, toSiteId } from '../../src/site/identity.ts';
import { placeOf } from '../store/open.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

type Site = Parameters<ReturnType<typeof createTurns>['take']>[0];
const site = (repository: number, pull: number): Site => ({
  id: toSiteId(`${repository}.${pull}`),
  pull: placeOf(pull, repository).pull,
});

/** `woken`: who was, and has not asked since. */
function open(launches: number) {
  const woken: SiteId[] = [];
  const turns = createTurns({ launches, wake: (id) => void woken.push(id) });
  const take: typeof turns.take = (one) => {
    if (woken.includes(one.id)) woken.splice(woken.indexOf(one.id), 1);
    return turns.take(one);
  };
  return {
    take,
    woken,
    /** One whose turn it is. */
    begin(of: Site): Disposable {
      const turn = take(of);
      if (typeof turn === 'number') throw new Error(`it has to wait ${turn} ms`);
      return turn;
    },
  };
}

test('a repository gets all launches but one, which is for whoever comes next', () => {
  const { take, begin } = open(4);
  for (const pull of [1, 2, 3]) begin(site(1, pull));
  expect(take(site(1, 4))).toBe(500);
  begin(site(2, 1));
  expect(take(site(2, 2))).toBe(500);
});

test('who is next is woken at once: whoever has the fewest under way', () => {
  const { take, begin, woken } = open(4);
  const [first] = [begin(site(1, 1)), begin(site(1, 2)), begin(site(2, 1))];
  const last = begin(site(3, 1));
  expect([take(site(1, 3)), take(site(2, 2))]).toEqual([500, 500]);
  last[Symbol.dispose]();
  expect(woken).toEqual(['2.2']);
  // It is kept for that one, whoever asks meanwhile.
  expect([take(site(1, 3)), take(site(4, 1))]).toEqual([500, 500]);
  begin(site(2, 2));
  first?.[Symbol.dispose]();
  expect(woken).toEqual(['4.1']);
});

test('with one launch at a time repositories take turns, and each of them its sites in their order', () => {
  const { take, begin, woken } = open(1);
  const sites = [site(1, 1), site(1, 2), site(1, 3), site(1, 4), site(2, 1), site(2, 2), site(3, 1)];
  let turn = begin(site(9, 1));
  for (const one of sites) take(one);
  const order: SiteId[] = [];
  for (;;) {
    vi.advanceTimersByTime(100);
    turn[Symbol.dispose]();
    const next = sites.find(({ id }) => woken.includes(id));
    if (next === undefined) break;
    order.push(next.id);
    turn = begin(next);
    // Those that are left go on asking.
    for (const one of sites) if (!order.includes(one.id)) take(one);
  }
  expect(order).toEqual(['1.1', '2.1', '3.1', '1.2', '2.2', '1.3', '1.4']);
});

test('no launch is left out while somebody waits, however many repositories do', () => {
  const { take, begin, woken } = open(4);
  const repositories = Array.from({ length: 500 }, (_, n) => n + 1);
  // Each was launched before, so that each has its own place among them.
  for (const repository of repositories) {
    begin(site(repository, 1))[Symbol.dispose]();
    vi.advanceTimersByTime(1);
  }
  const turns = [1, 2, 3, 4].map((repository) => begin(site(repository, 2)));
  for (const repository of repositories.slice(4)) take(site(repository, 3));
  for (const turn of turns) turn[Symbol.dispose]();
  expect(woken).toEqual(['5.3', '6.3', '7.3', '8.3']);
});

test('a turn whose site does not come goes to the next one after half a second', () => {
  const { take, begin, woken } = open(1);
  const busy = begin(site(1, 1));
  take(site(2, 1));
  take(site(1, 2));
  busy[Symbol.dispose]();
  expect(woken).toEqual(['2.1']);
  vi.advanceTimersByTime(500);
  expect(woken).toEqual(['2.1', '1.2']);
  begin(site(1, 2));
  expect(take(site(2, 1))).toBe(500);
});

test('one that has not asked for long is passed over', () => {
  const { take, begin, woken } = open(1);
  const busy = begin(site(1, 1));
  take(site(2, 1));
  vi.advanceTimersByTime(1_501);
  busy[Symbol.dispose]();
  expect(woken).toEqual([]);
  begin(site(3, 1));
});

test('the more wait, the less often each of them asks', () => {
  const { take, begin } = open(1);
  begin(site(1, 1));
  const waits = Array.from({ length: 101 }, (_, n) => take(site(1, n + 2)));
  expect([waits[0], waits[50], waits[100]]).toEqual([500, 500, 1_000]);
});
