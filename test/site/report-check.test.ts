import { describe, expect, test } from 'vitest';
import { PROBLEMS } from '../../src/site/problem.ts';
import { renderCheck, renderDeployment, renderOvertakenCheck } from '../../src/site/report-check.ts';
import type { SiteView } from '../../src/site/report-view.ts';
import { clockTime, distance, span } from '../../src/site/report-words.ts';
import type { Site } from '../../src/site/site.ts';
import { DONE, FAILED, HEAD, LIVE, later, launch, NOW, OLD_LAUNCH, SITES, STAGES, sha, view } from './site-examples.ts';

describe('the check', () => {
  const row = (site: Site, change: Partial<SiteView> = {}): string => {
    const { status, title, summary } = renderCheck(view(site, change), NOW);
    return `${status}: ${title} — ${summary}`;
  };

  test('says the same in one line', () => {
    const expired = { ...SITES.ended, reason: { kind: 'expired' } } as const;
    const broken = launch({
      outcome: 'failed',
      reason: { during: 'build', code: 'build-failed', details: { command: 'make', exit: '2' } },
    });
    expect([
      row(SITES.held),
      row(SITES.queued),
      row(SITES.building),
      row({ ...SITES.deploying, stage: 'check' }),
      row(SITES.ready, { launches: [DONE] }),
      row(SITES.ready),
      row(SITES.failed, { launches: [FAILED] }),
      row(expired, { launches: [DONE] }),
      row(expired, { launches: [broken] }),
      row(SITES.ending, { launches: [launch({ outcome: 'superseded' })] }),
    ]).toMatchInlineSnapshot(`
      [
        "neutral: Waits for approval — Nothing of this commit has been fetched, built or run. \`/preview approve 3f2a9c1\` from somebody with write access allows it.",
        "queued: Queued — The preview starts as soon as it is its turn.",
        "inProgress: Building — Building since Fri 20 Nov 14:05 UTC.",
        "inProgress: Waiting for the app to answer — Waiting for the app to answer since Fri 20 Nov 14:05 UTC.",
        "success: Ready in 48 s — **https://pr-12-shop-k3f9abcd.preview.acme.dev** serves this commit until Mon 23 Nov 14:05 UTC, in 3 days.",
        "success: Ready — **https://pr-12-shop-k3f9abcd.preview.acme.dev** serves this commit until Mon 23 Nov 14:05 UTC, in 3 days.",
        "failure: Failed: npm run build exited with 1 — \`npm run build\` exited with 1. The log says why; mend it and push.",
        "success: Ended: its time was up — Its time was up. Nothing of it is left. \`/preview deploy\`, a push or reopening the pull request brings it back.",
        "failure: Failed: make exited with 2 — \`make\` exited with 2. The log says why; mend it and push.

      Its time was up. Nothing of it is left. \`/preview deploy\`, a push or reopening the pull request brings it back.",
        "cancelled: Ended: closed — The pull request was closed. Its remains are being removed. \`/preview deploy\` or reopening the pull request brings it back.",
      ]
    `);
  });

  test('has the end of the log, and links to the site once there is one', () => {
    expect(renderCheck(view(SITES.failed, { launches: [FAILED] }), NOW)).toMatchObject({
      url: null,
      text: expect.stringContaining('cannot find ./cart'),
    });
    expect(renderCheck(view(SITES.ready, { launches: [DONE] }), NOW)).toMatchObject({ url: LIVE.url, text: '' });
  });

  test("keeps the log's last lines within what GitHub takes", () => {
    const tail = Array.from({ length: 200 }, (_, line) => `${line} ${'x'.repeat(900)}`).join('\n');
    const { text } = renderCheck(view(SITES.failed, { launches: [launch({ tail })] }), NOW);
    expect(text.length).toBeLessThan(65_535);
    expect(text).toContain('\n199 x');
  });

  test.each([
    ['superseded while it was built', { outcome: 'superseded' }, 'cancelled: Superseded by 3f2a9c1'],
    ['abandoned by a worker that died', { outcome: 'abandoned' }, 'cancelled: Superseded by 3f2a9c1'],
    ['was ready', { outcome: 'succeeded', stages: STAGES }, 'success: Ready in 48 s'],
    [
      'had failed',
      { outcome: 'failed', reason: { during: 'build', code: 'build-failed', details: { command: 'make', exit: '2' } } },
      'failure: Failed: make exited with 2',
    ],
  ] as const)('of an older commit that %s is not left in progress', (_, change, expected) => {
    const older = sha('1a2b3c4');
    const check = renderOvertakenCheck(view(SITES.ready, { launches: [DONE, launch({ id: OLD_LAUNCH, sha: older, ...change })] }), older);
    expect(`${check.status}: ${check.title}`).toBe(expected);
    expect(check.sha).toBe(older);
  });

  test('of an older commit that was never launched is not left in progress', () => {
    expect(renderOvertakenCheck(view(SITES.ready), sha('1a2b3c4'))).toMatchObject({ status: 'cancelled', title: 'Superseded by 3f2a9c1' });
  });
});

test('the deployment follows the site, and there is none where nothing runs', () => {
  const long = { ...SITES.failed, details: { command: 'x'.repeat(300), exit: '1' } };
  expect(Object.values(SITES).map((site) => renderDeployment(view(site))?.state ?? null)).toEqual([
    null,
    'queued',
    'inProgress',
    'inProgress',
    'success',
    'failure',
    null,
    null,
    null,
  ]);
  expect(renderDeployment(view(long))?.description).toHaveLength(140);
  expect(renderDeployment(view(SITES.ready))).toEqual({ sha: HEAD.sha, state: 'success', url: LIVE.url, description: 'Ready' });
});

describe('times', () => {
  test.each([
    [0, 'now'],
    [20_000, 'now'],
    [50_000, 'in 1 minute'],
    [-89 * 60_000, '89 minutes ago'],
    [2 * 3_600_000, 'in 2 hours'],
    [-35 * 3_600_000, '35 hours ago'],
    [71.9 * 3_600_000, 'in 3 days'],
  ])('%d ms from now is %s', (ms, expected) => {
    expect(distance(later(ms), NOW)).toBe(expected);
  });

  test.each([
    ['2026-11-23T14:05:59Z', 'Mon 23 Nov 14:05 UTC'],
    ['2027-01-01T00:00:00Z', 'Fri 1 Jan 2027 00:00 UTC'],
  ])('%s is %s', (time, expected) => {
    expect(clockTime(new Date(time), NOW)).toBe(expected);
  });

  test.each([
    [0, '0.0 s'],
    [940, '0.9 s'],
    [960, '1 s'],
    [99_000, '99 s'],
    [120_000, '2 min'],
    [192_300, '3 min 12 s'],
  ])('%d ms take %s', (ms, expected) => {
    expect(span(ms)).toBe(expected);
  });
});

test('every problem has a brief and a sentence that says what to do', () => {
  for (const [code, { brief, sentence }] of Object.entries(PROBLEMS)) {
    expect(brief, code).toMatch(/^[^A-Z].*[^.]$/);
    expect(sentence, code).toMatch(/^[A-Z`].*\.$/);
  }
});
