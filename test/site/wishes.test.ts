import { describe, expect, test } from 'vitest';
import { parseRepositoryId, toLaunchId } from '../../src/site/identity.ts';
import { type Approval, type Site, transition } from '../../src/site/site.ts';
import type { SiteNews } from '../../src/site/site-news.ts';
import { COMMON, HEAD, LAUNCH, LIVE, later, OLD_LIVE, SITES, sha, TERMS } from './site-examples.ts';

const DAY = 86_400_000;
const HOUR = 3_600_000;
const through = (site: Site, ...news: readonly SiteNews[]): Site =>
  news.reduce((now, one, index) => transition(now, { ...one, at: later((index + 1) * 1000) }).next, site);
const effects = (site: Site, news: SiteNews, at = later(1000)) => transition(site, { ...news, at }).effects;

const FORK = { ...HEAD, trust: 'untrusted', repository: parseRepositoryId(99) ?? null } as const;
const HELD: Site = { ...SITES.held, head: FORK };
const approval: Approval = { sha: FORK.sha, repository: FORK.repository, base: FORK.base, by: { id: 5, login: 'ada' } };
const approved: SiteNews = { type: 'approved', approval };
let looked = 5;
const look = (head: Site['head'], reopened = false): SiteNews => ({
  type: 'headSeen',
  observation: ++looked,
  head,
  terms: TERMS,
  region: 'europe-west3',
  reopened,
});
const closed = (): SiteNews => ({ type: 'pullClosed', observation: ++looked, merged: false, closedAt: null, head: null });
const launched = (site: Site): readonly SiteNews[] => [
  { type: 'launchStarted', launch: LAUNCH, sha: site.head.sha },
  { type: 'launchSucceeded', launch: LAUNCH, sha: site.head.sha, live: { url: LIVE.url, served: LIVE.served, idleMs: 1 } },
];
const gone: SiteNews = { type: 'removalFinished' };
const deployed: SiteNews = { type: 'deployAsked', by: 'ada', only: 'any', order: null };

describe('an approval is for one commit of one repository on one base branch', () => {
  test('and lets that commit be launched', () => {
    const ready = through(HELD, approved, ...launched(HELD));
    expect(ready).toMatchObject({ status: 'ready', approval, live: { sha: FORK.sha } });
    expect(through(ready, look(FORK)).status).toBe('ready');
    expect(through(ready, { type: 'stopped', by: 'ada', order: null }, gone, deployed).status).toBe('queued');
  });

  const VOIDING: readonly [string, readonly SiteNews[]][] = [
    ['a push', [look({ ...FORK, sha: sha('b') })]],
    ['a push and the way back', [look({ ...FORK, sha: sha('b') }), look(FORK)]],
    ['another base branch', [look({ ...FORK, base: 'next' })]],
    ['another base branch and the way back', [look({ ...FORK, base: 'next' }), look(FORK)]],
    ['a fork of the same name made anew', [look({ ...FORK, repository: parseRepositoryId(100) ?? null })]],
    ['a fork that is gone', [look({ ...FORK, repository: null })]],
    ['being made a draft', [look({ ...FORK, draft: true })]],
    ['a close and a reopening', [closed(), gone, look(FORK, true)]],
    ['a close that was seen, and a reopening that was not', [closed(), gone, look(FORK)]],
    ['a reopening whose close was missed', [look(FORK, true)]],
  ];
  const LAPSED: [string, readonly SiteNews[]] = [
    'the word of the forge that it may not be any more',
    [{ type: 'approvalLapsed', sha: FORK.sha }],
  ];

  test.each([...VOIDING, LAPSED])('%s voids it', (_, news) => {
    for (const before of [through(HELD, approved), through(HELD, approved, ...launched(HELD))]) {
      expect(through(before, ...news)).toMatchObject({ status: 'held', approval: null });
    }
  });

  test.each(VOIDING)('%s voids it also while the site is stopped', (_, news) => {
    const stopped = through(HELD, approved, ...launched(HELD), { type: 'stopped', by: 'ada', order: null }, gone);
    expect(through(stopped, ...news, gone, deployed)).toMatchObject({ status: 'held', approval: null });
  });

  test('what was approved and is live stays live while the next commit waits', () => {
    const ready = through(HELD, approved, ...launched(HELD));
    expect(through(ready, look({ ...FORK, sha: sha('b') }))).toMatchObject({ status: 'held', live: { sha: FORK.sha }, place: 'taken' });
  });

  test('of another commit, repository or base it is none', () => {
    for (const part of [{ sha: sha('b') }, { repository: null }, { base: 'next' }]) {
      expect(through(HELD, { type: 'approved', approval: { ...approval, ...part } }).status).toBe('held');
    }
  });
});

describe('commands count in the order in which they were written', () => {
  const stop = (order: number): SiteNews => ({ type: 'stopped', by: 'ada', order });
  const deploy = (order: number): SiteNews => ({ type: 'deployAsked', by: 'ada', only: 'any', order });
  test.each<[string, readonly SiteNews[], Site['status']]>([
    ['stop, then deploy', [stop(10), gone, deploy(11)], 'queued'],
    ['deploy, heard of before the stop that came first', [deploy(11), stop(10)], 'ready'],
    ['stop, heard of before the deploy that came first', [stop(11), gone, deploy(10)], 'ended'],
    ['deploy and stop in one comment', [deploy(80), stop(81)], 'ending'],
    ['a stop heard of twice', [stop(10), gone, deploy(11), stop(10)], 'queued'],
  ])('%s', (_, news, status) => {
    expect(through(SITES.ready, ...news).status).toBe(status);
  });

  test('of two regions the later stays', () => {
    const region = (name: string, order: number): SiteNews => ({ type: 'regionChosen', by: 'ada', region: name, order });
    expect(through(SITES.ready, region('usa', 12), region('asia', 11)).wishes.region).toBe('usa');
  });
});

test('a region that was chosen holds from the next launch on, over pushes', () => {
  const chosen = through(SITES.ready, { type: 'regionChosen', by: 'ada', region: 'us-central1', order: 1 });
  expect(chosen.region).toBe('europe-west3');
  expect(through(chosen, look({ ...HEAD, sha: sha('b') })).region).toBe('us-central1');
});

test('a site that is kept stands until the limit, after each push anew, and no longer once the pull is closed', () => {
  const kept = through(SITES.ready, { type: 'kept', by: 'ada' });
  expect(kept.endsAt).toEqual(later(14 * DAY));
  const pushed = through(kept, look({ ...HEAD, sha: sha('b') }));
  expect(pushed.endsAt).toEqual(later(14 * DAY + 1000));
  expect(through(pushed, closed(), gone, look(HEAD, true)).wishes.kept).toBe(false);
});

describe('a closed pull', () => {
  test('whose site is asked for lives until its end, however often the close is seen', () => {
    const back = through(SITES.ready, closed(), gone, deployed, closed());
    expect(back).toMatchObject({ status: 'queued', closedAs: 'closed' });
    expect(through(back, ...launched(back), closed()).status).toBe('ready');
    expect(through(SITES.ready, closed(), deployed, closed(), gone).status).toBe('queued');
  });

  test('whose newest commit we heard of by the close comes back at that commit', () => {
    const pushed: SiteNews = { type: 'pullClosed', observation: ++looked, merged: false, closedAt: null, head: { ...HEAD, sha: sha('b') } };
    expect(through(SITES.ready, pushed, gone, deployed)).toMatchObject({ status: 'queued', head: { sha: sha('b') }, moved: true });
  });

  test('that was closed once more, with nothing seen in between, ends', () => {
    const at = (ms: number): SiteNews => ({ type: 'pullClosed', observation: ++looked, merged: false, closedAt: later(ms), head: null });
    const back = through(SITES.ready, at(1_000), gone, deployed, at(1_000));
    expect(back.status).toBe('queued');
    expect(through(back, at(2_000))).toMatchObject({ status: 'ending', reason: { kind: 'closed' } });
  });

  test('that is reopened and closed again ends', () => {
    expect(through(SITES.ready, closed(), gone, deployed, look(HEAD, true), closed()).status).toBe('ending');
  });
});

describe('places', () => {
  const busy: Site = { ...SITES.ready, place: 'taken' };
  test('are given up at the end, at a first launch that fails, and where a first commit waits for approval', () => {
    expect(through(busy, closed())).toMatchObject({ place: 'taken' });
    expect(transition(through(busy, closed()), { ...gone, at: later(9) })).toMatchObject({
      next: { place: 'none' },
      effects: ['report', 'vacate'],
    });
    const failed: SiteNews = { type: 'launchFailed', launch: LAUNCH, sha: HEAD.sha, during: 'build', code: 'build-failed', details: {} };
    expect(effects({ ...SITES.building, place: 'taken' }, failed)).toEqual(['report', 'vacate']);
    expect(effects({ ...SITES.building, place: 'taken', live: OLD_LIVE }, failed)).toEqual(['report']);
    expect(effects({ ...SITES.building, place: 'taken' }, look(FORK))).toContain('vacate');
  });

  test('that are refused are said once, and again when those who have them change', () => {
    const refused = through(SITES.queued, { type: 'placeRefused' });
    expect(refused.place).toBe('refused');
    expect(effects(refused, { type: 'placeRefused' })).toEqual([]);
    expect(effects(refused, { type: 'placesChanged' })).toEqual(['report']);
    expect(through(refused, { type: 'placeTaken' }).place).toBe('taken');
  });

  test('a push does not lose the place', () => {
    expect(through({ ...SITES.building, place: 'taken' }, look({ ...HEAD, sha: sha('b') }))).toMatchObject({
      status: 'queued',
      place: 'taken',
    });
  });
});

describe('an end that nears', () => {
  const soon: Site = { ...SITES.ready, endsAt: later(HOUR - 1), clockStart: later(-DAY) };
  test('is said once, unless the whole life is no longer than that', () => {
    const said = transition(soon, { type: 'endNeared', at: later(1) });
    expect(said).toMatchObject({ next: { endNears: true }, effects: ['report'] });
    expect(effects(said.next, { type: 'endNeared' })).toEqual([]);
    expect(effects({ ...soon, clockStart: later(0) }, { type: 'endNeared' })).toEqual([]);
  });

  test('is forgotten when there is more time', () => {
    expect(through({ ...soon, endNears: true }, { type: 'extended', byMs: DAY, by: 'ada' }).endNears).toBe(false);
    expect(through({ ...soon, endNears: true }, look({ ...HEAD, sha: sha('b') })).endNears).toBe(false);
  });
});

test('a rebuild is remembered until the launch is over', () => {
  const asked = through(SITES.ready, { type: 'rebuildAsked', by: 'ada', order: 3 });
  expect(asked).toMatchObject({ status: 'queued', rebuild: true, live: LIVE });
  const next = toLaunchId('01JDLAUNCH0000000000000009');
  const started = through(asked, { type: 'launchStarted', launch: next, sha: HEAD.sha });
  expect(started).toMatchObject({ status: 'building', rebuild: true });
  const details = { launch: next, sha: HEAD.sha, during: 'build', code: 'build-failed', details: {} } as const;
  expect(through(started, { type: 'launchFailed', ...details }).rebuild).toBe(false);
});

test('a notice stays until something newer is said, or a new start', () => {
  const notice = { said: [{ typed: '/preview ping', by: 'ada', answer: { code: 'pong', details: {} } }], log: null } as const;
  const told = through(SITES.ready, { type: 'noticed', notice });
  expect(through(told, { type: 'extended', byMs: DAY, by: 'ada' }).notice).toEqual(notice);
  expect(through(told, look({ ...HEAD, sha: sha('b') })).notice).toBeNull();
});

test('a pull that was passed over gets a site when that changes, and ends nothing when it closes', () => {
  expect(through(SITES.absent, look(HEAD)).status).toBe('queued');
  expect(through(SITES.absent, closed())).toMatchObject({ status: 'absent', passed: { why: 'closed' } });
  expect(COMMON.notice).toBeNull();
});
