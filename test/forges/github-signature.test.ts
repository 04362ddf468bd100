import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import { pino } from 'pino';
import { expect, test } from 'vitest';
import { openGitHub } from '../../src/app/probot.ts';
import { createGitHub } from '../doubles/github.ts';

const github = await createGitHub();
await github[Symbol.asyncDispose]();
const { appId, privateKey, webhookSecret, url: apiUrl, serverUrl } = github;
const settings = { appId, privateKey, webhookSecret, apiUrl, serverUrl, clientId: null, clientSecret: null };
const { verify } = openGitHub(settings, { log: pino({ level: 'silent' }) });
const sign = (body: Buffer, secret = webhookSecret) => `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`;
const BODY = Buffer.from('{"zen":"é 🦀"}');

test('T-A04 the bytes that were signed pass', () => {
  expect(verify(BODY, sign(BODY))).toBe(true);
  expect(verify(Buffer.alloc(0), sign(Buffer.alloc(0)))).toBe(true);
});

test.for([
  ['T-A01 no header', undefined],
  ['T-A02 the legacy algorithm', `sha1=${createHmac('sha1', webhookSecret).update(BODY).digest('hex')}`],
  ['T-A02 an empty digest', 'sha256='],
  ['T-A02 a digest that is too short', sign(BODY).slice(0, -1)],
  ['T-A02 a digest that is too long', `${sign(BODY)}0`],
  ['T-A02 upper case', sign(BODY).toUpperCase().replace('SHA256', 'sha256')],
  ['T-A02 two signatures in one header', `${sign(BODY)}, ${sign(BODY)}`],
  ['T-A02 a line break after it', `${sign(BODY)}\n`],
  ['T-A03 signed with `development`', sign(BODY, 'development')],
  ['T-A03 signed with nothing', sign(BODY, '')],
] as const)('%s is rejected', ([, header]) => {
  expect(verify(BODY, header)).toBe(false);
});

test.for([
  ['escaped', '{"zen":"\\u00e9 🦀"}'],
  ['with white space', '{"zen": "é 🦀"}'],
  ['with a byte order mark', '\ufeff{"zen":"é 🦀"}'],
] as const)('T-A04 the same body %s is rejected', ([, text]) => {
  expect(verify(Buffer.from(text), sign(BODY))).toBe(false);
});

test('T-A04 bytes that only decode to the same text are rejected', () => {
  const [one, other] = [Buffer.from([0x7b, 0xff, 0x7d]), Buffer.from([0x7b, 0xfe, 0x7d])];
  expect(one.toString()).toBe(other.toString());
  expect(verify(other, sign(one))).toBe(false);
});

test('T-A02 no header makes it throw, and none but the right one passes', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 200 }),
      fc.oneof(
        fc.string(),
        fc.string().map((s) => `sha256=${s}`),
        fc.string({ unit: fc.constantFrom(...'0123456789abcdefABCDEF'), minLength: 60, maxLength: 68 }).map((s) => `sha256=${s}`),
      ),
      (bytes, header) => {
        const body = Buffer.from(bytes);
        expect(verify(body, header)).toBe(header === sign(body));
        expect(verify(body, sign(body))).toBe(true);
      },
    ),
  );
});
