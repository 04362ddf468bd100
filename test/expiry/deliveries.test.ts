import { expect, test } from 'vitest';
import { planDeliveries } from '../../src/expiry/deliveries.ts';
import { carryOut } from '../../src/expiry/plan.ts';
import type { Deliveries, FailedDelivery } from '../../src/site/ports.ts';
import { Fault } from '../../src/site/problem.ts';
import { github, openTestStore, silent } from '../store/open.ts';

const at = new Date('2026-11-20T10:00:00Z');
const lost = (id: string): FailedDelivery => ({ id, attempt: `attempt-${id}`, event: 'issue_comment.created', at });

/** A forge that could not deliver these, and notes since when it was asked and what for. */
function forgeWith(failed: readonly FailedDelivery[]) {
  const since: Date[] = [];
  const asked: string[] = [];
  const deliveries: Deliveries = {
    async failed(from) {
      since.push(from);
      return { failed, until: at, cut: false };
    },
    async redeliver({ id }) {
      if (id === 'refused') throw new Fault('forge-unreachable', { details: { cause: 'GitHub answered 502' } });
      asked.push(id);
    },
  };
  return { since, asked, link: { forge: github.id, deliveries, log: silent } };
}

async function openStore() {
  const store = await openTestStore();
  await store.repositories.ensureForge(github);
  return store;
}

test('the first look goes back three days, the next ones to where the last one ended, less ten minutes', async () => {
  await using store = await openStore();
  const { since, link } = forgeWith([]);
  await (await planDeliveries(store, link)).settle();
  await store.redeliveries.lookedUntil(github.id, await store.now());
  await planDeliveries(store, link);
  const minutesAgo = since.map((from) => Math.round((Date.now() - from.getTime()) / 60_000));
  expect(minutesAgo).toEqual([3 * 24 * 60, 10]);
});

test('what has come is not asked for; what is, says what and when', async () => {
  await using store = await openStore();
  await store.inbox.put({ id: 'came', forge: github.id, event: {}, digest: 'x' });
  const { asked, link } = forgeWith([lost('came'), lost('lost')]);
  const { findings } = await planDeliveries(store, link);
  expect(findings.map(({ deed, ...told }) => ({ ...told, word: deed.word }))).toEqual([
    {
      kind: 'delivery',
      name: 'issue_comment.created lost',
      where: 'github',
      why: 'not delivered at 2026-11-20T10:00:00Z',
      word: 'asked for again',
    },
  ]);
  expect(asked).toEqual([]);
  await carryOut(findings, { log: silent });
  // Planned before, and asked for meanwhile by another process.
  expect((await carryOut(findings, { log: silent })).map(({ outcome }) => outcome)).toEqual(['not needed']);
  expect(asked).toEqual(['lost']);
});

test('of very many, eighty are asked for at once, and none is forgotten', async () => {
  await using store = await openStore();
  const { asked, link } = forgeWith(Array.from({ length: 100 }, (_, n) => lost(`d-${n}`)));
  const first = await planDeliveries(store, link);
  await carryOut(first.findings, { log: silent });
  await first.settle();
  expect(asked).toHaveLength(80);
  expect(await store.redeliveries.until(github.id)).toBeNull();
  const second = await planDeliveries(store, link);
  await carryOut(second.findings, { log: silent });
  await second.settle();
  expect(new Set(asked).size).toBe(100);
  expect(await store.redeliveries.until(github.id)).toEqual(at);
});

test('one that the forge would not send is asked for at the next look', async () => {
  await using store = await openStore();
  const { link } = forgeWith([lost('refused'), lost('fine')]);
  const done = await carryOut((await planDeliveries(store, link)).findings, { log: silent });
  expect(done.map(({ outcome }) => outcome)).toEqual(['failed', 'done']);
  expect((await planDeliveries(store, link)).findings.map(({ name }) => name)).toEqual(['issue_comment.created refused']);
});
