import { expect, test } from 'vitest';
import { type ChildWorld, createChildWorld } from '../child.ts';
import { pullOpener } from '../converged.ts';
import { neverAnswers, stop } from '../scenarios/suites/stop.ts';
import { until } from '../world.ts';

stop('github', 'gcp');

test('T-F05: during a removal that Google never ends: it stops all the same', async () => {
  await using w: ChildWorld = await createChildWorld('given', 'github', 'gcp');
  await w.start();
  await pullOpener(w, 'endless')(neverAnswers());
  await until('the app', () => w.runs('server.js'));
  w.google?.cloud.faults.next('run.services.delete', { kind: 'hang' });
  const ended = w.end('SIGTERM');
  await until('the removal', () => w.google?.seen.some(({ method, path }) => method === 'DELETE' && path.includes('/services/')));
  expect((await ended).code).toBe(0);
});
