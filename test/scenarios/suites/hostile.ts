import { marked } from 'marked';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Files } from '../../doubles/git/git.ts';
import type { ForgeName, StagePull } from '../../doubles/stage.ts';
import { createWorld, until, type World } from '../../world.ts';
import { builtApp, nodeApp } from '../apps.ts';

const FORGED = '<!-- mayfly:site=01JDFORGED00000000000000000 -->';
const HOSTILE = `\`x\`](https://evil.example) ![p](https://evil.example/p.png) @org/team #1 ${FORGED} <img src=x onerror=alert(1)> :white_check_mark: | a | https://evil.example/bare www.evil.example`;
/** Merge requests, labels, milestones, epics, issues by another name: what GitLab alone links. */
const GITLAB_LINKS = 'see !1 ~bug %1 %"v 1" &1 GL-1 $1';
const ORDERS: Readonly<Record<ForgeName, readonly string[]>> = { github: [], gitlab: ['/close', '  /merge'] };
/** A build that prints these bytes and fails. */
const prints = (code: string): Files => ({
  ...builtApp('x'),
  'build.js': `const w = (text) => process.stdout.write(text); ${code}; process.exitCode = 1;`,
});

const FOREIGN_REF = { github: 'refs/pull/1/head', gitlab: 'refs/merge-requests/1/head' } as const;
/** What GitLab would link in a comment's own words; a backslash before its sign keeps it from that. */
const linkedByGitLab = (comment: string): readonly string[] =>
  comment
    .replace(/(`+)[\s\S]*?\1/g, ' ')
    .replace(/\]\([^)]*\)|<[^>]*>/g, ' ')
    .replace(/&amp;/g, '&')
    .match(/(?<![\\\w])(?:[#!&$]\d+|[~%][\w"]+|GL-\d+)/g) ?? [];

/** What people and code write, on either forge. */
export function hostile(forge: ForgeName): void {
  describe('what people and code write is shown and does nothing', () => {
    let w: World;
    let made = 0;
    beforeAll(async () => {
      w = await createWorld({}, { forge });
    });
    afterAll(() => w[Symbol.asyncDispose]());
    const repository = (files = nodeApp('main')) => w.forge.createRepository({ name: `hostile-${++made}/shop`, files });
    const failing = async (files: Files): Promise<{ readonly pull: StagePull; readonly comment: string; readonly tail: string }> => {
      const pull = await w.forge.openPull(await repository(), { files });
      const site = await w.reaches(pull, 'failed');
      const [launch] = await w.mayfly.store.launches.of(site.id, 1);
      return { pull, comment: w.comment(pull), tail: launch?.tail ?? '' };
    };

    /** What a forge makes of the text: its links and pictures beyond ours, mentions, and how often our marker stands in it. */
    const rendered = (comment: string) => {
      const html = marked.parse(comment, { async: false, gfm: true });
      const outside = [...html.matchAll(/(?:href|src)="([^"]*)"/g)].map(([, to]) => to ?? '');
      const ours = { github: [w.github.serverUrl, 'http://pr-'], gitlab: [w.gitlab.url, 'http://mr-'] }[forge];
      // Code is text to a forge too: it finds mentions and links in what is left.
      const words = html.replace(/<(code|pre)>[\s\S]*?<\/\1>/g, '').replace(/<[^>]*>/g, ' ');
      return {
        strangeLinks: outside.filter((to) => !ours.some((start) => to.startsWith(start))),
        mentions: words.match(/(?<![\w`])@[a-z][\w-]*/gi) ?? [],
        references: [...(words.match(/(?<=^|\s)#\d+/g) ?? []), ...(forge === 'gitlab' ? linkedByGitLab(comment) : [])],
        markers: comment.match(/<!--/g)?.length ?? 0,
        tags: [...new Set([...html.matchAll(/<([a-z0-9]+)[\s>]/g)].map(([, tag]) => tag))].filter((tag) =>
          /^(img|script|iframe|input|form)$/.test(tag ?? ''),
        ),
      };
    };
    const INERT = { strangeLinks: [], mentions: [], references: [], markers: 1, tags: [] };

    test.each([
      ['an alias bomb', `a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\n`, /anchor|alias/],
      ['brackets 60,000 deep', '['.repeat(60_000), /deep|nested/],
      ['one megabyte', `# ${'x'.repeat(1_048_576)}\n`, /larger than 64 KiB/],
      ['seventy kilobytes', `# ${'x'.repeat(70_000)}\n`, /larger than 64 KiB/],
      ['a key twice', 'ttl: 1d\nttl: 2d\n', /line 2, column 1/],
      ['a function', 'build: !!js/function "function () {}"\n', /tag/],
      ['__proto__', '__proto__: { polluted: true }\n', /there is no setting/],
      ['tabs', 'env:\n\tA: b\n', /line 2/],
      ['markup and a mention in a key', '"@everyone <img src=x onerror=alert(1)> [x](https://evil.example)": 1\n', /there is no setting/],
    ])('hostile settings on the base branch and in the commit: %s (T-C10)', async (_, text, said) => {
      const base = await w.forge.openPull(await repository({ ...nodeApp('main'), '.mayfly.yml': text }), { files: { 'a.txt': 'a' } });
      await w.reaches(base, 'failed');
      expect(w.comment(base)).toMatch(said);
      expect(w.comment(base)).not.toMatch(/@everyone|<img|\]\(https:\/\/evil/);
      expect(({} as Record<string, unknown>).polluted).toBeUndefined();
    });

    test("one megabyte in the pull's own file is a mistake too, and a file with a byte order mark is none", async () => {
      const large = await w.forge.openPull(await repository(nodeApp('main')), { files: { '.mayfly.yml': `# ${'x'.repeat(1_048_576)}\n` } });
      const marked = await w.forge.openPull(large.repository, { files: { ...nodeApp('marked'), '.mayfly.yml': '\ufeffport: 3001\r\n' } });
      await w.reaches(large, 'failed');
      expect(w.comment(large)).toContain('line 1, column 1: is larger than 64 KiB');
      await w.reaches(marked, 'ready');
    });

    test('a title and a commit message (T-C01)', async () => {
      const pull = await w.forge.openPull(await repository(), {
        files: nodeApp('x'),
        title: HOSTILE,
        message: `${HOSTILE}\n\n${HOSTILE}`,
      });
      await w.reaches(pull, 'ready');
      expect(rendered(w.comment(pull))).toEqual(INERT);
      await w.forge.close(pull);
      await w.reaches(pull, 'ended');
      expect(rendered(w.comment(pull))).toEqual(INERT);
    });

    test.each(['feat/$(id)', 'a<!--b', '@everyone', 'é🦀', 'x`y', '--upload-pack=touch$IFS', 'a|b', FOREIGN_REF[forge]])(
      'a branch named %j is built like any other (T-C01)',
      async (branch) => {
        const pull = await w.forge.openPull(await repository(), { files: { 'index.html': 'fine', 'package.json': null }, branch });
        await w.reaches(pull, 'ready');
        expect((await w.visit(pull)).body).toBe('fine');
        expect(rendered(w.comment(pull))).toEqual(INERT);
      },
    );

    test('names of files are served as they are, and stay names (T-C01)', async () => {
      const names = ['a b.txt', "it's.txt", '-rf', 'é.txt', '<b>.txt', '$(id).txt', 'a;b.txt', '%2e%2e.txt', 'x\ny.txt'];
      const files = Object.fromEntries(names.map((name) => [name, name]));
      const pull = await w.forge.openPull(await repository(), { files: { 'package.json': null, 'index.html': 'home', ...files } });
      await w.reaches(pull, 'ready');
      const answers = await Promise.all(names.map(async (name) => (await w.visit(pull, `/${encodeURIComponent(name)}`)).body));
      // A line feed in a path is nothing that we serve.
      expect(answers.slice(0, -1)).toEqual(names.slice(0, -1));
    });

    test('a log with escape sequences, fences, mentions, markers and workflow commands is text in one block (T-C03)', async () => {
      const lines = [
        String.raw`\u001b[31mred\u001b[0m`,
        String.raw`\u001b]8;;https://evil.example\u0007click\u001b]8;;\u0007`,
        String.raw`\u001b]52;c;ZXZpbA==\u0007clip`,
        '::error::forged annotation',
        '````',
        '```` </details> @everyone',
        FORGED,
        '</code></pre><img src=x onerror=alert(1)>',
        '[x](https://evil.example) https://evil.example',
        String.raw`abc\u202Egnp.exe`,
        String.raw`half\rover`,
        ...ORDERS[forge],
      ];
      const { pull, comment } = await failing(
        prints(
          `w("${lines.map((line) => line.replaceAll('"', '\\"')).join('\\n')}\\n"); w(Buffer.from([0xff, 0xfe, 0x41, 0x0a])); w('the end\\n')`,
        ),
      );
      expect({ ...rendered(comment), markers: 1 }).toEqual(INERT);
      expect(comment.split('\n')[0]).not.toBe(FORGED);
      expect(comment).not.toMatch(/[\u001b\u0007\u202e\r]/);
      expect(comment).toContain('forged annotation');
      expect(comment).toContain('the end');
      // The block ends where we end it: what comes after the log is still ours.
      const html = marked.parse(comment, { async: false, gfm: true });
      expect(html.match(/<\/pre>/g)).toHaveLength(1);
      expect(html.slice(html.indexOf('</pre>'))).not.toContain('everyone');
      for (const words of w.checkWords(pull.sha)) expect(words).not.toMatch(/\\u001b|\\u202e/i);
      // The forged marker inside is not taken for a site's: the next push edits the one comment.
      const sha = await w.forge.push(pull, builtApp('good'));
      await w.reaches(pull, 'ready', sha);
      expect(w.forge.ourComments(pull)).toHaveLength(1);
    });

    test('a stranger’s comment with our marker is never edited, nor taken for ours', async () => {
      const pull = await w.forge.openPull(await repository(), { files: nodeApp('x') });
      const site = await until('a site', () => w.siteOf(pull));
      const forged = w.forge.plantComment(pull, 'stranger', `<!-- mayfly:site=${site.id} -->\nmine`);
      await w.reaches(pull, 'ready');
      expect(forged.bodies).toHaveLength(1);
      expect(w.forge.ourComments(pull)).toHaveLength(1);
    });

    test('one line of a hundred megabytes: its end is shown, quickly and in little memory (T-C03)', async () => {
      const before = process.memoryUsage().rss;
      let most = 0;
      const watching = setInterval(() => {
        most = Math.max(most, process.memoryUsage().rss);
      }, 50);
      const { comment, tail } = await failing(
        prints(`const a = 'x'.repeat(1e6); for (let i = 0; i < 100; i++) require('fs').writeSync(1, a); w('last words')`),
      );
      clearInterval(watching);
      expect(comment).toContain('last words');
      expect(comment.length).toBeLessThan(65_536);
      expect(tail.length).toBeLessThan(49_152);
      expect((most - before) / 1_048_576).toBeLessThan(400);
    });

    test('a million lines: the last thirty are in the comment', async () => {
      const { comment } = await failing(
        prints(
          `const fs = require('fs'); for (let i = 0; i < 1000; i++) fs.writeSync(1, Array.from({ length: 1000 }, (_, n) => 'line ' + (i * 1000 + n)).join('\\n') + '\\n')`,
        ),
      );
      expect(comment).toContain('line 999999');
      expect(comment).not.toContain('line 999960\n');
      expect(comment).toContain('last 30 lines');
    });

    if (forge === 'github') return;
    test('what GitLab alone links, in a title and a commit message (T-C01)', async () => {
      const pull = await w.forge.openPull(await repository(), { files: nodeApp('x'), title: GITLAB_LINKS, message: GITLAB_LINKS });
      await w.reaches(pull, 'ready');
      expect(w.comment(pull).replaceAll('\u2060', '')).toContain('GL-1');
      expect(rendered(w.comment(pull))).toEqual(INERT);
    });
  });
}
