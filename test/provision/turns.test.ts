import { expect, test } from 'vitest';
import { createTurns } from '../../src/provision/turns.ts';
import { toSiteId } from '../../src/site/identity.ts';
import { placeOf } from '../store/open.ts';

type Site = Parameters<ReturnType<typeof createTurns>['take']>[0];

const site = (repository: number, pull: number): Site => ({
  id: toSiteId(`${repository}.${pull}`),
  pull: placeOf(pull, repository).pull,
});

function open(launches: number) {
  let at = 0;
  const turns = createTurns(launches, () => at);
  return {
    ...turns,
    pass(ms: number): void {
      at += ms;
    },
    /** One that is its turn. */
    begin(of: Site): Disposable {
      const turn = turns.take(of);
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

test('whoever has the fewest under way is next', () => {
  const { take, begin } = open(4);
  const [oldest] = [begin(site(1, 1)), begin(site(1, 2)), begin(site(2, 1))];
  const last = begin(site(3, 1));
  expect([take(site(1, 3)), take(site(2, 2))]).toEqual([500, 500]);
  last[Symbol.dispose]();
  expect(take(site(1, 3))).toBe(500);
  begin(site(2, 2));
  oldest?.[Symbol.dispose]();
  begin(site(1, 3));
});

test('with one launch at a time repositories take turns, however many of one wait', () => {
  const { take, pass } = open(1);
  const order: string[] = [];
  const waiting = [site(1, 1), site(1, 2), site(1, 3), site(1, 4), site(2, 1), site(2, 2), site(3, 1)];
  while (waiting.length > 0) {
    pass(500);
    let turn: Disposable | undefined;
    for (const one of [...waiting]) {
      const taken = take(one);
      if (typeof taken === 'number') continue;
      turn = taken;
      order.push(one.id);
      waiting.splice(waiting.indexOf(one), 1);
    }
    turn?.[Symbol.dispose]();
  }
  expect(order).toEqual(['1.1', '2.1', '3.1', '1.2', '2.2', '1.3', '1.4']);
});

test('one that was told to wait and does not come back holds nobody up for long', () => {
  const { take, begin, pass } = open(1);
  const busy = begin(site(1, 1));
  expect(take(site(2, 1))).toBe(500);
  busy[Symbol.dispose]();
  expect(take(site(1, 2))).toBe(500);
  pass(1_600);
  begin(site(1, 2));
});

test('the more wait, the less often each of them asks', () => {
  const { take, begin } = open(1);
  begin(site(1, 1));
  const waits = Array.from({ length: 101 }, (_, n) => take(site(1, n + 2)));
  expect([waits[0], waits[50], waits[100]]).toEqual([500, 500, 1_000]);
});
