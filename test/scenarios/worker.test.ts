import { afterAll, afterEach, beforeAll, test } from 'vitest';
import { type ChildWorld, createChildWorld } from '../child.ts';
import { expectClosed, expectConverged, pullOpener } from '../converged.ts';
import { frozenAndThawed } from '../frozen.ts';
import { storedApp } from './apps.ts';

// One of each kind, with a worker that is a process of its own; every moment is in test/slow.
const MINUTES_3 = 180_000;
let w: ChildWorld;
let open: ReturnType<typeof pullOpener>;
beforeAll(async () => {
  w = await createChildWorld('shared');
  open = pullOpener(w, 'worker');
});
afterEach(() => w.stop());
afterAll(() => w[Symbol.asyncDispose]());

test('T-F01: the worker alone is killed when an app has just been started: the next one finishes, with one of everything', {
  timeout: MINUTES_3,
}, async () => {
  await w.start({ point: 'process-started' });
  const pull = await open(storedApp('survived'), storedApp('main'));
  const { had } = await w.died();
  await w.allDie(had);
  await w.start();
  await expectConverged(w, pull, 'survived');
  await expectClosed(w, pull);
});

test('T-F02: a worker that froze while another took over changes nothing any more', { timeout: MINUTES_3 }, () =>
  frozenAndThawed(w, open, { point: 'database-made', what: 'alone' }),
);
