import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type ChildWorld, createChildWorld } from '../child.ts';
import { expectClosed, expectConverged, pullOpener } from '../converged.ts';
import { storedApp } from '../scenarios/apps.ts';

const LAUNCHES = 20;
/** Longer than a launch of this app takes on a machine that has nothing else to do. */
const LATEST_MS = 6_000;

let w: ChildWorld;
beforeAll(async () => {
  w = await createChildWorld('given');
  await w.start();
});
afterAll(() => w[Symbol.asyncDispose]());

test('killed at random moments of twenty launches: each converges, with one comment and one site', { timeout: 2_400_000 }, async () => {
  const open = pullOpener(w, 'random');
  const pull = await open(storedApp('0'), storedApp('main'));
  const moments: number[] = [];
  for (let launch = 1; launch <= LAUNCHES; launch++) {
    await w.forge.push(pull, storedApp(String(launch)));
    moments.push(Math.round(Math.random() * LATEST_MS));
    await delay(moments.at(-1));
    const { had } = await w.end('SIGKILL');
    await w.allDie(had);
    await w.start();
    await expectConverged(w, pull, String(launch)).catch((error: unknown) => {
      throw new Error(`killed after these milliseconds, the last in vain: ${moments.join(', ')}`, { cause: error });
    });
    expect((await w.descendants()).filter(({ command }) => command.includes('server.js')).length).toBeGreaterThan(0);
  }
  await expectClosed(w, pull);
});
