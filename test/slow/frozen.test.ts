import { afterAll, afterEach, beforeAll, test } from 'vitest';
import { type ChildWorld, createChildWorld } from '../child.ts';
import { pullOpener } from '../converged.ts';
import { type Freeze, frozenAndThawed } from '../frozen.ts';

let w: ChildWorld;
let open: ReturnType<typeof pullOpener>;
beforeAll(async () => {
  w = await createChildWorld('shared');
  open = pullOpener(w, 'frozen');
});
afterEach(() => w.stop());
afterAll(() => w[Symbol.asyncDispose]());

const points = ['lease-taken', 'launch-started', 'fetched', 'built', 'database-made', 'process-started'] as const;
const later = ['up-returned', 'launch-succeeded', 'before-settle', 'comment-posted', 'deployment-made'] as const;
const cases: readonly Freeze[] = [
  ...[...points, ...later].map((point) => ({ point, what: 'alone' }) as const),
  ...(['database-made', 'process-started'] as const).map((point) => ({ point, what: 'with all its children' }) as const),
];

test.each(cases)('T-F02: a worker that froze at $point, $what', (freeze) => frozenAndThawed(w, open, freeze));
