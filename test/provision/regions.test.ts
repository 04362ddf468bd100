import { expect, test } from 'vitest';
import { deployInRegion } from '../../src/provision/regions.ts';
import { NO_HOME } from '../../src/site/home.ts';
import type { Held } from '../../src/site/ports.ts';
import { Fault, type ProblemCode } from '../../src/site/problem.ts';
import type { Site } from '../../src/site/site.ts';
import type { SiteNews } from '../../src/site/site-news.ts';
import { LIVE, SITES } from '../site/site-examples.ts';

const held: Held = { name: 'site', holder: 'us', epoch: 1, signal: new AbortController().signal };
const AT_HOME = { ...SITES.building, region: 'europe-west1', home: { ...NO_HOME, taken: true } } as const;

/** Deploys where `troubles` says how that fails, and tells what was said to the row and tried. */
async function deployed(site: Site, candidates: readonly string[], troubles: Readonly<Record<string, ProblemCode>>) {
  const said: SiteNews[] = [];
  const tried: string[] = [];
  const store = {
    async apply(_: Site['id'], news: SiteNews) {
      said.push(news);
      return { site, changed: true, fresh: true, effects: [] };
    },
  };
  const came = await deployInRegion({ store, site, held, candidates }, async (region) => {
    tried.push(region);
    const trouble = troubles[region];
    if (trouble !== undefined) throw new Fault(trouble);
    return region;
  }).catch((error: unknown) => (error instanceof Fault ? error.code : String(error)));
  return { came, tried, said: said.map((news) => ('region' in news ? news.region : news.type)) };
}

const EUROPE = ['europe-west1', 'europe-west3', 'europe-west4'];

test('a site is deployed where its row says that it is', async () => {
  expect(await deployed(AT_HOME, EUROPE, {})).toEqual({ came: 'europe-west1', tried: ['europe-west1'], said: [] });
});

test('settings that changed since take it where they want it', async () => {
  const there = await deployed(AT_HOME, ['us-central1'], {});
  expect(there).toEqual({ came: 'us-central1', tried: ['us-central1'], said: ['us-central1'] });
});

test('a region that Google says is full gives way to the next of the group, and to none outside of it', async () => {
  const full = { 'europe-west1': 'google-limited', 'europe-west3': 'google-limited' } as const;
  expect(await deployed(AT_HOME, EUROPE, full)).toMatchObject({ came: 'europe-west4', said: ['europe-west3', 'europe-west4'] });
  expect(await deployed(AT_HOME, EUROPE.slice(0, 2), full)).toMatchObject({ came: 'google-limited', tried: EUROPE.slice(0, 2) });
  expect(await deployed(AT_HOME, ['europe-west1'], full)).toMatchObject({ came: 'google-limited', tried: ['europe-west1'] });
});

test('what visitors have stays where it is, and another trouble is no reason to move', async () => {
  const full = { 'europe-west1': 'google-limited' } as const;
  expect(await deployed({ ...AT_HOME, live: LIVE }, EUROPE, full)).toMatchObject({ came: 'google-limited', tried: ['europe-west1'] });
  expect(await deployed(AT_HOME, EUROPE, { 'europe-west1': 'start-failed' })).toMatchObject({ came: 'start-failed', said: [] });
});
