import { describe, expect, test } from 'vitest';
import { PROBLEMS } from '../../src/site/problem.ts';
import { commentMarker, renderComment } from '../../src/site/report.ts';
import { renderCheck, renderDeployment, renderOvertakenCheck } from '../../src/site/report-check.ts';
import type { SiteView } from '../../src/site/report-view.ts';
import { clockTime, distance, span } from '../../src/site/report-words.ts';
import type { EndReason, Site } from '../../src/site/site.ts';
import type { Launch } from '../../src/store/store.ts';
import { HEAD, LIVE, later, launch, NOW, OLD_LAUNCH, OLD_LIVE, SITES, sha, view } from './site-examples.ts';

const STAGES = { queued: 900, fetch: 2_100, build: 38_000, deploy: 5_900, check: 2_000 };
const DONE = launch({ outcome: 'succeeded', stages: STAGES, notes: { cache: 'dependencies' } });
const comment = (site: Site, change: Partial<SiteView> = {}): string => renderComment(view(site, change), NOW);
const FAILED = launch({
  outcome: 'failed',
  stages: { fetch: 2_100, build: 10_200 },
  tail: '> shop@1.0.0 build\n> vite build\n\nerror: cannot find ./cart',
});

describe('the comment', () => {
  test('held', () => {
    expect(comment(SITES.held)).toMatchInlineSnapshot(`
      "<!-- mayfly:site=01JDSITE000000000000000001 -->
      ### 🔒 Preview waits for approval

      This commit comes from outside the repository, so nothing of it has been fetched, built or run.

      \`/preview approve 3f2a9c1\` from somebody with write access allows this one commit: it is then built and run in a sandbox, without secrets. The next push waits again.

      | Commit | Region | Ends |
      |---|---|---|
      | [\`3f2a9c1\`](https://github.com/acme/shop/commit/3f2a9c13f2a9c13f2a9c13f2a9c13f2a9c13f2a9) fix the cart total | eu-frankfurt | Mon 23 Nov 14:05 UTC, in 3 days |

      <details><summary>Commands</summary>

      \`/preview approve 3f2a9c1\` · \`/preview stop\` · \`/preview help\`
      </details>
      "
    `);
  });

  test('queued, the first time', () => {
    expect(comment(SITES.queued)).toMatchInlineSnapshot(`
      "<!-- mayfly:site=01JDSITE000000000000000001 -->
      ### ⏳ Preview is queued

      **https://pr-12-shop-k3f9abcd.preview.acme.dev**

      It is next, and starts in a moment.

      | Commit | Region | Ends |
      |---|---|---|
      | [\`3f2a9c1\`](https://github.com/acme/shop/commit/3f2a9c13f2a9c13f2a9c13f2a9c13f2a9c13f2a9) fix the cart total | eu-frankfurt | Mon 23 Nov 14:05 UTC, in 3 days |

      <details><summary>Commands</summary>

      \`/preview status\` · \`/preview stop\` · \`/preview help\`
      </details>
      "
    `);
  });

  test('queued behind others, while the commit before is served', () => {
    const said = comment({ ...SITES.queued, live: OLD_LIVE }, { place: 3 });
    expect(said.split('\n\n')[2]).toMatchInlineSnapshot(
      `"2 previews before it. Until it is ready, visitors get [\`1a2b3c4\`](https://github.com/acme/shop/commit/1a2b3c41a2b3c41a2b3c41a2b3c41a2b3c41a2b3)."`,
    );
  });

  test('building', () => {
    expect(comment({ ...SITES.building, since: later(-180_000) })).toMatchInlineSnapshot(`
      "<!-- mayfly:site=01JDSITE000000000000000001 -->
      ### 🛠 Preview is being built

      **https://pr-12-shop-k3f9abcd.preview.acme.dev**

      Building since Fri 20 Nov 14:02 UTC.

      | Commit | Region | Ends |
      |---|---|---|
      | [\`3f2a9c1\`](https://github.com/acme/shop/commit/3f2a9c13f2a9c13f2a9c13f2a9c13f2a9c13f2a9) fix the cart total | eu-frankfurt | Mon 23 Nov 14:05 UTC, in 3 days |

      <details><summary>Commands</summary>

      \`/preview status\` · \`/preview stop\` · \`/preview help\`
      </details>
      "
    `);
  });

  test.each([
    ['fetch', 'Fetching the commit since Fri 20 Nov 14:05 UTC.'],
    ['build', 'Building since Fri 20 Nov 14:05 UTC.'],
    ['deploy', 'Deploying since Fri 20 Nov 14:05 UTC.'],
    ['check', 'Waiting for the app to answer since Fri 20 Nov 14:05 UTC.'],
  ] as const)('while it is in %s', (stage, expected) => {
    const site: Site = stage === 'fetch' || stage === 'build' ? { ...SITES.building, stage } : { ...SITES.deploying, stage };
    expect(comment(site).split('\n\n')[2]).toBe(expected);
  });

  test('ready', () => {
    expect(comment(SITES.ready, { launches: [DONE] })).toMatchInlineSnapshot(`
      "<!-- mayfly:site=01JDSITE000000000000000001 -->
      ### 🟢 Preview is ready

      **https://pr-12-shop-k3f9abcd.preview.acme.dev**

      | Commit | Region | Ends |
      |---|---|---|
      | [\`3f2a9c1\`](https://github.com/acme/shop/commit/3f2a9c13f2a9c13f2a9c13f2a9c13f2a9c13f2a9) fix the cart total | eu-frankfurt | Mon 23 Nov 14:05 UTC, in 3 days |

      <sub>Launched in 48 s: fetch 2, build 38, deploy 6, check 2 · dependencies from cache · [log](https://github.com/acme/shop/runs/1)</sub>

      <details><summary>Commands</summary>

      \`/preview extend 2d\` · \`/preview stop\` · \`/preview rebuild\` · \`/preview logs\` · \`/preview help\`
      </details>
      "
    `);
  });

  test('ready, on this machine, with what was found and ignored', () => {
    const notes = { cache: 'artefact', detected: 'npm, `npm run build`, `npm start`', ignored: ['ttl', 'region'] } as const;
    const told = launch({ outcome: 'succeeded', stages: { fetch: 400, deploy: 1_200, check: 300 }, notes });
    expect(comment(SITES.ready, { launches: [told], target: 'local', checkUrl: null })).toMatchInlineSnapshot(`
      "<!-- mayfly:site=01JDSITE000000000000000001 -->
      ### 🟢 Preview is ready

      **https://pr-12-shop-k3f9abcd.preview.acme.dev**

      | Commit | Region | Ends |
      |---|---|---|
      | [\`3f2a9c1\`](https://github.com/acme/shop/commit/3f2a9c13f2a9c13f2a9c13f2a9c13f2a9c13f2a9) fix the cart total | this machine | Mon 23 Nov 14:05 UTC, in 3 days |

      <sub>Launched in 2 s: fetch 0.4, deploy 1, check 0.3 · build from cache<br>Detected npm, \`npm run build\`, \`npm start\`; \`build\`, \`start\` and \`output\` in \`.mayfly.yml\` can say otherwise.<br>Ignored in this branch's \`.mayfly.yml\`: \`ttl\`, \`region\`. The base branch decides those.</sub>

      <details><summary>Commands</summary>

      \`/preview extend 2d\` · \`/preview stop\` · \`/preview rebuild\` · \`/preview logs\` · \`/preview help\`
      </details>
      "
    `);
  });

  test('failed, while the commit before is served', () => {
    expect(comment({ ...SITES.failed, live: OLD_LIVE }, { launches: [FAILED] })).toMatchInlineSnapshot(`
      "<!-- mayfly:site=01JDSITE000000000000000001 -->
      ### 🔴 Preview failed while building

      \`npm run build\` exited with 1. The log says why; mend it and push.

      Visitors still get [\`1a2b3c4\`](https://github.com/acme/shop/commit/1a2b3c41a2b3c41a2b3c41a2b3c41a2b3c41a2b3) at **https://pr-12-shop-k3f9abcd.preview.acme.dev**.

      | Commit | Region | Ends |
      |---|---|---|
      | [\`3f2a9c1\`](https://github.com/acme/shop/commit/3f2a9c13f2a9c13f2a9c13f2a9c13f2a9c13f2a9) fix the cart total | eu-frankfurt | Mon 23 Nov 14:05 UTC, in 3 days |

      <details><summary>Log, last 4 lines</summary>

      \`\`\`text
      > shop@1.0.0 build
      > vite build

      error: cannot find ./cart
      \`\`\`
      </details>

      <sub>Failed after 12 s: fetch 2, build 10 · [log](https://github.com/acme/shop/runs/1)</sub>

      <details><summary>Commands</summary>

      \`/preview deploy\` · \`/preview rebuild\` · \`/preview logs\` · \`/preview stop\` · \`/preview help\`
      </details>
      "
    `);
  });

  test('failed on its settings', () => {
    const notes = {
      mistakes: ['line 3, column 1: there is no setting "bild"; did you mean "build"?', 'line 5, column 7: "port" must be a whole number'],
    };
    const failed = { ...SITES.failed, during: 'fetch', code: 'config-invalid', details: { count: '2 mistakes on the base branch' } } as const;
    expect(comment(failed, { launches: [launch({ outcome: 'failed', notes })] })).toMatchInlineSnapshot(`
      "<!-- mayfly:site=01JDSITE000000000000000001 -->
      ### 🔴 Preview failed while reading its settings

      \`.mayfly.yml\` has 2 mistakes on the base branch, so nothing was launched. Once that is corrected, the preview is launched by itself.

      - line 3, column 1: there is no setting "bild"; did you mean "build"?
      - line 5, column 7: "port" must be a whole number

      | Commit | Region | Ends |
      |---|---|---|
      | [\`3f2a9c1\`](https://github.com/acme/shop/commit/3f2a9c13f2a9c13f2a9c13f2a9c13f2a9c13f2a9) fix the cart total | eu-frankfurt | Mon 23 Nov 14:05 UTC, in 3 days |

      <sub>[log](https://github.com/acme/shop/runs/1)</sub>

      <details><summary>Commands</summary>

      \`/preview deploy\` · \`/preview rebuild\` · \`/preview logs\` · \`/preview stop\` · \`/preview help\`
      </details>
      "
    `);
  });

  test('failed while starting', () => {
    const details = { path: '/healthz', port: '3000', limit: '2 min', last: ' (the last answer was 500)' };
    const failed = { ...SITES.failed, during: 'check', code: 'health-timeout', details } as const;
    expect(comment(failed).split('\n\n').slice(0, 2).join('\n\n')).toMatchInlineSnapshot(`
      "<!-- mayfly:site=01JDSITE000000000000000001 -->
      ### 🔴 Preview failed while starting

      The app did not answer \`/healthz\` on port 3000 with 2xx or 3xx within 2 min \\(the last answer was 500\\). Let it listen on the port in \`PORT\`, or set \`port\` and \`health\` in \`.mayfly.yml\`."
    `);
  });

  test('ending', () => {
    expect(comment(SITES.ending)).toMatchInlineSnapshot(`
      "<!-- mayfly:site=01JDSITE000000000000000001 -->
      ### ⚪ Preview has ended

      The pull request was closed. Its remains are being removed. \`/preview deploy\` or reopening the pull request brings it back.

      <sub>[\`3f2a9c1\`](https://github.com/acme/shop/commit/3f2a9c13f2a9c13f2a9c13f2a9c13f2a9c13f2a9) fix the cart total</sub>
      "
    `);
  });

  test.each<[EndReason, string]>([
    [
      { kind: 'closed' },
      'The pull request was closed. Nothing of it is left. `/preview deploy` or reopening the pull request brings it back.',
    ],
    [{ kind: 'merged' }, 'The pull request was merged. Nothing of it is left. `/preview deploy` brings it back.'],
    [
      { kind: 'expired' },
      'Its time was up. Nothing of it is left. `/preview deploy`, a push or reopening the pull request brings it back.',
    ],
    [{ kind: 'stopped', by: 'ada' }, 'ada stopped it. Nothing of it is left. `/preview deploy` brings it back.'],
    [{ kind: 'removed' }, 'The repository was removed from Mayfly. Nothing of it is left.'],
  ])('ended: %j', (reason, expected) => {
    expect(comment({ ...SITES.ended, reason }).split('\n\n')[1]).toBe(expected);
  });

  test('ended, the whole of it', () => {
    expect(renderComment(view(SITES.ended), later(3 * 3_600_000))).toMatchInlineSnapshot(`
      "<!-- mayfly:site=01JDSITE000000000000000001 -->
      ### ⚪ Preview has ended

      The pull request was closed. Nothing of it is left. \`/preview deploy\` or reopening the pull request brings it back.

      <sub>[\`3f2a9c1\`](https://github.com/acme/shop/commit/3f2a9c13f2a9c13f2a9c13f2a9c13f2a9c13f2a9) fix the cart total · ended Fri 20 Nov 14:05 UTC, 3 hours ago</sub>
      "
    `);
  });

  test('a site that is wanted again while it ends', () => {
    expect(comment({ ...SITES.ending, revive: true }).split('\n\n')[1]).toMatchInlineSnapshot(
      `"The pull request was closed. It is wanted again, and launches as soon as its remains are removed."`,
    );
  });

  test('on GitLab, with a word of the operator', () => {
    const said = comment(SITES.ended, {
      forge: { kind: 'gitlab', address: 'https://git.acme.dev/' },
      repository: 'acme/web/shop',
      word: '/site',
    });
    expect(said).toContain('`/site deploy` or reopening the merge request brings it back.');
    expect(said).toContain(`](https://git.acme.dev/acme/web/shop/-/commit/${HEAD.sha})`);
  });

  test('the marker is the first line', () => {
    expect(comment(SITES.queued).split('\n')[0]).toBe(commentMarker(SITES.queued.id));
  });

  test('only the last 30 lines of a log, each no longer than 500 characters', () => {
    const tail = Array.from({ length: 200 }, (_, line) => `${line} ${'x'.repeat(line === 199 ? 900 : 3)}`).join('\n');
    const lines = comment(SITES.failed, { launches: [launch({ tail })] }).split('\n');
    const shown = lines.slice(lines.indexOf('```text') + 1, lines.lastIndexOf('```'));
    expect([shown.length, shown[0], shown.at(-1)?.length]).toEqual([30, '170 xxx', 500]);
  });
});

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
  ]);
  expect(renderDeployment(view(long))?.description).toHaveLength(140);
  expect(renderDeployment(view(SITES.ready))).toEqual({ sha: HEAD.sha, state: 'success', url: LIVE.url, description: 'Ready' });
});

test("a row of the store's launches can be shown as it is", () => {
  const stored: Launch = { ...DONE, site: SITES.ready.id, stages: STAGES, notes: {} };
  expect(comment(SITES.ready, { launches: [stored] })).toContain('Launched in 48 s');
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
