import { marked } from 'marked';
import { describe, expect, test } from 'vitest';
import { cleanLog, clip, codeSpan, escapeText, fence, lastLines, markUp, withoutManuals } from '../../src/site/text.ts';

const shown = (markdown: string): string => marked.parseInline(markdown, { gfm: true, async: false });
/** What a reader sees: without invisible joiners and with entities read. */
const seen = (html: string): string =>
  html
    .replace(/\u2060/g, '')
    .replace(/&lt;/g, '<')
    .replace(/&gt;/g, '>')
    .replace(/&quot;/g, '"')
    .replace(/&#39;/g, "'")
    .replace(/&amp;/g, '&');

describe('T-C01: text from outside', () => {
  test.each([
    'fix the cart total',
    '**bold** _it_ ~~no~~ `code` [a](https://evil) ![b](https://evil/x.png)',
    '<!-- mayfly:site=01J --> <b>x</b> <script>',
    '@everyone and @org/team, mail a@b.example',
    'closes #12, GH-12, acme/shop#3',
    ':white_check_mark: :+1: at 12:30',
    'see https://evil.example/x and www.evil.example',
    'a | b || c',
    '&#64;org &lt;b&gt; &amp;',
    '$x^2$ \\(y\\) {{ z }} 100%',
    '# heading',
    '- item',
    '1. item',
    '> quote',
    '````',
    'feat/$(id);rm -rf',
    '日本語 é🦀 👩‍👩‍👧',
    'a\\',
  ])('%s reads the same and does nothing', (text) => {
    const html = shown(escapeText(text));
    expect(seen(html)).toBe(text);
    expect(html).not.toMatch(/<[a-z!]|@[a-z]/i);
    expect(marked.parse(escapeText(text), { async: false })).toMatch(/^<p>[^\n]*<\/p>\n$/);
  });

  test('no sign by which GitHub or GitLab would link something is left whole', () => {
    const text = escapeText('see #1 !1 &1 %1 %"v 1" $1 ~bug GH-1 GL-1 100% A&B');
    expect(text.replaceAll('\u2060', '·')).toBe('see #·1 \\!1 &amp;·1 %·1 %·"v 1" \\$1 \\~bug GH-·1 GL-·1 100% A&amp;B');
  });

  test('is one line without anything invisible', () => {
    expect(escapeText('a\r\n\tb\u0000\u0007\u001b[31m\u202ec\u2066\u200b\ufeff\u{e0041}d\ud800')).toBe('a b\\[31mc d\ufffd');
  });

  test('is cut at a limit, never inside a character', () => {
    expect([clip('abcdef', 4), clip('ab🦀🦀', 4), clip('abcd', 4)]).toEqual(['abc…', 'ab…', 'abcd']);
    expect(escapeText('x'.repeat(1_000), 80)).toHaveLength(80);
  });

  test.each([
    ['npm run build', '`npm run build`'],
    ['a `b` c', '``a `b` c``'],
    ['`', '`` ` ``'],
    ['``a', '``` ``a ```'],
    ['', '` `'],
    ['a\nb', '`a b`'],
    ['@org <!-- | -->', '`@org <!-- | -->`'],
  ])('code of %j', (text, expected) => {
    expect(codeSpan(text)).toBe(expected);
  });

  test.each([
    ['npm, `npm run build`, `npm start`', 'npm, `npm run build`, `npm start`'],
    ['`web: @org/x` **now**', '`web: @org/x` \\*\\*now\\*\\*'],
    ['an odd ` here', 'an odd \\` here'],
  ])('marked up: %j', (text, expected) => {
    expect(markUp(text)).toBe(expected);
  });

  test('a fence is longer than any inside', () => {
    expect(fence('a\n```\n````b\n\n')).toBe('`````text\na\n```\n````b\n`````');
  });
});

describe('T-C03: a log', () => {
  test.each([
    ['colours', '\u001b[1;31merror\u001b[0m', 'error'],
    ['colours in eight bits', '\u009b31merror', 'error'],
    ['a link (OSC 8)', '\u001b]8;;https://evil\u0007click\u001b]8;;\u001b\\', 'click'],
    ['the clipboard (OSC 52)', 'a\u001b]52;c;ZXZpbA==\u0007b', 'ab'],
    ['a title that never ends', 'a\u001b]0;title\nb', 'a\nb'],
    ['a cut sequence', 'a\u001b[', 'a'],
    ['progress', '10%\r50%\r100%\ndone\r\n', '100%\ndone\n'],
    ['backspaces and bells', 'a\b\u0007b', 'ab'],
    ['tabs', 'a\tb', 'a\tb'],
    ['marks that turn text round', 'a\u202eb\u2066c', 'abc'],
    ['half a character', 'a\ud800b', 'a\ufffdb'],
    ["a runner's commands", '::error::x', '::error::x'],
  ])('without %s', (_, log, expected) => {
    expect(cleanLog(log)).toBe(expected);
  });

  test('a line that is too long keeps its end', () => {
    expect(cleanLog(`${'x'.repeat(2_000)}end`, 10)).toBe('…xxxxxxend');
  });

  test('10 MB in one line are no trouble', () => {
    expect(cleanLog(`${'\u001b]'.repeat(2_500_000)}\nend`, 10)).toBe('\nend');
  });

  test('its last lines', () => {
    expect(lastLines('a\nb\nc\n\n', 2)).toEqual(['b', 'c']);
    expect(lastLines(' \n', 2)).toEqual([]);
  });
});

test('of npm’s complaint its reason is kept, and its manual is left out', () => {
  const log = [
    'npm error code EUSAGE',
    "npm error Invalid: lock file's ms@2.1.3 does not satisfy ms@1.0.0",
    'npm error',
    'npm error Clean install a project',
    'npm error',
    'npm error Usage:',
    'npm error npm ci',
    'npm error',
    'npm error Run "npm help ci" for more info',
    'npm error A complete log of this run can be found in: /cache/npm/_logs/debug-0.log',
    'after it',
  ].join('\n');
  expect(withoutManuals(log).split('\n')).toEqual([
    'npm error code EUSAGE',
    "npm error Invalid: lock file's ms@2.1.3 does not satisfy ms@1.0.0",
    'npm error',
    'after it',
  ]);
});
