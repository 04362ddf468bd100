import { createHmac, randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { GITLAB } from '../../src/app/forges/gitlab-events.ts';
import type { GitLabSecrets } from '../../src/app/forges/gitlab-hook-secrets.ts';
import { gitlabDoor } from '../../src/app/gitlab-door.ts';
import type { DoorHeaders } from '../../src/app/webhooks.ts';

const SECRET = randomBytes(20).toString('hex');
const newKey = (): string => `whsec_${randomBytes(32).toString('base64')}`;
const [KEY, NEXT] = [newKey(), newKey()];
const BODY = Buffer.from('{"object_kind":"push","zen":"é 🦀"}');
const NOW = Date.parse('2026-01-02T03:04:05Z');
const SECONDS = NOW / 1000;

const open = (secrets: Partial<GitLabSecrets>) =>
  gitlabDoor(
    { forge: GITLAB, access: 'token' },
    () => [{ webhookSecret: null, signingTokens: [], ...secrets }],
    () => NOW,
  );
const tokenOnly = open({ webhookSecret: SECRET });
const signedOnly = open({ signingTokens: [KEY] });
const both = open({ webhookSecret: SECRET, signingTokens: [KEY] });

function digest(key: string, { id = 'msg_1', at = SECONDS, body = BODY }: { id?: string; at?: number; body?: Buffer } = {}): string {
  const mac = createHmac('sha256', Buffer.from(key.slice('whsec_'.length), 'base64'));
  return `v1,${mac.update(`${id}.${at}.`).update(body).digest('base64')}`;
}
const signed = (key: string, at = SECONDS): DoorHeaders => ({
  ...{ 'webhook-id': 'msg_1', 'webhook-timestamp': String(at), 'webhook-signature': digest(key, { at }) },
});
const TOKEN = { 'x-gitlab-token': SECRET };

describe('the token', () => {
  test('the right one passes, whatever is or is not signed', () => {
    expect(tokenOnly.verify(TOKEN, BODY)).toBe(true);
    expect(tokenOnly.verify({ ...TOKEN, 'webhook-signature': 'v1,AAAA', 'webhook-timestamp': '1' }, BODY)).toBe(true);
  });

  test.for([
    ['none', {}],
    ['an empty one', { 'x-gitlab-token': '' }],
    ['one that is too short', { 'x-gitlab-token': SECRET.slice(0, -1) }],
    ['one that is too long', { 'x-gitlab-token': `${SECRET}0` }],
    ['it twice', { 'x-gitlab-token': `${SECRET}, ${SECRET}` }],
    ['a signature instead', signed(KEY)],
  ] as const)('%s is rejected', ([, headers]) => {
    expect(tokenOnly.verify(headers, BODY)).toBe(false);
  });
});

describe('the signature', () => {
  test('the bytes that were signed pass, with any token or none', () => {
    expect(signedOnly.verify(signed(KEY), BODY)).toBe(true);
    expect(signedOnly.verify({ ...signed(KEY), 'x-gitlab-token': 'another' }, BODY)).toBe(true);
  });

  test('five minutes either way are allowed, and not a second more', () => {
    for (const away of [-300, 300]) expect(signedOnly.verify(signed(KEY, SECONDS + away), BODY)).toBe(true);
    for (const away of [-301, 301]) expect(signedOnly.verify(signed(KEY, SECONDS + away), BODY)).toBe(false);
  });

  test('one of several is enough, of a version that we know', () => {
    const among = (text: string) => signedOnly.verify({ ...signed(KEY), 'webhook-signature': text }, BODY);
    expect(among(`v1,AAAA ${digest(NEXT)} ${digest(KEY)}`)).toBe(true);
    expect(among(`v1a,ed25519 ${digest(KEY)}`)).toBe(true);
    expect(among(digest(KEY).replace('v1,', 'v2,'))).toBe(false);
    expect(among(digest(NEXT))).toBe(false);
  });

  test('while a key is changed both are known', () => {
    const door = open({ signingTokens: [NEXT, KEY] });
    for (const key of [KEY, NEXT]) expect(door.verify(signed(key), BODY)).toBe(true);
    expect(door.verify(signed(newKey()), BODY)).toBe(false);
  });

  test.for([
    ['another body', signed(KEY), Buffer.from(`${BODY.toString()} `)],
    ['another id', { ...signed(KEY), 'webhook-id': 'msg_2' }, BODY],
    ['no id', { ...signed(KEY), 'webhook-id': undefined }, BODY],
    ['another time', { ...signed(KEY), 'webhook-timestamp': String(SECONDS + 1) }, BODY],
    ['a time that is no number', { ...signed(KEY), 'webhook-timestamp': `${SECONDS}.0` }, BODY],
    ['no time', { ...signed(KEY), 'webhook-timestamp': undefined }, BODY],
    ['no signature', { ...signed(KEY), 'webhook-signature': undefined }, BODY],
    ['an empty one', { ...signed(KEY), 'webhook-signature': 'v1,' }, BODY],
    ['the token instead', TOKEN, BODY],
  ] as const)('%s is rejected', ([, headers, body]) => {
    expect(signedOnly.verify(headers, body)).toBe(false);
  });
});

test('where both are configured both have to hold', () => {
  expect(both.verify({ ...TOKEN, ...signed(KEY) }, BODY)).toBe(true);
  expect(both.verify(TOKEN, BODY)).toBe(false);
  expect(both.verify(signed(KEY), BODY)).toBe(false);
  expect(both.verify({ ...TOKEN, ...signed(NEXT) }, BODY)).toBe(false);
});

test('where nothing is configured nobody passes', () => {
  expect(open({}).verify({ ...TOKEN, ...signed(KEY) }, BODY)).toBe(false);
});

test('no header makes it throw, and none but the right ones pass', () => {
  const header = fc.option(fc.string(), { nil: undefined });
  const headers = fc.record({
    ...{ 'x-gitlab-token': header, 'webhook-id': header, 'webhook-timestamp': fc.oneof(header, fc.constant(String(SECONDS))) },
    'webhook-signature': fc.oneof(
      header,
      fc.string().map((text) => `v1,${text}`),
    ),
  });
  fc.assert(
    fc.property(headers, fc.uint8Array({ maxLength: 100 }), (given, bytes) => {
      for (const door of [tokenOnly, signedOnly, both]) expect(door.verify(given, Buffer.from(bytes))).toBe(false);
    }),
  );
});

test('a delivery is known by its key, however often it is sent, and never by what another forge says', () => {
  const id = (headers: DoorHeaders, body = BODY) => tokenOnly.delivery(headers, body);
  expect(id({ 'idempotency-key': 'a-1', 'webhook-id': 'b-2', 'x-gitlab-event-uuid': 'c-3' })).toBe('gitlab:a-1');
  expect(id({ 'webhook-id': 'b-2', 'x-gitlab-event-uuid': 'c-3' })).toBe('gitlab:b-2');
  expect(id({ 'x-gitlab-event-uuid': 'c-3' })).toBe('gitlab:c-3');
  const derived = id({ 'idempotency-key': 'no id at all' });
  expect(derived).toMatch(/^gitlab:sha256:[0-9a-f]{64}$/);
  expect(id({})).toBe(derived);
  expect(id({}, Buffer.from('{}'))).not.toBe(derived);
});
