import fc from 'fast-check';
import { marked } from 'marked';
import { expect, test } from 'vitest';
import { parseCommands } from '../../src/site/command.ts';
import { type LaunchId, toLaunchId } from '../../src/site/identity.ts';
import { mergeOwn, parseRepoConfig } from '../../src/site/repo-config.ts';
import { COMMENT_MAX, renderComment } from '../../src/site/report.ts';
import { currentLaunch, type Head, type Site, transition } from '../../src/site/site.ts';
import type { SiteEvent, SiteNews } from '../../src/site/site-news.ts';
import { cleanLog, codeSpan, escapeText, fence } from '../../src/site/text.ts';
import { COMMON, EVERY_SITE, HEAD, later, launch, NOW, PREVIEW_URL, SITES, sha, TERMS, view } from './site-examples.ts';

const HEADS = ['a', 'b', 'c'].map((start): Head => ({ ...HEAD, sha: sha(start) }));
const LAUNCHES = ['1', '2', '3'].map(toLaunchId);
const head = fc.constantFrom(...HEADS);

/** What a forge shows of a pull over time: look number n finds the n-th of these. */
const truths = fc.array(
  fc.oneof(
    fc.record({ open: fc.constant(true), head, reopened: fc.boolean() }),
    fc.record({ open: fc.constant(false), merged: fc.boolean() }),
  ),
  {
    minLength: 1,
    maxLength: 8,
  },
);
type Truth = { open: true; head: Head; reopened: boolean } | { open: false; merged: boolean };
const asNews = (truth: Truth, observation: number): SiteNews =>
  truth.open
    ? { type: 'headSeen', observation, head: truth.head, terms: TERMS, region: 'europe-west3', reopened: truth.reopened }
    : { type: 'pullClosed', observation, merged: truth.merged, closedAt: null, head: null };

/** Any of the looks in any order, some lost, some told more than once, and the newest of them somewhere. */
const toldLooks = truths.chain((all) => {
  const looks = (all as Truth[]).map((truth, index) => asNews(truth, index + 1));
  const newest = looks.length - 1;
  return fc
    .array(fc.nat({ max: newest }), { maxLength: 16 })
    .chain((picked) =>
      fc.shuffledSubarray(
        [newest, ...picked].map((index, slot) => ({ index, slot })),
        { minLength: picked.length + 1 },
      ),
    )
    .map((order) => ({ told: order.flatMap(({ index }) => looks[index] ?? []), last: (all as Truth[])[newest] }));
});

const workers: fc.Arbitrary<SiteNews> = fc
  .record({
    launch: fc.constantFrom(...LAUNCHES),
    sha: head.map((one) => one.sha),
    stage: fc.constantFrom('fetch', 'build', 'deploy', 'check'),
  })
  .chain(({ launch: id, sha: of, stage }) =>
    fc.constantFrom<SiteNews>(
      { type: 'launchStarted', launch: id, sha: of },
      { type: 'stageEntered', launch: id, sha: of, stage },
      { type: 'launchSucceeded', launch: id, sha: of, live: { url: 'https://x', served: { kind: 'static', folder: '/x' }, idleMs: 1 } },
      { type: 'launchFailed', launch: id, sha: of, during: stage, code: 'unexpected', details: {} },
    ),
  );
const people: fc.Arbitrary<SiteNews> = fc.oneof(
  fc.integer({ min: 1, max: 99 * 86_400_000 }).map((byMs): SiteNews => ({ type: 'extended', byMs, by: 'ada' })),
  fc.constantFrom<SiteNews>(
    { type: 'deployAsked', by: 'ada', only: 'any', order: null },
    { type: 'forgeAnswered' },
    { type: 'stopped', by: 'ada', order: null },
    { type: 'endReached' },
    { type: 'repositoryRemoved' },
    { type: 'removalFinished' },
  ),
);
const looks = truths.map((all) => asNews((all as Truth[])[0] as Truth, all.length));
const anyNews = fc.array(fc.oneof(workers, people, looks), { maxLength: 30 });

const START: Site = { ...SITES.queued, observation: 0, head: HEADS[0] ?? HEAD };
function* states(news: readonly SiteNews[]): Generator<{ site: Site; event: SiteEvent; next: Site }> {
  let site: Site = START;
  for (const [index, one] of news.entries()) {
    const event: SiteEvent = { ...one, at: later(index * 3_600_000) };
    const { next } = transition(site, event);
    yield { site, event, next };
    site = next;
  }
}

test('T-F18: whatever order, repetition or loss, a site ends where the newest look is', () => {
  fc.assert(
    fc.property(toldLooks, fc.boolean(), ({ told, last }, removesAtOnce) => {
      const news = removesAtOnce
        ? told.flatMap((one): SiteNews[] => [one, { type: 'removalFinished' }])
        : [...told, { type: 'removalFinished' } as const];
      const end = [...states(news)].at(-1)?.next ?? START;
      expect(end.status === 'ended').toBe(!last?.open);
      if (last?.open) expect(end.head.sha).toBe(last.head.sha);
    }),
    { numRuns: 500 },
  );
});

test('an end is never later than the limit after the clock was started', () => {
  fc.assert(
    fc.property(anyNews, (news) => {
      for (const { next } of states(news)) expect(next.endsAt.getTime()).toBeLessThanOrEqual(next.clockStart.getTime() + TERMS.maxTtlMs);
    }),
  );
});

test('only the success of the current launch, of the newest commit, makes a site ready', () => {
  fc.assert(
    fc.property(anyNews, (news) => {
      for (const { site, event, next } of states(news)) {
        if (next.status !== 'ready' || site.status === 'ready') continue;
        const launch: LaunchId | undefined = currentLaunch(site);
        expect(event).toMatchObject({ type: 'launchSucceeded', launch, sha: site.head.sha });
      }
    }),
  );
});

test('news that changes nothing asks for nothing, and news told twice changes nothing the second time', () => {
  fc.assert(
    fc.property(anyNews, (news) => {
      for (const { site, event, next } of states(news)) {
        if (next === site) expect(transition(site, event).effects).toEqual([]);
        if (event.type === 'extended' || event.type === 'launchStarted') continue;
        const again = transition(next, event).next;
        expect({ ...again, endsAt: null, clockStart: null }).toEqual({ ...next, endsAt: null, clockStart: null });
      }
    }),
  );
});

const hostile = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 400 }),
  fc
    .array(
      fc.constantFrom(
        '`',
        '```',
        '@org/team',
        '#12',
        '<!-- mayfly:site=',
        '-->',
        '|',
        '\n',
        '\r',
        '\u202e',
        '\u001b]8;;x\u0007',
        '\u0000',
        ':+1:',
        '](',
        '\\',
        'https://evil',
        ' ',
        'a',
      ),
      { maxLength: 60 },
    )
    .map((parts) => parts.join('')),
);

test('no parser throws, whatever it is given', () => {
  const yamlish = fc
    .array(
      fc.constantFrom(
        'root:',
        ' ',
        '\n',
        '- ',
        '? ',
        '[',
        '{',
        '}',
        ']',
        '*a',
        '&a',
        '!!js/function',
        '"',
        "'",
        '|',
        '>',
        '\t',
        '<<:',
        '__proto__:',
        '---',
        'env:',
        'ttl: 3d',
        '#',
        '%',
        ': ',
      ),
      { maxLength: 60 },
    )
    .map((parts) => parts.join(''));
  fc.assert(
    fc.property(fc.oneof(hostile, yamlish), (text) => {
      const base = parseRepoConfig(text);
      if ('config' in base) mergeOwn(base.config, text);
      else expect(base.mistakes[0]).toMatchObject({ line: expect.any(Number), column: expect.any(Number) });
      parseCommands(text);
      cleanLog(text);
    }),
    { numRuns: 500 },
  );
});

test('T-C01: a comment holds its own marker alone, no mention, and stays within the limit, whatever comes from outside', () => {
  fc.assert(
    fc.property(hostile, fc.constantFrom(...EVERY_SITE), (text, site) => {
      const notes = { detected: text, ignored: Array(40).fill(text), mistakes: Array(40).fill(text) };
      const told = launch({ notes, tail: Array(300).fill(text).join('\n') });
      const head = { ...COMMON.head, title: text, commitTitle: text, author: text, branch: text };
      const named = site.status === 'failed' ? { ...site, details: { command: text, exit: text } } : site;
      const comment = renderComment(view({ ...named, head }, { launches: [told] }), NOW);
      expect(comment.length).toBeLessThanOrEqual(COMMENT_MAX);
      const shown = marked.parse(comment, { gfm: true, async: false });
      const outsideCode = shown.replace(/<(pre|code)\b[\s\S]*?<\/\1>/g, '');
      expect(shown.match(/<!--/g)).toHaveLength(1);
      expect(outsideCode).not.toMatch(/@[a-z0-9]|:\+1:/i);
      expect(
        [...shown.matchAll(/href="([^"]*)"/g)].filter(([, to]) => !to?.startsWith('https://github.com/acme/shop/') && to !== PREVIEW_URL),
      ).toEqual([]);
    }),
    { numRuns: 300 },
  );
});

test('text is one line, code cannot be left, and a fence is longer than what it holds', () => {
  fc.assert(
    fc.property(hostile, (text) => {
      expect(escapeText(text)).not.toMatch(/[\n\r\u0000-\u001f\u202a-\u202e]/);
      expect(escapeText(text)).not.toMatch(/@[a-z0-9]|#[0-9]|<|(?<!\\)[`|*_[\]]/i);
      const code = codeSpan(text);
      const ticks = /^`+/.exec(code)?.[0].length ?? 0;
      const inside = code.slice(ticks, -ticks).match(/`+/g) ?? [];
      expect(inside.every((run) => run.length < ticks || run.length === 0)).toBe(true);
      const block = fence(cleanLog(text)).split('\n');
      const mark = block[0]?.replace('text', '') ?? '';
      expect(block.slice(1, -1).some((line) => line.trim().startsWith(mark))).toBe(false);
    }),
  );
});
