import { describe, expect, test } from 'vitest';
import { commentMarker, renderComment } from '../../src/site/report.ts';
import type { SiteView } from '../../src/site/report-view.ts';
import type { EndReason, Site } from '../../src/site/site.ts';
import type { Launch } from '../../src/store/store.ts';
import { DONE, FAILED, HEAD, later, launch, NOW, OLD_LIVE, SITES, STAGES, view } from './site-examples.ts';

const comment = (site: Site, change: Partial<SiteView> = {}): string => renderComment(view(site, change), NOW);

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

      It is next.

      | Commit | Region | Ends |
      |---|---|---|
      | [\`3f2a9c1\`](https://github.com/acme/shop/commit/3f2a9c13f2a9c13f2a9c13f2a9c13f2a9c13f2a9) fix the cart total | eu-frankfurt | Mon 23 Nov 14:05 UTC, in 3 days |

      <details><summary>Commands</summary>

      \`/preview logs\` · \`/preview stop\` · \`/preview help\`
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

      \`/preview logs\` · \`/preview stop\` · \`/preview help\`
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

      <sub>Launched in 2 s: fetch 0.4, deploy 1, check 0.3 · build from cache<br>Steps: npm, \`npm run build\`, \`npm start\`. \`build\`, \`start\` and \`output\` in \`.mayfly.yml\` change them.<br>Ignored in this branch's \`.mayfly.yml\`: \`ttl\`, \`region\`. The base branch decides those.</sub>

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

      <details><summary>Log, last 4 lines</summary>

      \`\`\`text
      > shop@1.0.0 build
      > vite build

      error: cannot find ./cart
      \`\`\`
      </details>

      Visitors still get [\`1a2b3c4\`](https://github.com/acme/shop/commit/1a2b3c41a2b3c41a2b3c41a2b3c41a2b3c41a2b3) at **https://pr-12-shop-k3f9abcd.preview.acme.dev**.

      | Commit | Region | Ends |
      |---|---|---|
      | [\`3f2a9c1\`](https://github.com/acme/shop/commit/3f2a9c13f2a9c13f2a9c13f2a9c13f2a9c13f2a9) fix the cart total | eu-frankfurt | Mon 23 Nov 14:05 UTC, in 3 days |

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
    const failed = {
      ...SITES.failed,
      during: 'fetch',
      code: 'config-invalid',
      details: { count: '2 mistakes on the base branch' },
    } as const;
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

  test('on GitLab the check has a page without a log', () => {
    const said = comment(SITES.ready, {
      forge: { kind: 'gitlab', address: 'https://git.acme.dev' },
      checkUrl: 'https://git.acme.dev/x',
      launches: [DONE],
    });
    expect(said).toContain('[status](https://git.acme.dev/x)');
    expect(said).not.toContain('[log]');
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

test("a row of the store's launches can be shown as it is", () => {
  const stored: Launch = { ...DONE, site: SITES.ready.id, stages: STAGES, notes: {} };
  expect(comment(SITES.ready, { launches: [stored] })).toContain('Launched in 48 s');
});
