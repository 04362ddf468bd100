import { describe, expect, test } from 'vitest';
import { toLaunchId } from '../../src/site/identity.ts';
import { type Approval, begin, type Site, STATUSES, transition } from '../../src/site/site.ts';
import type { SiteEvent, SiteNews } from '../../src/site/site-news.ts';
import { COMMON, EVERY_SITE, HEAD, LAUNCH, LIVE, later, NOW, OLD_LIVE, SITES, sha, TERMS } from './site-examples.ts';

const DAY = 86_400_000;
const AT = later(60_000);
const NEXT = toLaunchId('01JDLAUNCH0000000000000002');
const PUSHED = { ...HEAD, sha: sha('b0b0b0b') };
const SERVED = { url: LIVE.url, served: LIVE.served, idleMs: LIVE.idleMs };
const OF_LAUNCH = { launch: LAUNCH, sha: HEAD.sha } as const;
const approvalOf = ({ head }: Site): Approval => ({
  sha: head.sha,
  repository: head.repository,
  base: head.base,
  by: { id: 1, login: 'ada' },
});
const look = (head: Site['head'], change: { observation?: number; reopened?: boolean } = {}): SiteNews => ({
  type: 'headSeen',
  observation: 6,
  head,
  terms: TERMS,
  region: 'europe-west3',
  reopened: false,
  ...change,
});

type Row = readonly [news: SiteNews['type'], name: string, told: (site: Site) => SiteNews, ...cells: Cells];
/** What becomes of a site in each status. `-`: the very same object; `=`: same status, changed; then the effects: `p`rovision, `r`eport. */
type Cells = readonly [string, string, string, string, string, string, string, string, string];

// biome-ignore format: a table is read in columns
const TABLE: readonly Row[] = [
  // Cells: held, queued, building, deploying, ready, failed, ending, ended, absent.

  ['headSeen', 'the same head', (site) => look(site.head), '=', '=', '=', '=', '=', '=', '= r', 'queued pr', 'queued pr'],
  ['headSeen', 'a push', (site) => look({ ...site.head, sha: PUSHED.sha }), '= pr', '= pr', 'queued pr', 'queued pr', 'queued pr', 'queued pr', '= r', 'queued pr', 'queued pr'],
  ['headSeen', 'another base', (site) => look({ ...site.head, base: 'next' }), '= pr', '= pr', 'queued pr', 'queued pr', 'queued pr', 'queued pr', '= r', 'queued pr', 'queued pr'],
  ['headSeen', 'a new title', (site) => look({ ...site.head, title: 'New' }), '= r', '= r', '= r', '= r', '= r', '= r', '= r', 'queued pr', 'queued pr'],
  ['headSeen', 'made a draft', (site) => look({ ...site.head, draft: true }), '= r', '= r', '= r', '= r', '= r', '= r', '= r', 'queued pr', 'queued pr'],
  ['headSeen', 'the fork deleted', () => look({ ...HEAD, trust: 'untrusted' }), '=', 'held pr', 'held pr', 'held pr', 'held pr', 'held pr', '= r', 'held pr', 'held pr'],
  ['headSeen', 'an older look', () => look(PUSHED, { observation: 5 }), '-', '-', '-', '-', '-', '-', '-', '-', '-'],
  ['passedOver', '', () => ({ type: 'passedOver', observation: 6, head: PUSHED, terms: TERMS, region: 'europe-west3', passed: { why: 'draft' } }), '-', '-', '-', '-', '-', '-', '-', '-', '= r'],
  ['passedOver', 'an older look', () => ({ type: 'passedOver', observation: 5, head: PUSHED, terms: TERMS, region: 'europe-west3', passed: { why: 'draft' } }), '-', '-', '-', '-', '-', '-', '-', '-', '-'],
  ['pullClosed', 'closed', () => ({ type: 'pullClosed', observation: 6, merged: false, closedAt: null, head: null }), 'ending pr', 'ending pr', 'ending pr', 'ending pr', 'ending pr', 'ending pr', '=', '=', '='],
  ['pullClosed', 'merged', () => ({ type: 'pullClosed', observation: 6, merged: true, closedAt: null, head: null }), 'ending pr', 'ending pr', 'ending pr', 'ending pr', 'ending pr', 'ending pr', '= r', '= r', '='],
  ['pullClosed', 'an older look', () => ({ type: 'pullClosed', observation: 5, merged: true, closedAt: null, head: null }), '-', '-', '-', '-', '-', '-', '-', '-', '-'],
  ['repositoryRemoved', '', () => ({ type: 'repositoryRemoved' }), 'ending pr', 'ending pr', 'ending pr', 'ending pr', 'ending pr', 'ending pr', '= r', '= r', '-'],
  ['launchStarted', 'of the head', () => ({ type: 'launchStarted', launch: NEXT, sha: HEAD.sha }), '-', 'building r', '= r', 'building r', '-', '-', '-', '-', '-'],
  ['launchStarted', 'told twice', () => ({ type: 'launchStarted', ...OF_LAUNCH }), '-', 'building r', '-', '-', '-', '-', '-', '-', '-'],
  ['launchStarted', 'of another commit', () => ({ type: 'launchStarted', launch: NEXT, sha: PUSHED.sha }), '-', '-', '-', '-', '-', '-', '-', '-', '-'],
  ['stageEntered', 'fetch', () => ({ type: 'stageEntered', ...OF_LAUNCH, stage: 'fetch' }), '-', '-', '= r', 'building r', '-', '-', '-', '-', '-'],
  ['stageEntered', 'build', () => ({ type: 'stageEntered', ...OF_LAUNCH, stage: 'build' }), '-', '-', '-', 'building r', '-', '-', '-', '-', '-'],
  ['stageEntered', 'deploy', () => ({ type: 'stageEntered', ...OF_LAUNCH, stage: 'deploy' }), '-', '-', 'deploying r', '-', '-', '-', '-', '-', '-'],
  ['stageEntered', 'check', () => ({ type: 'stageEntered', ...OF_LAUNCH, stage: 'check' }), '-', '-', 'deploying r', '= r', '-', '-', '-', '-', '-'],
  ['stageEntered', 'of another launch', () => ({ type: 'stageEntered', launch: NEXT, sha: HEAD.sha, stage: 'check' }), '-', '-', '-', '-', '-', '-', '-', '-', '-'],
  ['launchSucceeded', 'the current', () => ({ type: 'launchSucceeded', ...OF_LAUNCH, live: SERVED }), '-', '-', 'ready r', 'ready r', '-', '-', '-', '-', '-'],
  ['launchSucceeded', 'another', () => ({ type: 'launchSucceeded', launch: NEXT, sha: HEAD.sha, live: SERVED }), '-', '-', '-', '-', '-', '-', '-', '-', '-'],
  ['launchSucceeded', 'of another commit', () => ({ type: 'launchSucceeded', launch: LAUNCH, sha: PUSHED.sha, live: SERVED }), '-', '-', '-', '-', '-', '-', '-', '-', '-'],
  ['launchFailed', 'the current', () => ({ type: 'launchFailed', ...OF_LAUNCH, during: 'check', code: 'health-timeout', details: {} }), '-', '-', 'failed r', 'failed r', '-', '-', '-', '-', '-'],
  ['launchFailed', 'another', () => ({ type: 'launchFailed', launch: NEXT, sha: HEAD.sha, during: 'build', code: 'build-failed', details: {} }), '-', '-', '-', '-', '-', '-', '-', '-', '-'],
  ['deployAsked', 'for any reason', () => ({ type: 'deployAsked', by: 'ada', only: 'any', order: null }), '-', '-', '-', '-', '-', 'queued pr', '= r', 'queued pr', '-'],
  ['deployAsked', 'by a command', () => ({ type: 'deployAsked', by: 'ada', only: 'any', order: 9 }), '=', '=', '=', '=', '=', 'queued pr', '= r', 'queued pr', '='],
  ['deployAsked', 'for this failure', () => ({ type: 'deployAsked', by: 'ada', only: ['build-failed'], order: null }), '-', '-', '-', '-', '-', 'queued pr', '-', '-', '-'],
  ['deployAsked', 'for another failure', () => ({ type: 'deployAsked', by: 'main', only: ['config-invalid'], order: null }), '-', '-', '-', '-', '-', '-', '-', '-', '-'],
  ['rebuildAsked', '', () => ({ type: 'rebuildAsked', by: 'ada', order: null }), '-', '= pr', 'queued pr', 'queued pr', 'queued pr', 'queued pr', '= r', 'queued pr', '-'],
  ['launchDoubted', 'the last', () => ({ type: 'launchDoubted', launch: LAUNCH }), '-', '-', '-', '-', 'queued pr', 'queued pr', '-', '-', '-'],
  ['launchDoubted', 'another', () => ({ type: 'launchDoubted', launch: NEXT }), '-', '-', '-', '-', '-', '-', '-', '-', '-'],
  ['extended', 'by a day', () => ({ type: 'extended', byMs: DAY, by: 'ada' }), '= r', '= r', '= r', '= r', '= r', '= r', '-', '-', '-'],
  ['kept', '', () => ({ type: 'kept', by: 'ada' }), '= r', '= r', '= r', '= r', '= r', '= r', '-', '-', '-'],
  ['regionChosen', '', () => ({ type: 'regionChosen', by: 'ada', region: 'usa', order: null }), '=', '=', '=', '=', '=', '=', '=', '=', '='],
  ['restAsked', '', () => ({ type: 'restAsked', by: 'ada', order: 9 }), '=', '=', '=', '=', '=', '=', '=', '=', '='],
  ['approved', 'this commit', (site) => ({ type: 'approved', approval: approvalOf(site) }), 'queued pr', '-', '-', '-', '-', '-', '-', '-', '-'],
  ['approved', 'another commit', (site) => ({ type: 'approved', approval: { ...approvalOf(site), sha: PUSHED.sha } }), '-', '-', '-', '-', '-', '-', '-', '-', '-'],
  ['approved', 'on another base', (site) => ({ type: 'approved', approval: { ...approvalOf(site), base: 'next' } }), '-', '-', '-', '-', '-', '-', '-', '-', '-'],
  ['approvalLapsed', 'of what was not approved', () => ({ type: 'approvalLapsed', sha: HEAD.sha }), '-', '-', '-', '-', '-', '-', '-', '-', '-'],
  ['placeTaken', '', () => ({ type: 'placeTaken' }), '-', '=', '-', '-', '-', '-', '-', '-', '-'],
  ['placeRefused', '', () => ({ type: 'placeRefused' }), '-', '= r', '-', '-', '-', '-', '-', '-', '-'],
  ['placesChanged', 'for one that does not wait', () => ({ type: 'placesChanged' }), '-', '-', '-', '-', '-', '-', '-', '-', '-'],
  ['noticed', '', () => ({ type: 'noticed', notice: { said: [], log: null } }), '= r', '= r', '= r', '= r', '= r', '= r', '= r', '= r', '= r'],
  ['stopped', '', () => ({ type: 'stopped', by: 'ada', order: null }), 'ending pr', 'ending pr', 'ending pr', 'ending pr', 'ending pr', 'ending pr', '= r', '= r', '-'],
  ['stopped', 'by a command', () => ({ type: 'stopped', by: 'ada', order: 9 }), 'ending pr', 'ending pr', 'ending pr', 'ending pr', 'ending pr', 'ending pr', '= r', '= r', '-'],
  ['endNeared', 'too early', () => ({ type: 'endNeared' }), '-', '-', '-', '-', '-', '-', '-', '-', '-'],
  ['endReached', 'too early', () => ({ type: 'endReached' }), '-', '-', '-', '-', '-', '-', '-', '-', '-'],
  ['removalFinished', '', () => ({ type: 'removalFinished' }), '-', '-', '-', '-', '-', '-', 'ended r', '-', '-'],
];

const ALL_NEWS: { readonly [T in SiteNews['type']]: true } = {
  headSeen: true,
  passedOver: true,
  pullClosed: true,
  repositoryRemoved: true,
  launchStarted: true,
  stageEntered: true,
  launchSucceeded: true,
  launchFailed: true,
  deployAsked: true,
  rebuildAsked: true,
  launchDoubted: true,
  extended: true,
  kept: true,
  regionChosen: true,
  restAsked: true,
  approved: true,
  approvalLapsed: true,
  placeTaken: true,
  placeRefused: true,
  placesChanged: true,
  noticed: true,
  stopped: true,
  endNeared: true,
  endReached: true,
  removalFinished: true,
};

function outcome(site: Site, event: SiteEvent): string {
  const { next, effects } = transition(site, event);
  const status = next === site ? '-' : next.status === site.status ? '=' : next.status;
  return `${status} ${effects.map((effect) => effect[0]).join('')}`.trim();
}

describe('every status and every event', () => {
  test.each(TABLE.map((row) => [`${row[0]} ${row[1]}`.trim(), row] as const))('%s', (_, [, , told, ...cells]) => {
    expect(EVERY_SITE.map((site) => outcome(site, { ...told(site), at: AT }))).toEqual(cells);
  });

  test('the table leaves no news and no status out', () => {
    expect(new Set(TABLE.map(([type]) => type))).toEqual(new Set(Object.keys(ALL_NEWS)));
    expect(EVERY_SITE.map((site) => site.status)).toEqual([...STATUSES, 'absent']);
  });

  test('an end that is reached ends whatever stands', () => {
    const outcomes = EVERY_SITE.map((site) => outcome(site, { type: 'endReached', at: site.endsAt }));
    expect(outcomes).toEqual([...Array<string>(6).fill('ending pr'), '-', '-', '-']);
  });
});

const through = (site: Site, ...news: readonly SiteNews[]): Site =>
  news.reduce((now, one, index) => transition(now, { ...one, at: later((index + 1) * 1000) }).next, site);
const closed = (observation: number): SiteNews => ({ type: 'pullClosed', observation, merged: false, closedAt: null, head: null });
const stopped: SiteNews = { type: 'stopped', by: 'ada', order: null };
const gone: SiteNews = { type: 'removalFinished' };

describe('what comes back, and what stays down', () => {
  test.each<[string, readonly SiteNews[], Site['status']]>([
    ['closed, then reopened', [closed(6), gone, look(HEAD, { observation: 7, reopened: true })], 'queued'],
    ['closed, then seen open (the reopening was lost)', [closed(6), gone, look(HEAD, { observation: 7 })], 'queued'],
    ['reopened while it ends', [closed(6), look(HEAD, { observation: 7 }), gone], 'queued'],
    ['reopened and closed again while it ends', [closed(6), look(HEAD, { observation: 7 }), closed(8), gone], 'ended'],
    ['stopped, then pushed to', [stopped, gone, look(PUSHED)], 'ended'],
    ['stopped, closed and reopened', [stopped, gone, closed(6), look(HEAD, { observation: 7, reopened: true })], 'ended'],
    ['closed, then stopped, then reopened', [closed(6), stopped, gone, look(HEAD, { observation: 7, reopened: true })], 'ended'],
    ['stopped, then deployed', [stopped, gone, { type: 'deployAsked', by: 'ada', order: null, only: 'any' }], 'queued'],
    [
      'stopped, deployed at once, then closed and reopened',
      [stopped, { type: 'deployAsked', by: 'ada', order: null, only: 'any' }, closed(6), look(HEAD, { observation: 7 }), gone],
      'queued',
    ],
    ['removed, then installed again', [{ type: 'repositoryRemoved' }, gone, look(HEAD)], 'queued'],
  ])('%s', (_, news, status) => {
    expect(through(SITES.ready, ...news).status).toBe(status);
  });

  test.each<[string, SiteNews, Site['status']]>([
    ['seen again', look(HEAD), 'ended'],
    ['pushed to', look(PUSHED), 'queued'],
    ['moved to another base', look({ ...HEAD, base: 'next' }), 'ended'],
    ['reopened', look(HEAD, { reopened: true }), 'queued'],
    ['deployed', { type: 'deployAsked', by: 'ada', order: null, only: 'any' }, 'queued'],
  ])('expired, then %s', (_, news, status) => {
    expect(through({ ...SITES.ended, reason: { kind: 'expired' } }, news).status).toBe(status);
  });
});

describe('what a change carries along', () => {
  test('what is live stays live while the next commit is built, and when that fails', () => {
    const failed = through(
      { ...SITES.ready, live: OLD_LIVE },
      look(PUSHED),
      { type: 'launchStarted', launch: NEXT, sha: PUSHED.sha },
      { type: 'launchFailed', launch: NEXT, sha: PUSHED.sha, during: 'build', code: 'build-failed', details: {} },
    );
    expect(failed).toMatchObject({ status: 'failed', live: OLD_LIVE });
  });

  test('a success makes live what was launched', () => {
    const ready = through(SITES.deploying, { type: 'launchSucceeded', ...OF_LAUNCH, live: SERVED });
    expect(ready.live).toEqual({ ...SERVED, sha: HEAD.sha, revision: LAUNCH, since: later(1000) });
  });

  test('a push restarts the clock and keeps an end that was extended further', () => {
    const extended = through(SITES.ready, { type: 'extended', byMs: 5 * DAY, by: 'ada' }, look(PUSHED));
    expect(extended).toMatchObject({ clockStart: later(2000), endsAt: later(8 * DAY), pushedAt: later(2000) });
  });

  test('the first success after a push or a deploy restarts the clock, what is launched again of its own accord does not', () => {
    const launched = (launch = NEXT): readonly SiteNews[] => [
      { type: 'launchStarted', launch, sha: HEAD.sha },
      { type: 'launchSucceeded', launch, sha: HEAD.sha, live: SERVED },
    ];
    const doubted: SiteNews = { type: 'launchDoubted', launch: LAUNCH };
    const failed: SiteNews = { type: 'launchFailed', ...OF_LAUNCH, during: 'fetch', code: 'forge-unreachable', details: {} };
    const asked: SiteNews = { type: 'rebuildAsked', by: 'ada', order: null };
    const clocks = [
      through(SITES.queued, ...launched()),
      through(SITES.building, failed, doubted, ...launched()),
      through(SITES.ready, doubted, ...launched()),
      through(SITES.ready, doubted, ...launched(LAUNCH), doubted, ...launched()),
      through(SITES.ready, asked, ...launched()),
      through(SITES.ready, doubted, asked),
      through(SITES.ready, doubted, asked, ...launched()),
    ].map(({ clockStart, endsAt }) => [clockStart, endsAt]);
    expect(clocks).toEqual([2000, 4000, 0, 0, 3000, 2000, 4000].map((ms) => [later(ms), later(ms + 3 * DAY)]));
  });

  test('an approval restarts the clock', () => {
    const approved = through(SITES.held, { type: 'approved', approval: approvalOf(SITES.held) });
    expect(approved).toMatchObject({ clockStart: later(1000), endsAt: later(1000 + 3 * DAY), pushedAt: NOW });
  });

  test('a removal leaves nothing live', () => {
    expect(through(SITES.ending, gone)).toMatchObject({ status: 'ended', live: null, reason: { kind: 'closed' } });
  });

  test('repeated looks at a pull whose site is still going do not move its end', () => {
    const reopened = through(SITES.ending, look(HEAD, { observation: 6 }));
    expect(through(reopened, look(HEAD, { observation: 7 }), look(HEAD, { observation: 8 })).endsAt).toEqual(reopened.endsAt);
  });

  test('shorter terms of the base branch take effect at the next start of the clock, a lower limit at once', () => {
    const seen = { ...look(HEAD), terms: { ttlMs: DAY, maxTtlMs: 2 * DAY } };
    expect(transition(SITES.ready, { ...seen, at: AT })).toMatchObject({ next: { endsAt: later(2 * DAY) }, effects: ['report'] });
  });

  test('a head whose keys come in another order is the same head', () => {
    const reordered = Object.fromEntries(Object.entries(HEAD).reverse());
    expect(transition(SITES.ready, { ...look({ ...HEAD, ...reordered }), at: AT }).effects).toEqual([]);
  });
});

test("a site begins queued, a fork's held, with the clock started", () => {
  const birth = { id: COMMON.id, pull: COMMON.pull, host: COMMON.host };
  const seen = { ...look(HEAD), at: NOW } as Extract<SiteEvent, { type: 'headSeen' }>;
  expect(begin(birth, seen)).toMatchObject({
    next: { status: 'queued', since: NOW, endsAt: later(3 * DAY), live: null, version: 1 },
    effects: ['provision', 'report'],
  });
  expect(begin(birth, { ...seen, head: { ...HEAD, trust: 'untrusted' } }).next.status).toBe('held');
});
