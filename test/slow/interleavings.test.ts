import { test } from 'vitest';
import { openModel } from '../model/interleavings.ts';

test('5,000 interleavings of news, commands, crashes, time and loss end where the forge and the newest commands say', {
  timeout: 3_600_000,
}, async () => {
  await using model = await openModel();
  await model.check(5_000);
});
