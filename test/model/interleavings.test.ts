import { test } from 'vitest';
import { openModel } from './interleavings.ts';

test('T-F01, T-F18: in whatever order things come, are lost or die in the middle, the end is what the forge and the newest commands say', {
  timeout: 300_000,
}, async () => {
  await using model = await openModel();
  await model.check(200);
});
