import fc from 'fast-check';
import { marked } from 'marked';
import { expect, test } from 'vitest';
import { ANSWERS, type AnswerCode, answer, type Notice } from '../../src/site/answer.ts';
import { type Command, parseCommands } from '../../src/site/command.ts';
import { type LaunchId, toLaunchId } from '../../src/site/identity.ts';
import { mergeOwn, parseRepoConfig } from '../../src/site/repo-config.ts';
import { COMMENT_MAX, commentMarker, renderComment } from '../../src/site/report.ts';
import { currentLaunch, type Head, type Site, transition } from '../../src/site/site.ts';
import type { SiteEvent, SiteNews } from '../../src/site/site-news.ts';
import { cleanLog, codeSpan, escapeText, fence } from '../../src/site/text.ts';
import { COMMON, EVERY_SITE, HEAD, LAUNCH, LIVE, later, launch, NOW, PREVIEW_URL, SITES, sha, TERMS, view } from './site-examples.ts';

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
const doubts = fc.constantFrom(...LAUNCHES.map((one): SiteNews => ({ type: 'launchDoubted', launch: one })));
const people: fc.Arbitrary<SiteNews> = fc.oneof(
  doubts,
  fc.integer({ min: 1, max: 99 * 86_400_000 }).map((byMs): SiteNews => ({ type: 'extended', byMs, by: 'ada' })),
  fc.constantFrom<SiteNews>(
    { type: 'deployAsked', by: 'ada', only: 'any', order: null },
    { type: 'stopped', by: 'ada', order: null },
    { type: 'endReached' },
    { type: 'repositoryRemoved' },
    { type: 'removalFinished' },
  ),
);
const looks = truths.map((all) => asNews((all as Truth[])[0] as Truth, all.length));
const anyNews = fc.array(fc.oneof(workers, people, looks), { maxLength: 30 });

const START: Site = { ...SITES.queued, observation: 0, head: HEADS[0] ?? HEAD };
function* states(news: readonly SiteNews[], start = START): Generator<{ site: Site; event: SiteEvent; next: Site }> {
  let site = start;
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

test('what is launched again of its own accord ends when it would have', () => {
  const [first = LAUNCH] = LAUNCHES;
  const ready: Site = { ...SITES.ready, head: START.head, launch: first, live: { ...LIVE, revision: first } };
  const { clockStart, endsAt } = ready;
  fc.assert(
    fc.property(fc.array(fc.oneof(workers, doubts), { maxLength: 60 }), (news) => {
      for (const { next } of states(news, ready)) expect(next).toMatchObject({ clockStart, endsAt });
    }),
    { numRuns: 500 },
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

/** What somebody may have typed and what came of it: every answer there is, with text from outside wherever an answer has any. */
const noticeOf = (text: string): Notice => {
  const names = ['needed', 'by', 'had', 'allowed', 'until', 'limit', 'sha', 'asked', 'region', 'regions', 'pull', 'word'];
  const details = Object.fromEntries(names.map((name) => [name, text]));
  const codes = Object.keys(ANSWERS).filter((code): code is AnswerCode => code !== 'mistaken' && Object.hasOwn(ANSWERS, code));
  const answers = codes.map((code) => answer(code, details));
  // What is wrong with a line is said in our own words, whatever the line.
  const mistakes = parseCommands(`/preview ${text}\n/preview logs ${text}`).flatMap(({ meant }) =>
    typeof meant === 'string' ? [meant] : [],
  );
  const said = [...answers, ...mistakes.map((problem) => answer('mistaken', { problem }))].map((one) => ({
    typed: text,
    by: text,
    answer: one,
  }));
  return { said, log: { of: 'app', text: Array(300).fill(text).join('\n') } };
};

test('T-C01, T-B10: a comment with a notice holds its own marker alone, no mention, one table of ours, and stays within the limit', () => {
  fc.assert(
    fc.property(hostile, fc.constantFrom(...EVERY_SITE), (text, site) => {
      const plain = renderComment(view(site), NOW);
      const comment = renderComment(view({ ...site, notice: noticeOf(text) }), NOW);
      expect(comment.length).toBeLessThanOrEqual(COMMENT_MAX);
      expect(comment.split('\n').filter((line) => line.includes('<!--') && !line.startsWith('>'))[0]).toBe(commentMarker(site.id));
      const shown = marked.parse(comment, { gfm: true, async: false });
      const outsideCode = shown.replace(/<(pre|code)\b[\s\S]*?<\/\1>/g, '');
      expect(shown.match(/<!--/g)).toHaveLength(1);
      expect(outsideCode).not.toMatch(/@[a-z0-9]|:\+1:|#[0-9]/i);
      // What we open is what is there: one quote, one block of code, the table of the commands, and what the comment has without a notice.
      const bare = marked.parse(plain, { gfm: true, async: false });
      const count = (html: string, tag: string): number => html.match(new RegExp(`<${tag}[ >]`, 'g'))?.length ?? 0;
      const more = (tag: string): number => count(shown, tag) - count(bare, tag);
      expect([more('blockquote'), more('table'), more('h[1-6]'), more('img'), more('script')]).toEqual([1, 1, 0, 0, 0]);
      expect(more('pre')).toBeLessThanOrEqual(1);
      const links = (html: string): readonly string[] => [...html.matchAll(/href="([^"]*)"/g)].map(([, to]) => to ?? '');
      expect(links(shown)).toEqual(links(bare));
    }),
    { numRuns: 150 },
  );
});

/** Comments that look like commands, in every way in which they could be meant, hidden or bent. */
const commentish = fc.oneof(
  hostile,
  fc.string({ unit: 'binary', maxLength: 60 }).map((text) => `/preview ${text}`),
  fc
    .array(
      fc.constantFrom(
        ...[
          '/preview',
          '/PREVIEW',
          ' ',
          '\t',
          '\n',
          '\r\n',
          '\r',
          'deploy',
          'extend',
          '3d',
          '9999999999999w',
          'logs',
          'app',
          '201',
          'approve',
        ],
        ...[
          '3f2a9c1',
          'region',
          'usa',
          'stop',
          'constructor',
          '__proto__',
          '```',
          '~~~',
          '`',
          '> ',
          '- ',
          '1. ',
          '    ',
          '<!--',
          '-->',
          '<pre>',
        ],
        ...[
          '</pre>',
          '<blockquote>',
          '</blockquote>',
          '\u200b',
          '\u2028',
          '\u0000',
          '\ud800',
          '@everyone',
          '$(id)',
          '; id',
          '../..',
          '\ufeff',
        ],
      ),
      { maxLength: 40 },
    )
    .map((parts) => parts.join('')),
);

test('T-B10, T-B11: whatever is typed, the parser ends, finds at most five commands, each of them whole, and quotes nothing in its mistakes', () => {
  fc.assert(
    fc.property(commentish, (text) => {
      const lines = parseCommands(text);
      expect(lines.length).toBeLessThanOrEqual(6);
      const own = new Set(text.split(/\r\n?|\n/).map((line) => line.trim()));
      for (const { typed, meant } of lines) {
        expect(own.has(typed)).toBe(true);
        expect(typed.toLowerCase().startsWith('/preview')).toBe(true);
        expect(typed.length).toBeLessThanOrEqual(300);
        if (typeof meant === 'string') expect(meant).toMatch(/^[A-Z`][ -~]*[.)?]$/);
        else checkCommand(meant);
      }
    }),
    // By hand for longer: MAYFLY_TEST_RUNS=1000000.
    { numRuns: Number(process.env.MAYFLY_TEST_RUNS ?? 3_000) },
  );
});

function checkCommand(command: Command): void {
  expect(command).toEqual(
    {
      extend: { type: 'extend', byMs: expect.toSatisfy((ms) => Number.isSafeInteger(ms) && ms > 0) },
      approve: { type: 'approve', sha: expect.toSatisfy((sha) => sha === null || /^[0-9a-f]{7,64}$/.test(sha)) },
      logs: { type: 'logs', of: expect.toBeOneOf(['build', 'app']), lines: expect.toSatisfy((lines) => lines > 0 && lines <= 200) },
      region: { type: 'region', name: expect.stringMatching(/^[a-z0-9-]+$/) },
    }[command.type as string] ?? { type: command.type },
  );
}

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
