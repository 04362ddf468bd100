import { expect, test } from 'vitest';
import { createMasker, disguises } from '../../src/masking/masker.ts';
import { secretsIn } from '../../src/masking/secret-names.ts';

const SECRET = 'k3y/with "quotes"+&=é7';

test.each([
  ['plain', SECRET],
  ['base64', Buffer.from(SECRET).toString('base64')],
  ['base64 behind one byte', Buffer.from(`a${SECRET}b`).toString('base64')],
  ['base64 behind two bytes', Buffer.from(`ab${SECRET}bc`).toString('base64')],
  ['base64url', Buffer.from(SECRET).toString('base64url')],
  ['hexadecimal', Buffer.from(SECRET).toString('hex')],
  ['URL-encoded', encodeURIComponent(SECRET)],
  ['JSON', JSON.stringify({ SECRET })],
  ['broken over two lines', `${SECRET.slice(0, 9)}\n${SECRET.slice(9)}`],
])('a secret is masked: %s, however the log is cut', (_, text) => {
  for (let cut = 0; cut <= text.length; cut += 1) {
    const masker = createMasker([SECRET]);
    const shown = masker.push(`before ${text.slice(0, cut)}`) + masker.push(`${text.slice(cut)} after`) + masker.flush();
    expect(shown).toContain('***');
    expect(shown).toMatch(/^before [\s\S]* after$/);
    for (const form of disguises(SECRET)) expect(shown.replace(/\n/g, '')).not.toContain(form);
  }
});

test('a text without secrets comes out as it went in', () => {
  const masker = createMasker([SECRET]);
  expect(masker.push('k3y is half\r\nof it k3') + masker.flush()).toBe('k3y is half\r\nof it k3');
});

const made = 'Q7x0123456789abcdefghijklmnopqrstuv';
const KEY = `-----BEGIN RSA PRIVATE KEY-----\n${made}\n${made}\n-----END RSA PRIVATE KEY-----`;
test.each([
  `ghp_${made}`,
  `github_pat_11${made}`,
  `glpat-${made}`,
  `mayfly_hook_${made}`,
  `npm_${made}`,
  `AKIA${'Q7X0123456789ABC'}`,
  `eyJhbGciOi.eyJpc3Mi${made}.${made}`,
  `postgres://mayfly:${made}@db/x`,
  `Authorization: Bearer ${made}`,
  KEY,
])('what is shaped like a credential is masked, known or not, however the log is cut: %s', (text) => {
  for (let cut = 0; cut <= text.length; cut += 1) {
    const masker = createMasker(['another secret']);
    const shown = masker.push(`before ${text.slice(0, cut)}`) + masker.push(`${text.slice(cut)} after\n`) + masker.flush();
    expect(shown).toMatch(/^before [\s\S]*\*\*\*[\s\S]* after\n$/);
    expect(shown).not.toMatch(/Q7x/i);
  }
});

test('a key without an end, and a line without one, are not kept for ever', () => {
  const masker = createMasker();
  let shown = masker.push('-----BEGIN PRIVATE KEY-----\n');
  for (let n = 0; n < 1_000; n += 1) shown += masker.push(`${made}\n`);
  expect(shown).toMatch(/^\*\*\*/);
  let long = '';
  for (let n = 0; n < 100; n += 1) long += masker.push('x'.repeat(1_000));
  expect(long.length).toBeGreaterThan(50_000);
});

test('ordinary output stays as it is', () => {
  const text = 'token: none\nhttp://localhost:3000/@vite\n12:00 basic auth\ndist/sk-logo.svg\n';
  expect(createMasker().push(text)).toBe(text);
});

test('much output with nothing to hide in it stays as it is', () => {
  const masker = createMasker(Array.from({ length: 8 }, (_, n) => `a secret number ${n} with some length`));
  const chunk = `${'webpack compiled one more module in some milliseconds; '.repeat(2)}\n`.repeat(600);
  for (let left = 10 * 1024 * 1024; left > 0; left -= chunk.length) expect(masker.push(chunk)).toBe(chunk);
});

test('a secret that stands in each of its own repetitions is masked once, as a whole', () => {
  const masker = createMasker(['ab'.repeat(500)]);
  expect(masker.push(`x${'ab'.repeat(2_000)}y\n`)).toBe('x***y\n');
  expect(masker.push(`${'ba'.repeat(2_000)}\n`) + masker.flush()).toBe('b***a\n');
});

test('of the settings of an app so much is masked as can be looked for without end, the address of its database first', () => {
  const env = (count: number, length: number): Record<string, string> =>
    Object.fromEntries(Array.from({ length: count }, (_, n) => [`API_KEY_${n}`, `${n}-abc${'d'.repeat(length)}`]));
  const database = 'postgres://role:passw0rd@127.0.0.1/site';
  expect(secretsIn({ ...env(100, 10), DATABASE_URL: database }).slice(0, 2)).toEqual([database, 'passw0rd']);
  expect(secretsIn(env(100, 10))).toHaveLength(32);
  expect(secretsIn(env(100, 3_000))).toHaveLength(5);
  expect(secretsIn({ KEY: 'a'.repeat(100), TOKEN: 'x'.repeat(5_000), SECRET: 'is one of those' })).toEqual(['is one of those']);
});
