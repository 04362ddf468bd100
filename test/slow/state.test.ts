import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { answering, nextRevision, watching } from '../contract/target.ts';
import { hold, type LocalWorld, openLocalWorld, visit } from '../target/local.ts';
import {
  DAMAGES,
  damagedThenLaunched,
  damagedThenRemoved,
  freezeFirstAt,
  killedAndCutOff,
  killedInRemoval,
  killedThenLaunched,
  killedThenRemoved,
  stateOf,
  wish,
} from '../target/stacks.ts';

let w: LocalWorld;
beforeAll(async () => {
  w = await openLocalWorld();
});
afterAll(() => w[Symbol.asyncDispose]());

describe.each(['database-made', 'process-started'] as const)('T-F01, T-F06: the engine is killed at %s', (point) => {
  test('the next launch gets past the lock and clears what is pending', () => killedThenLaunched(w, point));
  test('the site’s removal leaves nothing', () => killedThenRemoved(w, point));
});
test('T-F01, T-F09: the engine is killed, and its state is cut off: the next launch succeeds', () => killedAndCutOff(w));
test('T-F01: the engine is killed while it removes: removing again leaves nothing', () => killedInRemoval(w));

describe.each(DAMAGES)('T-F09: a state that is %s', (damage) => {
  test('the next launch finds what is really there; the neighbour notices nothing', () => damagedThenLaunched(w, damage));
  test('the site’s removal leaves nothing', () => damagedThenRemoved(w, damage));
});

test('T-F02: what an engine goes on writing after its lease went to another is not taken', async () => {
  const order = await wish(w, 'older');
  const newer = nextRevision(order, { live: null, artefact: await w.artefact({ 'server.js': answering('newer') }) });
  using freeze = freezeFirstAt('process-started');
  // Nobody ever tells this one that its lease is over: the fence alone keeps its engine out, which tries for a minute.
  const first = w.target.deploy(hold(1), order, watching()).catch((error: unknown) => error);
  await freeze.reached;
  expect(await visit(w, await w.elsewhere.deploy(hold(2), newer, watching()))).toBe('newer');
  const before = await stateOf(w, order);
  freeze.thaw();
  expect(await first).toMatchObject({ code: 'deploy-failed' });
  expect(await stateOf(w, order)).toEqual(before);
});
