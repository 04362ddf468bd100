import { describe, expect, test } from 'vitest';
import { decide, effectiveRegion, effectiveTerms, type OperatorPolicy, type PullFacts, touches } from '../../src/site/decide.ts';
import type { PullNow } from '../../src/site/ports.ts';
import { DEFAULT_CONFIG, parseRepoConfig, type RepoConfig } from '../../src/site/repo-config.ts';
import { COMMON, HEAD, TERMS } from './site-examples.ts';

const DAY = 86_400_000;
const REPOSITORY = { forge: COMMON.pull.forge, id: COMMON.pull.repository, name: 'acme/shop', access: '1' };
const POLICY: OperatorPolicy = {
  repositories: [{ pattern: '*', allow: true }],
  terms: TERMS,
  region: 'europe-west1',
  regions: ['europe-west1', 'europe-west3'],
  target: 'gcp',
  maxSites: 5,
};
const PULL: PullNow = { number: 12, state: 'open', closedAt: null, labels: [], head: HEAD };
const facts = (config: Partial<RepoConfig> = {}, change: Partial<PullFacts> = {}): PullFacts => ({
  observation: 9,
  pull: PULL,
  settings: { config: { ...DEFAULT_CONFIG, ...config } },
  hasSite: false,
  changes: null,
  ...change,
});
type Action = 'opened' | 'reopened' | 'pushed' | 'closed' | 'other';
const told = (action: Action, known: PullFacts, policy: Partial<OperatorPolicy> = {}) =>
  decide({ action, repository: REPOSITORY }, known, { ...POLICY, ...policy });
const short = (known: PullFacts, policy: Partial<OperatorPolicy> = {}): string => {
  const decision = told('other', known, policy);
  if (decision.do === 'nothing') return decision.why;
  return decision.do === 'pass' ? decision.news.passed.why : decision.do;
};

describe('an open pull', () => {
  test('gets a site of its head, with the number of the look', () => {
    expect(told('opened', facts())).toEqual({
      do: 'bring',
      news: { type: 'headSeen', observation: 9, head: HEAD, terms: TERMS, region: 'europe-west1', reopened: false },
    });
  });

  test('that was reopened says so', () => {
    expect(told('reopened', facts())).toMatchObject({ news: { reopened: true } });
  });

  test("of a fork comes as the forge's head says, to be held", () => {
    expect(told('opened', facts({}, { pull: { ...PULL, head: { ...HEAD, trust: 'untrusted' } } }))).toMatchObject({
      do: 'bring',
      news: { head: { trust: 'untrusted' } },
    });
  });

  test.each<[string, Partial<RepoConfig>, Partial<PullNow>, string]>([
    ['a draft', {}, { head: { ...HEAD, draft: true } }, 'bring'],
    ['a draft where drafts get none', { drafts: false }, { head: { ...HEAD, draft: true } }, 'draft'],
    ['ready for review where drafts get none', { drafts: false }, {}, 'bring'],
    ['without the label', { previews: 'label' }, { labels: ['bug'] }, 'no-label'],
    ['with the label', { previews: 'label' }, { labels: ['bug', 'Preview'] }, 'bring'],
    ['with a label of their own', { previews: 'label', label: 'demo' }, { labels: ['preview'] }, 'no-label'],
    ['where a command is needed', { previews: 'command' }, {}, 'awaits-command'],
  ])('%s', (_, config, pull, expected) => {
    const known = facts(config, { pull: { ...PULL, ...pull } });
    expect(short(known)).toBe(expected);
    expect(short({ ...known, hasSite: true })).toBe('bring');
  });

  test.each<[string, Partial<RepoConfig>, readonly string[] | null, string]>([
    ['nothing under root', { root: 'web' }, ['docs/a.md', 'website/x'], 'nothing-touched'],
    ['something under root', { root: 'web' }, ['web/a.js'], 'bring'],
    ['something included', { root: 'web', include: ['packages/ui'] }, ['packages/ui/a.js'], 'bring'],
    ['an included file', { root: 'web', include: ['tsconfig.json'] }, ['tsconfig.json'], 'bring'],
    ['the settings', { root: 'web' }, ['.mayfly.yml'], 'bring'],
    ['what is not known', { root: 'web' }, null, 'bring'],
    ['anything, where all is built', {}, ['docs/a.md'], 'bring'],
  ])('that touches %s', (_, config, changes, expected) => {
    expect(short(facts(config, { changes }))).toBe(expected);
  });

  test('of a repository that is not allowed gets nothing', () => {
    expect(short(facts(), { repositories: [{ pattern: 'other/*', allow: true }] })).toBe('repository-not-allowed');
  });

  test('whose settings have mistakes comes all the same, on default terms', () => {
    expect(told('opened', facts({}, { settings: parseRepoConfig('ttl: soon') }))).toMatchObject({
      do: 'bring',
      news: { terms: TERMS, region: 'europe-west1' },
    });
  });
});

test.each([
  ['closed', { ...PULL, state: 'closed' }, false],
  ['merged', { ...PULL, state: 'merged' }, true],
  ['gone', undefined, false],
] as const)('a pull that is %s ends its site, whatever the event was and whoever is allowed', (_, pull, merged) => {
  expect(told('opened', facts({}, { pull }), { repositories: [] })).toEqual({
    do: 'end',
    news: { type: 'pullClosed', observation: 9, merged, closedAt: null, head: pull?.head ?? null },
  });
});

test('an event of a close that the pull has outlived brings the site', () => {
  expect(told('closed', facts())).toMatchObject({ do: 'bring' });
});

test.each([
  [null, 3 * DAY],
  [DAY, DAY],
  [99 * DAY, 14 * DAY],
])('a life of %d ms that was asked for becomes %d', (ttl, ttlMs) => {
  expect(effectiveTerms({ ...DEFAULT_CONFIG, ttl }, POLICY)).toEqual({ ttlMs, maxTtlMs: 14 * DAY });
});

describe('the region', () => {
  const region = (asked: string | null, policy: Partial<OperatorPolicy> = {}) =>
    effectiveRegion({ ...DEFAULT_CONFIG, region: asked }, { ...POLICY, ...policy });
  test('is the one asked for, among those allowed', () => {
    expect(region('eu-frankfurt')).toMatchObject({ region: 'europe-west3' });
    expect(region(null)).toMatchObject({ region: 'europe-west1' });
  });

  test('that is asked for is remembered as it was said, where it matters', () => {
    expect(told('opened', facts({ region: 'europe' }))).toMatchObject({ news: { region: 'europe-west1', asks: 'europe' } });
    expect(told('opened', facts({ region: 'europe' }), { target: 'local' })).not.toHaveProperty('news.asks');
  });

  test('that is not allowed is refused with the list, and the site comes with the default', () => {
    expect(region('sydney')).toMatchObject({
      refusal: { code: 'region-forbidden', details: { region: 'sydney', regions: 'eu-belgium, eu-frankfurt' } },
    });
    expect(told('opened', facts({ region: 'sydney' }))).toMatchObject({ do: 'bring', news: { region: 'europe-west1' } });
  });

  test('is never refused on this machine', () => {
    expect(region('sydney', { target: 'local' })).toEqual({ region: 'sydney' });
  });
});

test('the seed of the database is part of what is built', () => {
  const config: RepoConfig = { ...DEFAULT_CONFIG, root: 'web', database: { engine: 'postgres', seed: 'db/seed.sql' } };
  expect([touches(config, ['db/seed.sql']), touches(config, ['db/other.sql'])]).toEqual([true, false]);
});
