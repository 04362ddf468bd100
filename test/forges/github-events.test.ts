import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { toForgeEvent } from '../../src/app/forges/github-events.ts';

const FOLDER = new URL('../payloads/github/', import.meta.url);
const json = (name: string): unknown => JSON.parse(readFileSync(new URL(name, FOLDER), 'utf8'));
const names = readdirSync(FOLDER)
  .filter((name) => !name.endsWith('.expected.json'))
  .map((name) => name.slice(0, -'.json'.length));
const eventOf = (name: string): string => name.split('.')[0] ?? '';

test.for(names)('%s', (name) => {
  expect(toForgeEvent(eventOf(name), json(`${name}.json`)) ?? null).toEqual(json(`${name}.expected.json`));
});

const opened = () => structuredClone(json('pull_request.opened.json')) as Record<string, unknown>;
const hostile: Readonly<Record<string, (payload: Record<string, unknown>) => unknown>> = {
  'a missing installation': ({ installation: _, ...rest }) => rest,
  'a pull that is null': (payload) => ({ ...payload, pull_request: null }),
  'a number as a string': (payload) => ({ ...payload, pull_request: { ...(payload.pull_request as object), number: '1' } }),
  'a number below zero': (payload) => ({ ...payload, pull_request: { ...(payload.pull_request as object), number: -1 } }),
  'a head without a commit': (payload) => ({ ...payload, pull_request: { ...(payload.pull_request as object), head: {} } }),
  'a commit that is an option': (payload) => ({
    ...payload,
    pull_request: { ...(payload.pull_request as object), head: { sha: '--upload-pack=id' } },
  }),
  'a repository whose name climbs': (payload) => ({ ...payload, repository: { id: 1, full_name: '../../etc/passwd' } }),
  'an array': () => [],
  nothing: () => undefined,
};
test.for(Object.keys(hostile))('T-A13 %s is dropped', (name) => {
  expect(toForgeEvent('pull_request', hostile[name]?.(opened()))).toBeUndefined();
});

test('T-A13 `__proto__` in a payload reaches nothing', () => {
  const payload: unknown = JSON.parse(JSON.stringify(opened()).replace('{', '{"__proto__":{"polluted":true},'));
  const event = toForgeEvent('pull_request', payload);
  expect(event).toMatchObject({ type: 'pullChanged' });
  expect(Object.hasOwn(event ?? {}, 'polluted') || 'polluted' in {}).toBe(false);
});

test.for(['constructor', '__proto__', 'toString', 'check_run', ''])('T-A12 the event %j is not wanted', (name) => {
  expect(toForgeEvent(name, opened())).toBeUndefined();
});

/** A payload of GitHub's with one value, anywhere in it, replaced by something else. */
const mutated = fc.tuple(fc.constantFrom(...names), fc.nat(), fc.anything()).map(([name, seed, value]) => {
  const payload = json(`${name}.json`);
  const places: { holder: Record<string, unknown>; key: string }[] = [];
  const walk = (node: unknown): void => {
    if (typeof node !== 'object' || node === null) return;
    for (const [key, child] of Object.entries(node)) {
      places.push({ holder: node as Record<string, unknown>, key });
      walk(child);
    }
  };
  walk(payload);
  const place = places[seed % places.length];
  if (place) place.holder[place.key] = value;
  return { name: eventOf(name), payload };
});

test('T-A13 whatever is in a payload, translating never throws, and what comes out is plain', () => {
  fc.assert(
    fc.property(
      fc.oneof(mutated, fc.record({ name: fc.constantFrom(...names.map(eventOf)), payload: fc.anything() })),
      ({ name, payload }) => {
        const event = toForgeEvent(name, payload);
        if (event) expect(JSON.parse(JSON.stringify(event))).toEqual(event);
      },
    ),
    { numRuns: 3_000 },
  );
});
