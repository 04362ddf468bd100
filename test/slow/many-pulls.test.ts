import { expect, test } from 'vitest';
import { mostInAMinute } from '../content-writes.ts';
import type { Pull } from '../doubles/github.ts';
import { nodeApp } from '../scenarios/apps.ts';
import { createWorld } from '../world.ts';

const PULLS = 200;
const MINUTES_15 = 900_000;

test('T-F15: 200 pulls in a minute on one installation: within GitHub’s limits, every last word is said, and another installation is served', {
  timeout: MINUTES_15 + 60_000,
}, async () => {
  await using w = await createWorld({ MAYFLY_MAX_SITES: '300' });
  // Their last word comes quickly: nothing is built where the settings have a mistake.
  const repo = await w.github.createRepository({ name: 'many/shop', files: { ...nodeApp('main'), '.mayfly.yml': 'ttl: soon\n' } });
  const pulls: Pull[] = [];
  for (let n = 0; n < PULLS; n++) pulls.push(await w.github.openPull(repo, { files: { [`${n}.txt`]: String(n) } }));
  const isSaid = (pull: Pull): boolean =>
    w.comment(pull).includes('### 🔴 Preview failed') && w.github.checksOf(pull.sha).some(({ conclusion }) => conclusion === 'failure');
  const said = (): number => pulls.filter(isSaid).length;

  const other = await w.github.createRepository({ name: 'few/shop', files: nodeApp('main') });
  const theirs = await w.github.openPull(other, { files: nodeApp('served meanwhile') });
  await w.reaches(theirs, 'ready');
  expect(said()).toBeLessThan(PULLS);
  expect((await w.visit(theirs)).body).toBe('served meanwhile');

  await expect.poll(said, { timeout: MINUTES_15, interval: 1_000 }).toBe(PULLS);
  for (const pull of pulls) expect(w.github.ourComments(pull)).toHaveLength(1);
  const installation = w.github.installationIdOf(repo);
  expect(mostInAMinute(w.github, installation)).toBeLessThanOrEqual(80);
  const refused = w.github.requests.filter((request) => request.installation === installation && request.status === 403);
  // GitHub was not asked again while it wanted a pause, but by those that were on their way.
  expect(refused.length).toBeLessThan(100);
});
