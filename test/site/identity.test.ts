import { describe, expect, test } from 'vitest';
import { endAfterExtension, endAfterRestart, parseDuration } from '../../src/site/deadline.ts';
import { hostHash, hostLabel, parseRepositoryId, parseSha } from '../../src/site/identity.ts';
import { brief, Fault, isProblemCode, sentence } from '../../src/site/problem.ts';
import { COMMON, later, NOW, TERMS } from './site-examples.ts';

const DAY = 86_400_000;
const id = COMMON.pull.repository;
const GITHUB = { kind: 'github', address: 'https://github.com' } as const;

describe('the host', () => {
  test.each([
    ['acme/shop', 'pr-12-shop-HASH'],
    ['acme/Shop.Web_2', 'pr-12-shop-web-2-HASH'],
    ['acme/--', 'pr-12-HASH'],
    ['acme/日本', 'pr-12-HASH'],
    ['acme/team/deep', 'pr-12-deep-HASH'],
    [`acme/${'long-'.repeat(30)}`, `pr-12-${'long-'.repeat(30).slice(0, 48).replace(/-$/, '')}-HASH`],
  ])('of %s', (name, expected) => {
    const label = hostLabel(GITHUB, name, { repository: id, number: 12 });
    expect(label).toBe(expected.replace('HASH', hostHash(GITHUB.address, id, 12)));
    expect(label).toMatch(/^[a-z0-9-]{1,63}$/);
  });

  test('keeps forges, repositories and pulls apart', () => {
    const hashes = [
      hostHash('https://github.com', id, 12),
      hostHash('https://git.acme.dev', id, 12),
      hostHash('https://github.com', id, 13),
    ];
    expect(new Set(hashes).size).toBe(3);
    expect(hashes[0]).toMatch(/^[a-z2-7]{8}$/);
  });

  test('says mr on GitLab', () => {
    expect(hostLabel({ ...GITHUB, kind: 'gitlab' }, 'acme/shop', { repository: id, number: 12 })).toMatch(/^mr-12-shop-/);
  });
});

test.each([
  ['a'.repeat(40), true],
  ['a'.repeat(64), true],
  ['A'.repeat(40), false],
  ['a'.repeat(39), false],
  [`${'a'.repeat(40)}\n`, false],
  [7, false],
])('whether %j is a commit', (text, is) => {
  expect(parseSha(text) !== undefined).toBe(is);
});

test.each([
  [7, '7'],
  ['123456789012', '123456789012'],
  [0, undefined],
  [1.5, undefined],
  ['07', undefined],
  ['7; drop', undefined],
  [null, undefined],
])('%j as an id of a repository', (value, expected) => {
  expect(parseRepositoryId(value)).toBe(expected);
});

test.each([
  ['90s', 90_000],
  ['15m', 900_000],
  ['36h', 129_600_000],
  ['3d', 3 * DAY],
  ['2w', 14 * DAY],
  ['0s', undefined],
  ['3', undefined],
  ['3D', undefined],
  ['-3d', undefined],
  [' 3d', undefined],
  ['1.5h', undefined],
  ['521w', 3_647 * DAY],
  ['522w', undefined],
  ['9999999w', undefined],
])('%j is so long', (text, ms) => {
  expect(parseDuration(text)).toBe(ms);
});

describe('the end', () => {
  test('comes after the terms, and an end that was extended further stays, within the limit', () => {
    expect(endAfterRestart(null, TERMS, NOW)).toEqual(later(3 * DAY));
    expect(endAfterRestart(later(5 * DAY), TERMS, NOW)).toEqual(later(5 * DAY));
    expect(endAfterRestart(later(99 * DAY), TERMS, NOW)).toEqual(later(14 * DAY));
  });

  test('is extended up to the limit and never made earlier', () => {
    const clock = { clockStart: NOW, terms: TERMS };
    expect(endAfterExtension(later(3 * DAY), 2 * DAY, clock)).toEqual(later(5 * DAY));
    expect(endAfterExtension(later(3 * DAY), 99 * DAY, clock)).toEqual(later(14 * DAY));
    expect(endAfterExtension(later(20 * DAY), DAY, clock)).toEqual(later(20 * DAY));
  });
});

describe('a problem', () => {
  test('is told with its details, code in code and text in text', () => {
    const quoting = { plain: (text: string) => `<${text}>`, code: (text: string) => `[${text}]` };
    expect(sentence('build-failed', { command: 'npm `x`', exit: '1' }, quoting)).toBe(
      '[npm `x`] exited with <1>. The log says why; mend it and push.',
    );
    expect(sentence('deploy-failed', { word: '/site', launch: '01J' })).toBe(
      'The site could not be deployed. `/site deploy` tries again; the operator finds the cause in the log under 01J.',
    );
    expect(brief('build-failed', { command: 'make' })).toBe('make exited with ?');
  });

  test('does not take a detail for a pattern, nor an inherited name for a detail', () => {
    expect(brief('build-failed', { command: '{exit} $& $1', exit: '1' })).toBe('{exit} $& $1 exited with 1');
    expect([isProblemCode('build-failed'), isProblemCode('toString')]).toEqual([true, false]);
  });

  test('keeps its cause for the log', () => {
    const cause = new Error('ENOSPC');
    expect(new Fault('disk-full', { cause })).toMatchObject({ name: 'Fault', code: 'disk-full', details: {}, cause });
  });
});
