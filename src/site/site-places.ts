import type { Change, Site } from './site.ts';
import { type News, REPORT, unchanged } from './site-changes.ts';

/** What is said of a place among those of its repository, and of room in a region. A site that does not wait for one is not concerned. */
export function afterPlace(site: Site, event: News<'placeTaken' | 'placeRefused' | 'placesChanged'>): Change {
  switch (event.type) {
    case 'placeTaken':
      return afterTaking(site, event.region);
    case 'placeRefused':
      return afterRefusal(site, event.full ?? null);
    case 'placesChanged':
      return site.status === 'queued' && site.place === 'refused' ? { next: { ...site }, effects: REPORT } : unchanged(site);
    default:
      return event satisfies never;
  }
}

function afterTaking(site: Site, region: string | undefined): Change {
  const isWaiting = site.status === 'queued' && (site.place !== 'taken' || site.home.full !== null);
  const isElsewhere = region !== undefined && (region !== site.region || !site.home.taken);
  if (!isWaiting && !(isElsewhere && (site.status === 'queued' || 'stage' in site))) return unchanged(site);
  const home = { ...site.home, taken: site.home.taken || region !== undefined, full: null };
  return { next: { ...site, place: 'taken', region: region ?? site.region, home }, effects: isElsewhere && 'stage' in site ? REPORT : [] };
}

/** A site that stands keeps its place while it waits for room in another region. */
function afterRefusal(site: Site, full: readonly string[] | null): Change {
  if (site.status !== 'queued' || (site.place === 'taken' && full === null)) return unchanged(site);
  const place = site.place === 'taken' ? 'taken' : 'refused';
  if (place === site.place && sameNames(full, site.home.full)) return unchanged(site);
  return { next: { ...site, place, home: { ...site.home, full } }, effects: REPORT };
}

const sameNames = (one: readonly string[] | null, other: readonly string[] | null): boolean => one?.join() === other?.join();
