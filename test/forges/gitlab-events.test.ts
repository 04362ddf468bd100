import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { GITLAB, toForgeEvent } from '../../src/app/forges/gitlab-events.ts';

const SIDE = { forge: GITLAB, access: 'token' };
const FOLDER = new URL('../payloads/gitlab/', import.meta.url);
const json = (name: string): unknown => JSON.parse(readFileSync(new URL(name, FOLDER), 'utf8'));
const names = readdirSync(FOLDER)
  .filter((name) => !name.endsWith('.expected.json'))
  .map((name) => name.slice(0, -'.json'.length));

test.for(names)('%s', (name) => {
  expect(toForgeEvent(SIDE, json(`${name}.json`)) ?? null).toEqual(json(`${name}.expected.json`));
});

type Payload = Record<string, unknown>;
const payload = (name: string): Payload => structuredClone(json(`${name}.json`)) as Payload;
/** The payload with some of an object in it changed. */
const withIn = (name: string, part: string, change: Payload): Payload => {
  const whole = payload(name);
  return { ...whole, [part]: { ...(whole[part] as object), ...change } };
};
const OPEN = 'merge_request.open';
const NOTE = 'note.on-merge-request';

const dropped: Readonly<Record<string, unknown>> = {
  'a project without an id': withIn(OPEN, 'project', { id: null }),
  'a project whose path climbs': withIn(OPEN, 'project', { path_with_namespace: '../../etc/passwd' }),
  'a project without a group': withIn(OPEN, 'project', { path_with_namespace: 'shop' }),
  'a path with an address in it': withIn(OPEN, 'project', { path_with_namespace: 'acme/shop?x=@evil.example' }),
  'a merge request of another project': withIn(OPEN, 'object_attributes', { target_project_id: 99 }),
  'a number as a string': withIn(OPEN, 'object_attributes', { iid: '1' }),
  'a number below zero': withIn(OPEN, 'object_attributes', { iid: -1 }),
  'one without a commit': withIn(OPEN, 'object_attributes', { last_commit: null }),
  'a commit that is an option': withIn(OPEN, 'object_attributes', { last_commit: { id: '--upload-pack=id' } }),
  'an action that we do not know': withIn(OPEN, 'object_attributes', { action: 'constructor' }),
  'a note that is confidential by its field': withIn(NOTE, 'object_attributes', { internal: true }),
  'a note that was confidential in older versions': withIn(NOTE, 'object_attributes', { confidential: true }),
  'a note of GitLab itself': withIn(NOTE, 'object_attributes', { system: true }),
  'a note whose author is somebody else': withIn(NOTE, 'object_attributes', { author_id: 4_711 }),
  'a note that was changed, without an action': withIn(NOTE, 'object_attributes', {
    ...{ action: undefined, updated_at: '2026-01-02 03:09:05 UTC' },
  }),
  'a note of a time that is none': withIn(NOTE, 'object_attributes', { created_at: 'yesterday' }),
  'a note on a merge request of another project': withIn(NOTE, 'merge_request', { target_project_id: 99 }),
  'a kind that is no kind': { ...payload(OPEN), object_kind: '__proto__' },
  'a kind that every object has': { ...payload(OPEN), object_kind: 'toString' },
  'an array': [],
  nothing: undefined,
};
test.for(Object.keys(dropped))('%s is dropped', (name) => {
  expect(toForgeEvent(SIDE, dropped[name])).toBeUndefined();
});

test.for([
  ['2026-01-02 03:04:05 UTC', '2026-01-02T03:04:05Z'],
  ['2026-01-02T03:04:05.678Z', '2026-01-02T03:04:05.678Z'],
  ['2026-01-02 03:04:05 +0200', '2026-01-02T03:04:05+02:00'],
] as const)('a time written %s keeps its precision', ([written, writtenAt]) => {
  const event = toForgeEvent(SIDE, withIn(NOTE, 'object_attributes', { created_at: written }));
  expect(event).toMatchObject({ comment: { writtenAt } });
});

test.for([
  ['project_15_bot_4f6a', {}, 'bot'],
  ['project_15_bot', {}, 'bot'],
  ['group_7_bot_0c1d2e3f', {}, 'bot'],
  ['deploys', { bot: true }, 'bot'],
  ['deploys', { user_type: 'service_account' }, 'bot'],
  ['robotics_bot', {}, 'person'],
  ['ann', { user_type: 'human' }, 'person'],
] as const)('%s %o is a %s', ([username, more, kind]) => {
  expect(toForgeEvent(SIDE, withIn(NOTE, 'user', { username, ...more }))).toMatchObject({ author: { kind } });
});

test('what we said ourselves with a person’s token is nobody’s command', () => {
  const event = toForgeEvent(SIDE, withIn(NOTE, 'object_attributes', { note: '<!-- mayfly:site=01J -->\n/preview stop' }));
  expect(event).toMatchObject({ author: { kind: 'bot' } });
});

test('`__proto__` in a payload reaches nothing', () => {
  const raw: unknown = JSON.parse(JSON.stringify(payload(OPEN)).replace('{', '{"__proto__":{"polluted":true},'));
  const event = toForgeEvent(SIDE, raw);
  expect(event).toMatchObject({ type: 'pullChanged' });
  expect(Object.hasOwn(event ?? {}, 'polluted') || 'polluted' in {}).toBe(false);
});

/** A payload of GitLab's with one value, anywhere in it, replaced by something else. */
const mutated = fc.tuple(fc.constantFrom(...names), fc.nat(), fc.anything()).map(([name, seed, value]) => {
  const whole = json(`${name}.json`);
  const places: { holder: Payload; key: string }[] = [];
  const walk = (node: unknown): void => {
    if (typeof node !== 'object' || node === null) return;
    for (const [key, child] of Object.entries(node)) {
      places.push({ holder: node as Payload, key });
      walk(child);
    }
  };
  walk(whole);
  const place = places[seed % places.length];
  if (place) place.holder[place.key] = value;
  return whole;
});

test('whatever is in a payload, translating never throws, and what comes out is plain', () => {
  fc.assert(
    fc.property(fc.oneof(mutated, fc.anything()), (raw) => {
      const event = toForgeEvent(SIDE, raw);
      if (event) expect(JSON.parse(JSON.stringify(event))).toEqual(event);
    }),
    { numRuns: 2_000 },
  );
});
