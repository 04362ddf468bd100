import { expect, test } from 'vitest';
import { mostInAMinute } from '../content-writes.ts';
import type { Pull } from '../doubles/github.ts';
import { nodeApp } from '../scenarios/apps.ts';
import { createWorld, until } from '../world.ts';

const PULLS = 200;
/** A comment made and edited for each pull is 400 contents, of which GitHub takes 80 a minute, and as many checks. */
const PATIENCE_MS = 15 * 60_000;

test('T-F15: 200 pulls at once on one installation: GitHub’s limits hold, every last word is said, and another installation is served', {
  timeout: PATIENCE_MS + 60_000,
}, async () => {
  await using w = await createWorld({ MAYFLY_MAX_SITES: '300', MAYFLY_SWEEP_EVERY: '60s' });
  const many = await w.github.createRepository({ name: 'many/shop', files: { ...nodeApp('main'), '.mayfly.yml': 'ttl: soon\n' } });
  const few = await w.github.createRepository({ name: 'few/shop', files: nodeApp('main') });
  const pulls: Pull[] = [];
  for (let n = 0; n < PULLS; n++) pulls.push(await w.github.openPull(many, { files: { 'note.txt': `${n}` } }));
  const theirs = await w.github.openPull(few, { files: nodeApp('theirs') });
  await w.reaches(theirs, 'ready');
  expect((await w.visit(theirs)).body).toBe('theirs');
  const isSaid = (pull: Pull): boolean =>
    w.comment(pull).includes('### 🔴 Preview failed') && w.github.checksOf(pull.sha).some(({ conclusion }) => conclusion === 'failure');
  expect(pulls.filter(isSaid).length).toBeLessThan(PULLS);
  await until('every last word', () => pulls.every(isSaid), PATIENCE_MS);
  for (const pull of pulls) expect(w.github.ourComments(pull)).toHaveLength(1);
  const installation = w.github.installationIdOf(many);
  const refused = w.github.requests.filter((request) => request.installation === installation && request.status === 403).length;
  expect(mostInAMinute(w.github, installation)).toBeLessThanOrEqual(80);
  expect(refused).toBe(0);
});
