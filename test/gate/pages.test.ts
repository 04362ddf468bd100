import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { noticeOf } from '../../src/gate/pages.ts';
import { toLaunchId } from '../../src/site/identity.ts';
import type { EndReason } from '../../src/site/site.ts';
import { type Answer, createWorld, HOST, LABEL, launch, liveAs, readyAs, siteAs, type World } from './world.ts';

const browser = { accept: 'text/html,*/*' };
const since = new Date(0);

/** What a person reads of a page. */
const words = ({ status, body }: Answer): string =>
  `${status} ${body
    .replace(/<(style|title)>[\s\S]*?<\/\1>/g, '')
    .replace(/<[^>]+>/g, '')
    .replace(/\s*\n\s*/g, '\n')
    .trim()}`;

const withSite = async (show: (w: World) => Promise<void>) => {
  await using w = await createWorld((_, response) => response.end('app'));
  await show(w);
};

test('while nothing is there yet, the page says what is going on and reloads itself', () =>
  withSite(async (w) => {
    w.put(siteAs({ status: 'queued', since }));
    const queued = await w.ask('/', { headers: browser });
    expect(words(queued)).toMatchInlineSnapshot(`
      "503 This preview is about to be built
      Commit 3f2a9c1 waits for its turn.
      This page reloads by itself; the site appears here when it is ready.
      To the pull request"
    `);
    expect(queued.body).toContain('<meta http-equiv="refresh" content="3">');
    w.put(siteAs({ status: 'building', launch, stage: 'build', since }));
    expect(words(await w.ask('/', { headers: browser }))).toMatchInlineSnapshot(`
      "503 This preview is being built
      Commit 3f2a9c1 is being built.
      This page reloads by itself; the site appears here when it is ready.
      To the pull request"
    `);
    w.put(siteAs({ status: 'deploying', launch, stage: 'check', since }));
    expect(words(await w.ask('/', { headers: browser }))).toMatchInlineSnapshot(`
      "503 This preview is being built
      Commit 3f2a9c1 was started and is being checked.
      This page reloads by itself; the site appears here when it is ready.
      To the pull request"
    `);
    w.put(siteAs({ status: 'held' }));
    expect(words(await w.ask('/', { headers: browser }))).toMatchInlineSnapshot(`
      "503 This preview waits for approval
      The pull request comes from a fork, so none of its code runs before a maintainer has approved the commit.
      Who may: /preview approve 3f2a9c1 in a comment on the pull request.
      To the pull request"
    `);
  }));

test('a site of GitLab’s is a merge request’s', () => {
  const on = { command: '/preview', pull: { word: 'merge request', url: 'https://git.acme.dev/acme/shop/-/merge_requests/7' } };
  const told = [
    noticeOf(siteAs({ status: 'held' }), on),
    noticeOf(siteAs({ status: 'ended', reason: { kind: 'expired' }, endedAt: since }), on),
    noticeOf(siteAs({ status: 'ended', reason: { kind: 'merged' }, endedAt: since }), on),
  ];
  expect(told.map(({ lines, link }) => [...lines, link?.text].join('\n')).join('\n')).toMatchInlineSnapshot(`
    "The merge request comes from a fork, so none of its code runs before a maintainer has approved the commit.
    Who may: \`/preview approve 3f2a9c1\` in a comment on the merge request.
    To the merge request
    Its time was up.
    To bring it back: \`/preview deploy\` in a comment on the merge request, a push, or reopening the merge request.
    To the merge request
    Its merge request was merged.
    To see it once more: \`/preview deploy\` in a comment on the merge request.
    To the merge request"
  `);
});

test('what is no browser gets plain words or a problem document, and when to come again', () =>
  withSite(async (w) => {
    w.put(siteAs({ status: 'queued', since }));
    const plain = await w.ask('/');
    expect(plain).toMatchObject({ status: 503, headers: { 'retry-after': '3', 'content-type': 'text/plain; charset=utf-8' } });
    expect(plain.body).toMatchInlineSnapshot(`
      "This preview is about to be built
      Commit \`3f2a9c1\` waits for its turn. This page reloads by itself; the site appears here when it is ready.
      https://github.com/acme/shop/pull/7
      "
    `);
    const problem = await w.ask('/', { headers: { accept: 'application/json' } });
    expect(problem).toMatchObject({ status: 503, headers: { 'retry-after': '3', 'content-type': 'application/problem+json' } });
    expect(JSON.parse(problem.body)).toMatchObject({ status: 503, code: 'queued' });
  }));

test('a failure says at which stage and what to do, with nothing from outside taken for HTML', () =>
  withSite(async (w) => {
    const details = { command: 'npm run <script>alert(1)</script>', exit: '1' };
    w.put(siteAs({ status: 'failed', launch, during: 'build', code: 'build-failed', details }));
    const answer = await w.ask('/', { headers: browser });
    expect(answer.body).not.toContain('<script');
    expect(words(answer)).toMatchInlineSnapshot(`
      "503 This preview failed while building
      npm run &lt;script&gt;alert(1)&lt;/script&gt; exited with 1. The log says why; mend it and push.
      Commit 3f2a9c1. The pull request has the log.
      To the pull request"
    `);
  }));

test('an end says why, and how the preview comes back', () =>
  withSite(async (w) => {
    const reasons: EndReason[] = [
      { kind: 'closed' },
      { kind: 'merged' },
      { kind: 'expired' },
      { kind: 'stopped', by: 'ann' },
      { kind: 'removed' },
    ];
    const told: string[] = [];
    for (const reason of reasons) {
      w.put(siteAs({ status: 'ended', reason, endedAt: since }));
      told.push(words(await w.ask('/', { headers: browser })));
      w.put(siteAs({ status: 'ending', reason, revive: false, live: liveAs({ kind: 'process', service: 's' }) }));
      expect((await w.ask('/')).status).toBe(410);
    }
    expect(told.join('\n\n')).toMatchInlineSnapshot(`
      "410 This preview has ended
      Its pull request was closed.
      Reopening it brings the preview back; so does /preview deploy in a comment on the pull request.
      To the pull request

      410 This preview has ended
      Its pull request was merged.
      To see it once more: /preview deploy in a comment on the pull request.
      To the pull request

      410 This preview has ended
      Its time was up.
      To bring it back: /preview deploy in a comment on the pull request, a push, or reopening the pull request.
      To the pull request

      410 This preview has ended
      It was stopped by hand.
      To bring it back: /preview deploy in a comment on the pull request.
      To the pull request

      410 This preview has ended
      Previews were switched off for its repository.
      To the pull request"
    `);
  }));

test('what was live stays live while the next is built or has failed', () =>
  withSite(async (w) => {
    const live = liveAs({ kind: 'process', service: 's' });
    w.put(siteAs({ status: 'building', launch, stage: 'build', since, live }));
    expect((await w.ask('/')).body).toBe('app');
    w.put(siteAs({ status: 'failed', launch, during: 'build', code: 'build-failed', details: {}, live }));
    expect((await w.ask('/')).body).toBe('app');
  }));

test.each(['preview.test', 'nobody.preview.test', `a.${HOST}`, 'example.com', 'bücher.preview.test', '', '[::1]', `-${HOST}`])(
  'the host "%s" is nobody',
  (host) =>
    withSite(async (w) => {
      const answer = await w.ask('/', { headers: { host: Buffer.from(host).toString('latin1') } });
      expect(answer).toMatchObject({ status: 404, headers: { 'x-robots-tag': 'noindex, nofollow' } });
    }),
);

test.each([`${LABEL.toUpperCase()}.Preview.TEST:8080`, `${HOST}.`, `${HOST}.:99`])('the host "%s" is the site', (host) =>
  withSite(async (w) => {
    expect((await w.ask('/', { headers: { host } })).body).toBe('app');
    expect((await w.ask(`http://${host}/x`, { headers: { host: 'other' } })).body).toBe('app');
  }),
);

test('somebody at an empty page is told that the app is waking; a program waits', () =>
  withSite(async () => {
    await using w = await createWorld((_, response) => response.end('awake'), { times: { wakePatience: 20 } });
    w.runner.awake = false;
    const program = w.ask('/');
    const page = await w.ask('/', { headers: browser });
    expect(words(page)).toMatchInlineSnapshot(`
      "503 This preview is waking up
      It slept because nobody was here for a while. This page reloads by itself."
    `);
    w.runner.awake = true;
    w.runner.woken.resolve();
    expect((await program).body).toBe('awake');
    w.runner.fails = true;
    expect(words(await w.ask('/', { headers: browser }))).toMatchInlineSnapshot(`
      "503 This preview did not wake up
      The app did not start again when it was woken. Reload to try once more, or push a new commit."
    `);
  }));

test('robots.txt: the app is asked, and answers for itself if it has one', async () => {
  let has = false;
  await using w = await createWorld((_, response) => (has ? response.end('mine') : response.writeHead(404).end('none')));
  expect((await w.ask('/robots.txt')).body).toBe('User-agent: *\nDisallow: /\n');
  has = true;
  expect((await w.ask('/robots.txt')).body).toBe('mine');
});

test('the access log has a line a visit, without the query and with nothing forged', async () => {
  const w = await createWorld((_, response) => response.end('ok'));
  await w.ask('/a%0Ab?token=SECRET', { headers: { 'user-agent': 'x" \\ \u00e9' } });
  await w.gate[Symbol.asyncDispose]();
  const text = await readFile(join(w.folder, 'logs', '01JSITE', 'access.log'), 'utf8');
  expect(text).toMatch(/^\S+Z 127\.0\.0\.1 "GET \/a%0Ab" 200 \d+ \d+ "x\\" \\\\ \\u00e9"\n$/);
  await w[Symbol.asyncDispose]();
});

test('an app that has given way a moment ago: the one in its place answers, although nobody told the gate yet', () =>
  withSite(async (w) => {
    expect((await w.ask('/')).body).toBe('app');
    w.runner.gone = 'site/one';
    const live = { ...liveAs({ kind: 'process', service: 'site/two' }), revision: toLaunchId('01JSECOND') };
    w.putUnheard({ ...readyAs(live.served), live });
    expect(await w.ask('/')).toMatchObject({ status: 200, body: 'app' });
    w.runner.gone = 'site/two';
    expect(words(await w.ask('/', { headers: browser }))).toMatchInlineSnapshot(`
      "503 This preview did not wake up
      The app did not start again when it was woken. Reload to try once more, or push a new commit."
    `);
    w.putUnheard(siteAs({ status: 'ended', reason: { kind: 'closed' }, endedAt: since }));
    expect((await w.ask('/')).status).toBe(410);
  }));
