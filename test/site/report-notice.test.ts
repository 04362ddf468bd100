import { expect, test } from 'vitest';
import { ANSWERS, type AnswerCode } from '../../src/site/answer.ts';
import { NO_HOME } from '../../src/site/home.ts';
import { renderComment } from '../../src/site/report.ts';
import { renderCheck } from '../../src/site/report-check.ts';
import { notice } from '../../src/site/report-notice.ts';
import type { PassedOver } from '../../src/site/site.ts';
import { later, NOW, OLD_LIVE, SITES, view } from './site-examples.ts';

const DETAILS = {
  needed: 'write',
  had: 'read',
  allowed: 'status, help, ping',
  until: 'Fri 4 Dec 14:05 UTC',
  limit: '14 days',
  sha: '3f2a9c1',
  asked: '1a2b3c4',
  region: 'eu-frankfurt',
  regions: 'eu-belgium, us-iowa',
  hint: ' Did you mean us-iowa?',
  problem: 'There is no such command. Did you mean `/preview deploy`?',
};
const told = (code: AnswerCode, typed = '/preview x', by = 'ada') => ({ typed, by, answer: { code, details: DETAILS } });
const shown = (...codes: readonly AnswerCode[]): string =>
  notice(view({ ...SITES.ready, notice: { said: codes.map((code) => told(code)), log: null } }));

test('every answer that needs words has them', () => {
  const codes = Object.keys(ANSWERS).filter((code): code is AnswerCode => Object.hasOwn(ANSWERS, code) && code !== 'help');
  const lines = codes.flatMap((code) =>
    shown(code) === '' ? [] : [`${ANSWERS[code].outcome}: ${shown(code).replace('> `/preview x` by ada: ', '')}`],
  );
  expect(lines.join('\n')).toMatchInlineSnapshot(`
    "confused: There is no such command. Did you mean \`/preview deploy\`?
    refused: it needs write access, and ada has read, which allows status, help, ping.
    refused: a later command was carried out first.
    refused: there is no preview here. \`/preview deploy\` makes one.
    refused: there is no such pull request any more.
    refused: the pull request is closed and never had a preview. Reopening it makes one.
    refused: the pull request was closed after that was written. \`/preview deploy\` makes a preview all the same.
    refused: the repository was removed from Mayfly.
    refused: the preview has ended. \`/preview deploy\` brings it back.
    refused: the preview has ended.
    refused: it already stands for as long as it may, until Fri 4 Dec 14:05 UTC.
    done: it ends at the limit, Fri 4 Dec 14:05 UTC: 14 days after its last push or deploy.
    refused: this commit waits for approval: \`/preview approve 3f2a9c1\`.
    refused: nothing waits for approval here.
    done: this commit is approved already.
    refused: \`1a2b3c4\` is not the newest commit. \`/preview approve 3f2a9c1\` allows that one.
    refused: a push came about when that was written, so it is not clear which commit is meant. \`/preview approve 3f2a9c1\` allows the newest.
    refused: since that was written the pull request was closed, reopened, drafted or moved to another base, which takes approvals back. \`/preview approve 3f2a9c1\` allows the newest commit.
    refused: nothing runs here yet.
    done: the preview is made of files alone: nothing of it runs.
    done: it sleeps. The next visitor wakes it.
    done: it is awake.
    done: it sleeps by itself, some minutes after its last visitor, and the next one wakes it.
    refused: the app did not start. \`/preview logs app\` shows what it said.
    done: the next launch is in eu-frankfurt.
    done: eu-frankfurt is noted. Previews run on this machine, whatever their region.
    refused: there is no such region. Did you mean us-iowa? These may be used here: eu-belgium, us-iowa.
    refused: eu-frankfurt may not be used here. These may: eu-belgium, us-iowa.
    done: I am here.
    refused: there is no such log yet."
  `);
});

test('help is a table of everything that can be typed, and who may', () => {
  expect(shown('help')).toMatchInlineSnapshot(`
    "> \`/preview x\` by ada: this can be typed, a command a line.

    | command | effect | access |
    |---|---|---|
    | \`/preview deploy\` | brings the preview up, or back, or tries again | write |
    | \`/preview extend 3d\` | it ends that much later, within the limit | write |
    | \`/preview stop\` | ends it; only \`deploy\` brings it back | write |
    | \`/preview rebuild\` | builds again, using nothing that was kept | write |
    | \`/preview logs app 50\` | the end of a log, \`build\` or \`app\` | write |
    | \`/preview sleep\` | nothing here: it sleeps and wakes by itself | write |
    | \`/preview keep\` | it stands until the end of all extensions, over pushes too | maintain |
    | \`/preview region eu-frankfurt\` | the next launch is there | maintain |
    | \`/preview approve 3f2a9c1\` | one commit from outside may be built and run | write |
    | \`/preview status\` | looks again and brings this comment up to date | read |
    | \`/preview ping\` | is anyone there | read |"
  `);
  const here = view({ ...SITES.ready, notice: { said: [told('help')], log: null } }, { target: 'local' });
  expect(notice(here)).toContain('| `/preview sleep` | stops the processes until the next visitor, or `wake` | write |');
});

test('text from outside stays a quoted line: no mention, no marker, no end of the quote', () => {
  const typed = '/preview `x` <!-- mayfly:site=1 --> @org/team\n\n# Heading\n> quote';
  const said = [told('mistaken', typed, '@evil'), told('not-permitted', typed, 'a|b\n<b>')];
  const text = notice(view({ ...SITES.ready, notice: { said, log: null } }));
  expect(text.split('\n').every((line) => line.startsWith('>'))).toBe(true);
  expect(text).toMatchInlineSnapshot(`
    "> \`\`/preview \`x\` <!-- mayfly:site=1 --> @org/team # Heading > quote\`\` by @⁠evil: There is no such command. Did you mean \`/preview deploy\`?
    >
    > \`\`/preview \`x\` <!-- mayfly:site=1 --> @org/team # Heading > quote\`\` by a\\|b &lt;b&gt;: it needs write access, and a\\|b &lt;b&gt; has read, which allows status, help, ping."
  `);
});

test('a log that was asked for is shown in a fence of its own, its end when it is long', () => {
  const log = { of: 'app', text: `${'x'.repeat(30_000)}\n\`\`\`\`\nlistening on 3000\n<!-- mayfly:site=1 -->` } as const;
  const text = notice(view({ ...SITES.ready, notice: { said: [], log } }));
  expect(text.length).toBeLessThan(25_000);
  expect(text).toMatchInlineSnapshot(`
    "<details><summary>The app’s own log, its end</summary>

    \`\`\`\`\`text
    …xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
    \`\`\`\`
    listening on 3000
    <!-- mayfly:site=1 -->
    \`\`\`\`\`
    </details>"
  `);
});

const WORDS: Readonly<Record<PassedOver['why'], string>> = {
  draft: 'Drafts get no preview in this repository.',
  'no-label': 'In this repository a label makes a preview, and it is not on here.',
  'awaits-command': 'In this repository previews are made when somebody asks for one.',
  closed: 'This was closed before it had a preview.',
  'nothing-touched': 'Nothing is changed here that the preview is built from: that is `` apps/`web` ``.',
};
test.each<[PassedOver]>([
  [{ why: 'draft' }],
  [{ why: 'no-label' }],
  [{ why: 'awaits-command' }],
  [{ why: 'closed' }],
  [{ why: 'nothing-touched', root: 'apps/`web`' }],
])('a pull without a site, to whoever asks there: %j', (passed) => {
  const site = { ...SITES.absent, passed, notice: { said: [told('pong', '/preview ping')], log: null } };
  const text = renderComment(view(site), NOW);
  expect(text).toContain('### ⚪ No preview here');
  expect(text.split('\n\n')[1]).toBe(WORDS[passed.why]);
});

test('the check of a pull that touches nothing that is built', () => {
  const site = { ...SITES.absent, passed: { why: 'nothing-touched', root: 'app' } } as const;
  expect(renderCheck(view(site), NOW)).toMatchObject({ status: 'neutral', title: 'No preview', url: null });
});

test('without a place: who has them, oldest first, and how one is freed', () => {
  const holders = Array.from({ length: 12 }, (_, index) => ({ number: index + 1, endsAt: later(index * 86_400_000) }));
  const text = renderComment(view({ ...SITES.queued, place: 'refused' }, { holders }), NOW);
  expect(text.split('\n\n').slice(2, 4).join('\n\n')).toMatchInlineSnapshot(`
    "As many previews of this repository stand as may: 12. It starts by itself when one of them ends: \`/preview stop\` there, or closing that pull request, frees its place.

    - [pull request 1](https://github.com/acme/shop/pull/1), until Fri 20 Nov 14:05 UTC, now
    - [pull request 2](https://github.com/acme/shop/pull/2), until Sat 21 Nov 14:05 UTC, in 24 hours
    - [pull request 3](https://github.com/acme/shop/pull/3), until Sun 22 Nov 14:05 UTC, in 2 days
    - [pull request 4](https://github.com/acme/shop/pull/4), until Mon 23 Nov 14:05 UTC, in 3 days
    - [pull request 5](https://github.com/acme/shop/pull/5), until Tue 24 Nov 14:05 UTC, in 4 days
    - [pull request 6](https://github.com/acme/shop/pull/6), until Wed 25 Nov 14:05 UTC, in 5 days
    - [pull request 7](https://github.com/acme/shop/pull/7), until Thu 26 Nov 14:05 UTC, in 6 days
    - [pull request 8](https://github.com/acme/shop/pull/8), until Fri 27 Nov 14:05 UTC, in 7 days
    - [pull request 9](https://github.com/acme/shop/pull/9), until Sat 28 Nov 14:05 UTC, in 8 days
    - [pull request 10](https://github.com/acme/shop/pull/10), until Sun 29 Nov 14:05 UTC, in 9 days
    - and 2 more"
  `);
});

test('without room in any region that it may be in', () => {
  const site = { ...SITES.queued, place: 'refused', home: { ...NO_HOME, full: ['europe-west3', 'europe-west6'] } } as const;
  expect(renderComment(view(site, { holders: [] }), NOW).split('\n\n')[2]).toMatchInlineSnapshot(
    `"There is no room for another preview in eu-frankfurt, europe-west6: Google Cloud runs at most 1,000 services in a region. It starts by itself when there is; \`/preview region\` with another region's name takes it there."`,
  );
  const moving = { ...site, place: 'taken', live: OLD_LIVE } as const;
  expect(renderComment(view(moving), NOW).split('\n\n')[2]).toMatchInlineSnapshot(
    `"There is no room for another preview in eu-frankfurt, europe-west6: Google Cloud runs at most 1,000 services in a region. It starts by itself when there is; \`/preview region\` with another region's name takes it there. Until it is ready, visitors get [\`1a2b3c4\`](https://github.com/acme/shop/commit/1a2b3c41a2b3c41a2b3c41a2b3c41a2b3c41a2b3)."`,
  );
  expect(renderCheck(view(site), NOW)).toMatchObject({
    title: 'Waits for room in eu-frankfurt, europe-west6',
    summary: 'There is no room for another preview in eu-frankfurt, europe-west6. It starts when there is.',
  });
});

test('an hour before the end', () => {
  const site = { ...SITES.ready, endNears: true, clockStart: later(-86_400_000), endsAt: later(3_000_000) };
  expect(renderComment(view(site), NOW)).toContain('It ends within the hour. `/preview extend 2d` gives it more time.');
});
