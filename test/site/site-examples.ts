import { parseRepositoryId, parseSha, type Sha, toForgeId, toLaunchId, toSiteId } from '../../src/site/identity.ts';
import type { LaunchView, SiteView } from '../../src/site/report-view.ts';
import { FRESH, type Head, type Live, type Site, type Status } from '../../src/site/site.ts';

/** A commit id of one repeated digit, or of a start that is filled up. */
export function sha(start: string): Sha {
  const found = parseSha(start.padEnd(40, start));
  if (!found) throw new Error(`${start} starts no commit id`);
  return found;
}

const DAY = 86_400_000;
export const NOW = new Date('2026-11-20T14:05:00Z');
export const TERMS = { ttlMs: 3 * DAY, maxTtlMs: 14 * DAY };
export const later = (ms: number): Date => new Date(NOW.getTime() + ms);

export const LAUNCH = toLaunchId('01JDLAUNCH0000000000000001');
export const OLD_LAUNCH = toLaunchId('01JDLAUNCH0000000000000000');

export const HEAD: Head = {
  sha: sha('3f2a9c1'),
  branch: 'fix/cart',
  base: 'main',
  title: 'Fix the cart',
  commitTitle: 'fix the cart total',
  author: 'ada',
  repository: parseRepositoryId(7) ?? null,
  trust: 'trusted',
  draft: false,
};

export const PREVIEW_URL = 'https://pr-12-shop-k3f9abcd.preview.acme.dev';
export const LIVE: Live = {
  sha: HEAD.sha,
  revision: LAUNCH,
  url: PREVIEW_URL,
  since: NOW,
  served: { kind: 'process', service: 'shop' },
  idleMs: 900_000,
};
export const OLD_LIVE: Live = { ...LIVE, sha: sha('1a2b3c4'), revision: OLD_LAUNCH };

const repository = parseRepositoryId(7);
if (!repository) throw new Error('7 is an id');
export const COMMON = {
  id: toSiteId('01JDSITE000000000000000001'),
  pull: { forge: toForgeId('github'), repository, number: 12 },
  host: 'pr-12-shop-k3f9abcd',
  head: HEAD,
  observation: 5,
  live: null,
  region: 'europe-west3',
  terms: TERMS,
  clockStart: NOW,
  endsAt: later(3 * DAY),
  pushedAt: NOW,
  createdAt: NOW,
  ...FRESH,
  version: 3,
};

/** One site in each status. */
export const SITES = {
  held: { ...COMMON, status: 'held', head: { ...HEAD, trust: 'untrusted' } },
  queued: { ...COMMON, status: 'queued', since: NOW },
  building: { ...COMMON, status: 'building', launch: LAUNCH, stage: 'build', since: NOW },
  deploying: { ...COMMON, status: 'deploying', launch: LAUNCH, stage: 'deploy', since: NOW },
  ready: { ...COMMON, status: 'ready', launch: LAUNCH, live: LIVE },
  failed: {
    ...COMMON,
    status: 'failed',
    launch: LAUNCH,
    during: 'build',
    code: 'build-failed',
    details: { command: 'npm run build', exit: '1' },
  },
  ending: { ...COMMON, status: 'ending', reason: { kind: 'closed' }, revive: false, live: LIVE },
  ended: { ...COMMON, status: 'ended', reason: { kind: 'closed' }, endedAt: NOW },
  absent: { ...COMMON, status: 'absent', passed: { why: 'awaits-command' } },
} as const satisfies { readonly [S in Status]: Extract<Site, { status: S }> };

export const EVERY_SITE: readonly Site[] = Object.values(SITES);

export const launch = (change: Partial<LaunchView> = {}): LaunchView => ({
  id: LAUNCH,
  sha: HEAD.sha,
  outcome: null,
  reason: null,
  startedAt: NOW,
  finishedAt: null,
  stages: {},
  notes: {},
  tail: '',
  ...change,
});

export const view = (site: Site, change: Partial<SiteView> = {}): SiteView => ({
  site,
  launches: [],
  repository: 'acme/shop',
  forge: { kind: 'github', address: 'https://github.com' },
  url: PREVIEW_URL,
  place: null,
  holders: null,
  checkUrl: 'https://github.com/acme/shop/runs/1',
  word: '/preview',
  target: 'gcp',
  usage: null,
  ...change,
});

/** A launch of 48 s that went well, and one whose build failed. */
export const STAGES = { queued: 900, fetch: 2_100, build: 38_000, deploy: 5_900, check: 2_000 };
export const DONE = launch({ outcome: 'succeeded', stages: STAGES, notes: { cache: 'dependencies' } });
export const FAILED = launch({
  outcome: 'failed',
  stages: { fetch: 2_100, build: 10_200 },
  tail: '> shop@1.0.0 build\n> vite build\n\nerror: cannot find ./cart',
});
