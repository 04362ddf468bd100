import { expect, test } from 'vitest';
import { GITHUB_WINDOWS } from '../../src/app/forges/github-limit.ts';
import { createLimits } from '../../src/app/forges/limits.ts';
import { createTokens } from '../../src/app/installation-token.ts';
import { openGitHubWorld } from '../contract/github-world.ts';

const later = (): string => new Date(Date.now() + 3_600_000).toISOString();

test('a token that was forgotten is minted anew, and one that comes after the forgetting is not kept', async () => {
  const minting: ReturnType<typeof Promise.withResolvers<{ token: string; expires_at: string }>>[] = [];
  const tokens = createTokens(() => {
    const one = Promise.withResolvers<{ token: string; expires_at: string }>();
    minting.push(one);
    return one.promise;
  });
  const first = tokens.get(1);
  tokens.forget(1);
  minting[0]?.resolve({ token: 'late', expires_at: later() });
  expect(await first).toBe('late');
  const second = tokens.get(1);
  minting[1]?.resolve({ token: 'kept', expires_at: later() });
  expect([await second, await tokens.get(1)]).toEqual(['kept', 'kept']);
  tokens.forget(1);
  const third = tokens.get(1);
  minting[2]?.resolve({ token: 'newest', expires_at: later() });
  expect([await third, minting.length]).toEqual(['newest', 3]);
});

test('pauses and what was written are forgotten with their installation, and with no other', () => {
  const limits = createLimits(GITHUB_WINDOWS);
  for (const one of ['1', '2']) limits.pause(one, Date.now() + 60_000);
  limits.forget('1');
  expect(() => limits.checkPause('1')).not.toThrow();
  expect(() => limits.checkPause('2')).toThrow();
});

test.for(['all', 'the repository'] as const)('titles, lists of pulls and names are forgotten: %s', async (what) => {
  await using w = await openGitHubWorld();
  await w.github.openPull(w.repo, { message: 'a title' });
  const asked = (part: string): number => w.github.requests.filter(({ path }) => path.includes(part)).length;
  const before = w.repository;
  await w.github.rename(w.repo, 'store');
  for (const _ of [1, 2]) await w.facts.openPulls(before);
  const [old, commits] = [asked('/repos/acme/shop/'), asked('/commits/')];
  // Both are known: neither is asked for again.
  await w.facts.openPulls(before);
  expect([asked('/repos/acme/shop/'), asked('/commits/')]).toEqual([old, commits]);

  w.forget({ access: before.access, id: what === 'all' ? 'all' : before.id });
  await w.facts.openPulls(before);
  expect([asked('/repos/acme/shop/'), asked('/commits/')]).toEqual([old + 1, commits + 1]);
  expect(w.github.requests.findLast(({ path }) => path.endsWith('/pulls'))?.status).toBe(200);
});
