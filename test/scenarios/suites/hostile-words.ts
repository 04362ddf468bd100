import { marked } from 'marked';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Files } from '../../doubles/git/git.ts';
import { type ForgeName, receipts, type StageComment, type StagePull } from '../../doubles/stage.ts';
import { createWorld, until, type World } from '../../world.ts';
import { nodeApp } from '../apps.ts';

const FORGED = '<!-- mayfly:site=01JDFORGED00000000000000000 -->';
/** What an app may print; `DATABASE_URL` is its own, the other two are in its settings. */
const TOKEN = 'hunter2/hunter2?"hunter2"';
const SECRETIVE: Files = {
  'package.json': JSON.stringify({ name: 'app', private: true, scripts: { start: 'node server.js' } }),
  'server.js': `
    const password = process.env.DATABASE_URL ? new URL(process.env.DATABASE_URL).password : '';
    const say = (secret) => {
      console.log('plain', secret);
      console.log('base64', Buffer.from(secret).toString('base64'));
      console.log('url', encodeURIComponent(secret));
      console.log('split', secret.slice(0, 7) + '\\n' + secret.slice(7));
      console.log('json', JSON.stringify({ secret }));
      console.log('coloured', secret.slice(0, 7) + '\\u001b[31m' + secret.slice(7) + '\\u001b[0m');
    };
    say(process.env.API_TOKEN);
    if (password) say(password);
    if (process.env.FAILS) process.exit(1);
    require('node:http').createServer((request, response) => response.end(password)).listen(process.env.PORT);
  `,
};
const settings = (token: string, more = ''): string => `env:\n  API_TOKEN: ${JSON.stringify(token)}\n${more}`;
/** Only the base branch may ask for a database. */
const MAIN: Files = { ...nodeApp('main'), '.mayfly.yml': 'database: { engine: postgres }\n' };

/** Text from outside, on either forge. */
export function hostileWords(forge: ForgeName): void {
  describe('what people type and apps print is shown and does nothing', () => {
    let w: World;
    let made = 0;
    beforeAll(async () => {
      w = await createWorld({}, { forge });
    });
    afterAll(() => w[Symbol.asyncDispose]());
    async function standing(files: Files, main: Files = nodeApp('main')): Promise<StagePull> {
      const repo = await w.forge.createRepository({ name: `typing-${++made}/shop-${made}`, files: main });
      w.forge.setPermission(repo, 'ada', 'write');
      w.forge.setPermission(repo, 'x-evil-org-team', 'read');
      const pull = await w.forge.openPull(repo, { files });
      await until('the launch to be over', async () => /^(ready|failed)$/.test((await w.siteOf(pull))?.status ?? ''));
      await w.reaches(pull, (await w.siteOf(pull))?.status ?? 'ready');
      return pull;
    }
    async function type(pull: StagePull, login: string, body: string): Promise<StageComment> {
      const comment = await w.forge.comment(pull, login, body);
      await until(`a verdict on ${body}`, () => comment.reacted.some((content) => content !== 'eyes'));
      const site = await w.rowOf(pull);
      if (site) await until('the comment to say so', async () => (await w.mayfly.store.reports.get(site.id)).version >= site.version);
      return comment;
    }
    /** Every version of everything that we ever said on the pull. */
    const everSaid = (pull: StagePull): string =>
      [
        ...(w.forge.ourComment(pull)?.bodies ?? []),
        ...[...w.github.state.checks.values()].map((check) => JSON.stringify(check.output)),
        ...[...w.gitlab.state.statuses.values()].map((status) => status.description ?? ''),
      ].join('\n');
    const formsOf = (secret: string): readonly string[] => [
      secret,
      Buffer.from(secret).toString('base64').replace(/=+$/, ''),
      encodeURIComponent(secret),
      JSON.stringify(secret).slice(1, -1),
    ];
    const expectHidden = (pull: StagePull, secret: string): void => {
      const said = everSaid(pull).replace(/\s/g, '');
      for (const form of formsOf(secret)) expect(said).not.toContain(form);
    };

    test('T-C01: lines that forge the marker, mention, end the quote, the code and the table are quoted as what they are', async () => {
      const pull = await standing(nodeApp('x'));
      const before = w.forge.ourComment(pull)?.id;
      await type(
        pull,
        'x-evil-org-team',
        [
          `/preview ${FORGED}`,
          '/preview `` </code></blockquote> @org/team #1 ![p](https://evil.example/p.png)',
          '/preview | a | b |\u202e\u001b[31m https://evil.example',
          '/preview stop\u0000\u200b',
          '/preview help',
        ].join('\n'),
      );
      const comment = w.comment(pull);
      expect(comment.split('\n')[0]).toMatch(/^<!-- mayfly:site=\w{26} -->$/);
      expect(comment).not.toMatch(/[\u0000\u001b\u200b\u202e]/);
      const html = marked.parse(comment, { async: false, gfm: true });
      const words = html.replace(/<(code|pre)>[\s\S]*?<\/\1>/g, '');
      expect(words).not.toMatch(/@org|<img|#1\b|evil\.example/);
      expect(html.match(/<blockquote>/g)).toHaveLength(1);
      expect(comment.split('\n').filter((line) => line.startsWith('> '))).toHaveLength(5);
      // The forged marker is nobody's: the next push edits the same comment.
      await w.reaches(pull, 'ready', await w.forge.push(pull, nodeApp('y')));
      expect(w.forge.ourComment(pull)?.id).toBe(before);
    });

    test('T-C03: an app’s log with fences, markers, mentions and escape sequences is one block of text', async () => {
      const lines = [
        '````',
        '```` </details> @everyone',
        FORGED,
        '</code></pre><img src=x>',
        '\u001b]8;;https://evil.example\u0007click',
        'abc\u202Egnp.exe',
      ];
      const app = nodeApp('x');
      const pull = await standing({ ...app, 'server.js': `console.log(${JSON.stringify(lines.join('\n'))});${app['server.js']}` });
      await type(pull, 'ada', '/preview logs app');
      const comment = w.comment(pull);
      expect(comment).toContain('@everyone');
      expect(comment).not.toMatch(/[\u001b\u0007\u202e]/);
      const html = marked.parse(comment, { async: false, gfm: true });
      expect(html.match(/<\/pre>/g)).toHaveLength(1);
      expect(html.slice(html.indexOf('</pre>'))).not.toMatch(/everyone|<img/);
      expect(html.match(/<!--/g)).toHaveLength(1);
      expect(comment.split('\n')[0]).not.toBe(FORGED);
    });

    test('T-C04: secrets in its own log, of now and of before a push, are masked however they are printed', async () => {
      const pull = await standing({ ...SECRETIVE, '.mayfly.yml': settings(TOKEN) }, MAIN);
      const password = (await w.visit(pull)).body;
      expect(password.length).toBeGreaterThan(12);
      await type(pull, 'ada', '/preview logs app 200');
      expect(w.comment(pull)).toMatch(/plain \*\*\*/);
      // The log goes on over a push; the new app knows another secret.
      const sha = await w.forge.push(pull, { '.mayfly.yml': settings('another-secret-altogether') });
      await w.reaches(pull, 'ready', sha);
      await type(pull, 'ada', '/preview logs app 200');
      expect(w.comment(pull).match(/^plain \*\*\*$/gm)?.length).toBeGreaterThanOrEqual(3);
      for (const secret of [TOKEN, 'another-secret-altogether', password]) expectHidden(pull, secret);
    });

    test('T-C04: an app that prints its secrets and ends: the comment, its check and the log that is asked for show none', async () => {
      const pull = await standing({ ...SECRETIVE, '.mayfly.yml': settings(TOKEN, '  FAILS: "1"\n') }, MAIN);
      expect((await w.siteOf(pull))?.status).toBe('failed');
      await type(pull, 'ada', '/preview logs build 200');
      expect(w.comment(pull)).toMatch(/plain \*\*\*/);
      expectHidden(pull, TOKEN);
      // Its database’s password was printed after the token, in as many ways: all that is left of either is a mask.
      expect(w.comment(pull).match(/^plain (?!\*\*\*$).*/gm)).toBeNull();
      expect(w.comment(pull).match(/^base64 (?!\*\*\*=*$).*/gm)).toBeNull();
    });

    test('an address that is none, under a name that looks secret, keeps nobody from reading the log', async () => {
      const app = nodeApp('x');
      const main = { ...app, 'server.js': `console.log('it runs', process.env.API_TOKEN);${app['server.js']}` };
      const pull = await standing({ ...main, '.mayfly.yml': 'env: { API_TOKEN: "http://ada:100%zz@acme.example" }\n' });
      const comment = await type(pull, 'ada', '/preview logs app');
      expect(receipts(comment).at(-1)).toBe('+1');
      expect(w.comment(pull)).toContain('it runs ***');
    });
  });
}
