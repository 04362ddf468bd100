import { describe, expect, test } from 'vitest';
import { nearest } from '../../src/site/nearest.ts';
import { isAllowed, mayRun, NEEDED, parsePatterns } from '../../src/site/policy.ts';
import { parseRegions, REGION_WORDS, regionLabel, regionsOf, resolveRegion } from '../../src/site/region.ts';

describe('the allow-list', () => {
  test.each([
    ['*', 'acme/shop', true],
    ['', 'acme/shop', false],
    ['acme/*', 'acme/shop', true],
    ['acme/*', 'acme/team/shop', true],
    ['acme/*', 'acmes/shop', false],
    ['acme/*', 'other/acme/shop', false],
    ['acme/*,!acme/secret', 'acme/secret', false],
    ['acme/*,!acme/secret', 'ACME/Shop', true],
    ['acme/*, !acme/secret-*, acme/secret-demo', 'acme/secret-demo', true],
    ['!acme/secret', 'acme/shop', true],
    ['!acme/secret', 'acme/secret', false],
    ['acme/*,!*', 'acme/shop', false],
    ['*/shop', 'acme/shop', true],
    ['a*b*c', 'aXbYc', true],
    ['a*b*c', 'aXbY', false],
    ['acme/shop', 'acme/shop2', false],
    ['acme/sh.p', 'acme/shop', false],
  ])('%j: %s is %j', (list, repository, allowed) => {
    expect(isAllowed(parsePatterns(list).patterns, repository)).toBe(allowed);
  });

  test('names what is no pattern', () => {
    expect(parsePatterns('acme/*, acme/[ab], !, a b').unfit).toEqual(['acme/[ab]', '!', 'a b']);
  });

  test('a pattern of nothing but stars is no trouble', () => {
    expect(isAllowed([{ pattern: `${'*a'.repeat(500)}b`, allow: true }], 'a'.repeat(1_000))).toBe(false);
  });
});

test('who may do what', () => {
  const table = (['none', 'read', 'write', 'maintain', 'admin'] as const).map((permission) => [
    permission,
    Object.keys(NEEDED)
      .filter((command) => Object.hasOwn(NEEDED, command) && mayRun(command as keyof typeof NEEDED, permission))
      .join(' '),
  ]);
  expect(Object.fromEntries(table)).toMatchInlineSnapshot(`
    {
      "admin": "deploy rebuild status extend keep stop sleep wake approve logs region help ping",
      "maintain": "deploy rebuild status extend keep stop sleep wake approve logs region help ping",
      "none": "",
      "read": "status help ping",
      "write": "deploy rebuild status extend stop sleep wake approve logs help ping",
    }
  `);
});

describe('regions', () => {
  test.each([
    ['eu-frankfurt', 'europe-west3'],
    ['eu-belgium', 'europe-west1'],
    ['eu-netherlands', 'europe-west4'],
    ['eu-london', 'europe-west2'],
    ['us-iowa', 'us-central1'],
    ['us-virginia', 'us-east4'],
    ['us-oregon', 'us-west1'],
    ['asia-tokyo', 'asia-northeast1'],
    ['asia-singapore', 'asia-southeast1'],
    ['sydney', 'australia-southeast1'],
  ])('%s is %s', (alias, name) => {
    expect(regionsOf(alias)).toEqual([name]);
    expect(regionsOf(name)).toEqual([name]);
    expect(regionLabel(name)).toBe(alias);
  });

  test.each([
    ['europe', /^europe-/],
    ['usa', /^us-/],
    ['asia', /^asia-/],
  ])('%s is every region there', (group, names) => {
    expect(regionsOf(group).length).toBeGreaterThan(5);
    expect(regionsOf(group).every((name) => names.test(name))).toBe(true);
  });

  test('a group comes to those that are allowed, most wanted first', () => {
    expect(resolveRegion('Europe', ['us-central1', 'europe-west4', 'europe-west1'])).toEqual({
      region: 'europe-west4',
      candidates: ['europe-west4', 'europe-west1'],
    });
  });

  test('one that may not be used is refused with those that may', () => {
    expect(resolveRegion('asia', ['europe-west1', 'europe-west6'])).toEqual({
      refusal: { code: 'region-forbidden', details: { region: 'asia', regions: 'eu-belgium, europe-west6', hint: '' } },
    });
  });

  test('one that does not exist is refused with the nearest that may be used', () => {
    const hint = (allowed: string) => ({ refusal: { code: 'region-unknown', details: { hint: allowed } } });
    expect(resolveRegion('eu-frankfort', ['europe-west3'])).toMatchObject(hint(' Did you mean eu-frankfurt?'));
    expect(resolveRegion('eu-frankfort', ['europe-west1'])).toMatchObject(hint(''));
  });

  test('a list of a setting', () => {
    expect(parseRegions('eu-frankfurt, europe-west3,us-iowa')).toEqual({ regions: ['europe-west3', 'us-central1'] });
    expect(parseRegions('eu-frankfurt,mars')).toEqual({ unknown: [{ word: 'mars', nearest: undefined }] });
    expect(parseRegions('')).toEqual({ regions: [] });
  });

  test('no word means two things', () => {
    expect(new Set(REGION_WORDS).size).toBe(REGION_WORDS.length);
  });
});

test.each([
  ['bild', 'build'],
  ['strat', 'start'],
  ['PORTS', 'port'],
  ['timeout', undefined],
  ['x'.repeat(60_000), undefined],
])('what is nearest to %.10s', (word, expected) => {
  expect(nearest(word, ['build', 'start', 'port', 'output'])).toBe(expected);
});
