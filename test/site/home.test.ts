import { expect, test } from 'vitest';
import { candidatesOf, isAtHome, NO_HOME, roomiest } from '../../src/site/home.ts';
import { type Site, transition } from '../../src/site/site.ts';
import type { SiteNews } from '../../src/site/site-news.ts';
import { HEAD, later, NOW, SITES, sha, TERMS } from './site-examples.ts';

const POLICY = { region: 'europe-west1', regions: ['europe-west1', 'europe-west3', 'us-central1', 'europe-west4'], target: 'gcp' } as const;
const asking = (asks: string | null, region: string | null = null) => ({
  home: { ...NO_HOME, asks },
  wishes: { ...SITES.queued.wishes, region },
});
const after = (site: Site, ...news: SiteNews[]): Site => news.reduce((now, each) => transition(now, { ...each, at: NOW }).next, site);

test('where a site may be: what a command asked for, else the settings, else the operator', () => {
  expect(candidatesOf(asking(null), POLICY)).toEqual(['europe-west1']);
  expect(candidatesOf(asking('eu-frankfurt'), POLICY)).toEqual(['europe-west3']);
  expect(candidatesOf(asking('europe'), POLICY)).toEqual(['europe-west1', 'europe-west3', 'europe-west4']);
  expect(candidatesOf(asking('europe', 'usa'), POLICY)).toEqual(['us-central1']);
  expect(candidatesOf(asking('asia'), POLICY)).toBeNull();
  expect(candidatesOf(asking('europe'), { ...POLICY, target: 'local' })).toBeNull();
});

test('of a group the region with the most room, of equals the most wanted, and never one outside of it', () => {
  const rooms = { candidates: ['europe-west1', 'europe-west3', 'europe-west4'], max: 10 };
  const at = (counts: Record<string, number>, site: Pick<Site, 'home' | 'region'> = SITES.queued) =>
    roomiest(site, new Map(Object.entries(counts)), rooms);
  expect(at({})).toBe('europe-west1');
  expect(at({ 'europe-west1': 3, 'europe-west3': 2 })).toBe('europe-west4');
  expect(at({ 'europe-west1': 3, 'europe-west3': 2, 'europe-west4': 2 })).toBe('europe-west3');
  const full = { 'europe-west1': 10, 'europe-west3': 10, 'europe-west4': 12 };
  expect(at(full)).toBeUndefined();
  expect(at({ ...full, 'europe-west4': 9 })).toBe('europe-west4');
  // Where something of it stands already it stays, however full that is.
  expect(at(full, { home: { ...NO_HOME, taken: true }, region: 'europe-west3' })).toBe('europe-west3');
  expect(at({}, { home: { ...NO_HOME, taken: true }, region: 'us-central1' })).toBe('europe-west1');
});

test('a site takes a region with its place, and keeps it over pushes until all of it is removed', () => {
  const placed = after(SITES.queued, { type: 'placeTaken', region: 'europe-west4' });
  expect(placed).toMatchObject({ place: 'taken', region: 'europe-west4', home: { taken: true } });
  expect(isAtHome(placed, ['europe-west1', 'europe-west4'])).toBe(true);
  expect(isAtHome(placed, ['us-central1'])).toBe(false);
  const head = { ...HEAD, sha: sha('77') };
  const seen = { type: 'headSeen', observation: 9, head, terms: TERMS, region: 'europe-west1', asks: 'europe', reopened: false } as const;
  const pushed = after(placed, seen);
  expect(pushed).toMatchObject({ status: 'queued', region: 'europe-west4', home: { asks: 'europe', taken: true } });
  const gone = after(pushed, { type: 'stopped', by: 'ada', order: null }, { type: 'removalFinished' });
  expect(gone).toMatchObject({ status: 'ended', place: 'none', home: { asks: 'europe', taken: false } });
});

test('without room it waits, says where, and takes what comes free', () => {
  const waits = after(SITES.queued, { type: 'placeRefused', full: ['europe-west3'] });
  expect(waits).toMatchObject({ status: 'queued', place: 'refused', home: { full: ['europe-west3'] } });
  expect(transition(waits, { type: 'placeRefused', full: ['europe-west3'], at: later(1) })).toEqual({ next: waits, effects: [] });
  expect(after(waits, { type: 'placeRefused' })).toMatchObject({ place: 'refused', home: { full: null } });
  const got = transition(waits, { type: 'placeTaken', region: 'europe-west3', at: NOW });
  expect(got).toMatchObject({ next: { place: 'taken', region: 'europe-west3', home: { full: null, taken: true } }, effects: ['occupy'] });
});

test('one that stands and is to move keeps its place, and what visitors get, while it waits', () => {
  const stands = { ...SITES.ready, place: 'taken', region: 'europe-west3', home: { ...NO_HOME, taken: true } } as const;
  const asked = after(stands, { type: 'regionChosen', by: 'ada', region: 'usa', order: 1 }, { type: 'rebuildAsked', by: 'ada', order: 2 });
  expect(asked).toMatchObject({ status: 'queued', region: 'europe-west3' });
  const waits = after(asked, { type: 'placeRefused', full: ['us-central1'] });
  expect(waits).toMatchObject({ place: 'taken', live: stands.live, home: { full: ['us-central1'] } });
  expect(after(waits, { type: 'placeTaken', region: 'us-central1' })).toMatchObject({ region: 'us-central1', home: { full: null } });
});

test('a launch may go on to another region, which the comment then shows', () => {
  const moved = transition(SITES.building, { type: 'placeTaken', region: 'europe-west4', at: NOW });
  expect(moved).toMatchObject({ next: { status: 'building', region: 'europe-west4', home: { taken: true } }, effects: ['report'] });
  expect(transition(moved.next, { type: 'placeTaken', region: 'europe-west4', at: NOW }).next).toBe(moved.next);
});
