import { expect, test } from 'vitest';
import { createMasker, disguises } from '../../src/provision/masking.ts';

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
