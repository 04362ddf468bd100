import { afterAll, afterEach, beforeAll, describe, test } from 'vitest';
import { FAULT_POINTS, type FaultPoint } from '../../../src/fault-points.ts';
import { type ChildWorld, createChildWorld } from '../../child.ts';
import { expectClosed, expectConverged, expectGone, pullOpener } from '../../converged.ts';
import type { ForgeName } from '../../doubles/stage.ts';
import type { TargetName } from '../../world.ts';
import { storedApp } from '../apps.ts';

/** Met while a site is removed; all others while it comes up. */
const IN_REMOVAL: readonly FaultPoint[] = ['resource-removed', 'destroyed'];
/** How often a point is met on a site's way up, where that is more than once: it is killed at each. */
const MEETINGS: Partial<Record<FaultPoint, number>> = { 'row-committed': 6, 'check-made': 2 };

/** Between Mayfly and the forge. The others are between it and its own database or the target, which know no forge. */
export const POINTS_OF_FORGE: readonly FaultPoint[] = ['delivery-stored', 'comment-posted', 'check-made', 'deployment-made', 'destroyed'];

type Kill = { readonly point: FaultPoint; readonly time: number };
const killsAt = (points: readonly FaultPoint[]): readonly Kill[] =>
  points.flatMap((point) => Array.from({ length: MEETINGS[point] ?? 1 }, (_, at) => ({ point, time: at + 1 })));
/** In the process that serves the web, which lives on when the worker alone is killed. */
const isOfTheWeb = ({ point, time }: Kill): boolean => point === 'delivery-stored' || (point === 'row-committed' && time > 5);

/** Between Mayfly and the target. */
export const POINTS_OF_TARGET: readonly FaultPoint[] = [
  'launch-started',
  'fetched',
  'built',
  'stack-made',
  'database-made',
  'up-returned',
  'launch-succeeded',
  'before-settle',
  'resource-removed',
  'destroyed',
];

/** Killed at these points, on either forge and target. */
export function kills(forge: ForgeName, points: readonly FaultPoint[] = FAULT_POINTS, target: TargetName = 'local'): void {
  const upwards = killsAt(points.filter((point) => !IN_REMOVAL.includes(point)));
  const downwards = killsAt(points.filter((point) => IN_REMOVAL.includes(point)));

  describe.each([
    { what: 'the whole of Mayfly', database: 'given', cases: upwards },
    { what: 'the worker alone', database: 'shared', cases: upwards.filter((kill) => !isOfTheWeb(kill)) },
  ] as const)('$what is killed', ({ database, cases }) => {
    let w: ChildWorld;
    let open: ReturnType<typeof pullOpener>;
    beforeAll(async () => {
      w = await createChildWorld(database, forge, target);
      open = pullOpener(w, 'kills');
    });
    afterEach(() => w.stop());
    afterAll(() => w[Symbol.asyncDispose]());

    const dieAndRise = async (): Promise<void> => {
      const { had } = await w.died();
      await w.allDie(had);
      await w.start();
    };

    test.each(cases)('T-F01: at $point, time $time', async (kill) => {
      await w.start(kill);
      const pull = await open(storedApp('survived'), storedApp('main'));
      await dieAndRise();
      await expectConverged(w, pull, 'survived');
      await expectClosed(w, pull);
    });

    test.each(downwards)('T-F01: at $point', async (kill) => {
      await w.start(kill);
      const pull = await open(storedApp('brief'), storedApp('main'));
      await expectConverged(w, pull, 'brief');
      await w.forge.close(pull);
      await dieAndRise();
      await expectGone(w, pull);
    });
  });
}
