import { test } from 'vitest';
import { openModel } from './interleavings.ts';

test('T-F01, T-F18: in whatever order things come, are lost or die in the middle, the end is what the forge and the newest commands say', {
  timeout: 300_000,
}, async () => {
  await using model = await openModel();
  // Always the same ones, so that a change is what makes it fail; others every time are in test/slow.
  await model.check(200, { seed: 20_261_126 });
});
