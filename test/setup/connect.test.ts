import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { GITLAB } from '../../src/app/forges/gitlab-events.ts';
import { parseConnect } from '../../src/connect-words.ts';
import { runCommand } from '../command.ts';
import { createGitLab } from '../doubles/gitlab.ts';
import { nodeApp } from '../scenarios/apps.ts';
import { createSetupWorld } from '../setup-world.ts';
import { until } from '../world.ts';

const still = (text: string): string => text.replace(/127\.0\.0\.1:\d+/g, 'HOST').replace(/ {2,}/g, '  ');
const wrongOf = (...args: readonly string[]): string => {
  const parsed = parseConnect(args);
  return 'wrong' in parsed ? parsed.wrong : JSON.stringify(parsed.wish);
};
const ARGS = ['gitlab', '--url', 'gitlab.com', '--token-file', '-'];

test('what is typed is understood, or refused without repeating it', () => {
  expect(wrongOf(...ARGS, '--project', '/acme/shop/', '--project=acme/blog', '--group', 'acme/web')).toBe(
    '{"do":"connect","url":"https://gitlab.com","tokenFile":"-","projects":["acme/shop","acme/blog"],"groups":["acme/web"]}',
  );
  expect(wrongOf('gitlab', '--undo', '--group', 'acme')).toBe('{"do":"undo","projects":[],"groups":["acme"]}');
  const never =
    'A token is never an argument: everybody on this machine can read those. Put it into a file and give --token-file FILE, or --token-file - and the token on standard input.';
  for (const typed of [['--token', 'glpat-1'], ['--token=glpat-1'], ['-token', 'glpat-1']]) expect(wrongOf(...ARGS, ...typed)).toBe(never);
  for (const typed of [['--tokn', 'glpat-1'], ['glpat-1'], ['--project'], ['--project', '--undo'], ['--undo=1']])
    expect(wrongOf(...ARGS, ...typed)).toBe('This is not understood.');
  expect(wrongOf(...ARGS)).toBe('Name projects with --project, or a group with --group.');
  expect(wrongOf('gitlab', '--url', 'gitlab.com', '--project', 'a/b')).toBe('--url and --token-file are both needed.');
  expect(wrongOf('gitlab', '--url', 'http://gitlab.acme.dev', '--token-file', 'x', '--group', 'a')).toBe(
    '--url: The address must start with https://: credentials travel there.',
  );
  expect(wrongOf(...ARGS, '--undo')).toBe('To undo, neither --url nor --token-file is needed.');
  expect(wrongOf('github')).toBe('GitHub is connected in a browser: `npm run setup-code` says where.');
  expect(wrongOf()).toBe('');
});

test('from the terminal, beside a Mayfly that runs: connected, again, and undone', async () => {
  await using w = await createSetupWorld();
  await using gitlab = await createGitLab();
  const project = (name: string) => gitlab.createRepository({ name, hook: 'none', files: nodeApp('main') });
  const shop = await project('acme/shop');
  await project('acme/web/blog');
  const seen = await gitlab.createRepository({ name: 'other/open', hook: 'none', private: false, installed: false });
  const run = async (args: readonly string[], input = ''): Promise<string> => {
    const { code, out, errors } = await runCommand('src/connect.ts', w.environment, { args: ['gitlab', ...args], input });
    for (const said of [out, errors]) expect(said).not.toContain(gitlab.token);
    return still(`${code}\n${out}${errors}`);
  };
  const at = ['--url', gitlab.url];
  const file = join(await w.makeFolder(), 'token');
  expect(await run([...at, '--token-file', file, '--project', 'acme/shop'])).toMatch(/^1\n\S+token cannot be read \(ENOENT\)\.\n$/);
  await writeFile(file, `${gitlab.token}\n`);
  expect(
    await run([...at, '--token-file', file, '--project', 'Acme/Shop', '--project', 'other/open', '--project', 'acme/none']),
  ).toMatchInlineSnapshot(`
    "1
    PROJECT  WHAT WAS DONE
    acme/shop  webhook made; GitLab signs what it sends
    other/open  not done: the token is no Maintainer of it, and only those may make webhooks
    acme/none  not done: the token sees no such project
    "
  `);
  const pull = await gitlab.openPull(shop, { files: nodeApp('from the terminal') });
  await until('the preview to be ready', () => gitlab.ourComment(pull)?.body.includes('Preview is ready'));
  expect(await run([...at, '--token-file', '-', '--group', 'acme'], gitlab.token)).toMatchInlineSnapshot(`
    "0
    PROJECT  WHAT WAS DONE
    acme/shop  webhook updated; GitLab signs what it sends
    acme/web/blog  webhook made; GitLab signs what it sends
    "
  `);
  expect(gitlab.hooksOf(shop)).toHaveLength(1);
  expect(gitlab.hooksOf(seen)).toHaveLength(0);
  expect(await run([...at, '--token-file', '-', '--group', 'acme'], 'glpat-unknown')).toMatchInlineSnapshot(`
    "1
    GitLab does not know this token: it was revoked, has expired, or belongs to another GitLab.
    "
  `);
  expect(await run(['--undo', '--group', 'acme/web'])).toMatchInlineSnapshot(`
    "0
    PROJECT  WHAT WAS DONE
    acme/web/blog  webhook removed, previews end
    "
  `);
  expect(await run(['--undo'])).toMatchInlineSnapshot(`
    "0
    PROJECT  WHAT WAS DONE
    acme/shop  webhook removed, previews end
    "
  `);
  await until('the site to end', async () => (await w.mayfly.store.sites.list({ status: 'ended', limit: 9 })).sites.length === 1);
  expect(await w.mayfly.store.connections.all()).toEqual([]);
  expect(await run(['--undo'])).toBe('0\nnothing to do\n');
  expect((await runCommand('src/connect.ts', {}, { args: ['--help'] })).out).toMatchInlineSnapshot(`
    "usage: npm run connect -- gitlab --url ADDRESS --token-file FILE [--project PATH]… [--group PATH]…
           npm run connect -- gitlab --undo [--project PATH]… [--group PATH]…

    Connects projects of a GitLab to the Mayfly that runs here, or takes them out again. Done again it changes nothing but what differs.
      --url ADDRESS       of the GitLab, with the path that it lies under: https://gitlab.com
      --token-file FILE   holds the access token, which has the scope api and the role Maintainer; - is standard input
      --project PATH      a project, like acme/shop; may be given several times
      --group PATH        every project of a group and its subgroups; may be given several times
      --undo              removes the webhooks that were made, of all projects if none is named, and with the last one the token
    "
  `);
  expect(gitlab.unknownRequests).toEqual([]);
});

test('a second token is not taken when projects of the first would be lost, nor by an undo what the environment serves', async () => {
  await using w = await createSetupWorld();
  await using gitlab = await createGitLab();
  const project = (name: string, installed = true) => gitlab.createRepository({ name, hook: 'none', files: nodeApp('main'), installed });
  const shop = await project('acme/shop');
  const blog = await project('other/blog', false);
  const { token: second, user } = gitlab.mintToken({ login: 'second' });
  gitlab.setPermission(blog, user.login, 'maintain');
  const run = async (args: readonly string[], { input = '', over = {} } = {}): Promise<string> => {
    const { code, out, errors } = await runCommand('src/connect.ts', { ...w.environment, ...over }, { args: ['gitlab', ...args], input });
    return still(`${code}\n${out}${errors.replace(/^\{.*\n/gm, '')}`);
  };
  const at = ['--url', gitlab.url, '--token-file', '-'];
  expect(await run([...at, '--project', 'acme/shop'], { input: gitlab.token })).toContain('acme/shop  webhook made');
  const pull = await gitlab.openPull(shop, { files: nodeApp('of the first token') });
  await until('the preview to be ready', () => gitlab.ourComment(pull)?.body.includes('Preview is ready'));
  const stored = await w.mayfly.store.connections.all();
  expect(await run([...at, '--project', 'other/blog'], { input: second })).toMatchInlineSnapshot(`
    "1
    Nothing was changed: the new token is no Maintainer of acme/shop, connected with the one before. Mayfly keeps one token for all projects, and the previews there would end. Give the new token that role there too, or take them out first: untick them at /setup, or run npm run connect -- gitlab --undo --project acme/shop.
    "
  `);
  expect(await w.mayfly.store.connections.all()).toEqual(stored);
  expect(gitlab.hooksOf(blog)).toEqual([]);
  gitlab.setPermission(shop, user.login, 'maintain');
  expect(await run([...at, '--project', 'other/blog'], { input: second })).toContain('other/blog  webhook made');

  const over = { GITLAB_URL: gitlab.url, GITLAB_TOKEN: gitlab.token, GITLAB_WEBHOOK_SECRET: 's'.repeat(32) };
  await w.restart(over);
  expect(await run(['--undo', '--project', 'acme/shop'], { over })).toMatchInlineSnapshot(`
    "1
    GitLab is connected by the environment, which wins. Unset GITLAB_URL and what belongs to it first.
    "
  `);
  expect(await w.mayfly.store.connections.all()).toHaveLength(1);
  expect(await run(['--undo'], { over })).toMatchInlineSnapshot(`
    "0
    The stored token was removed, and nothing else: GitLab is connected by the environment, and its previews go on. Webhooks that were made with the token stay in acme/shop, other/blog; delete by hand those that the environment does not use.
    "
  `);
  expect(await w.mayfly.store.connections.all()).toEqual([]);
  expect((await w.mayfly.store.sites.list({ status: 'ended', limit: 9 })).sites).toEqual([]);
  expect((await w.mayfly.store.repositories.all()).map(({ name }) => name)).toContain('acme/shop');
  for (const repo of [shop, blog]) expect(gitlab.hooksOf(repo)).toHaveLength(1);
  expect(await run(['--undo'], { over })).toBe('0\nnothing to do\n');
  expect(gitlab.unknownRequests).toEqual([]);
});

test('when Mayfly has moved, its webhook moves along; one that somebody deleted is made anew', async () => {
  await using w = await createSetupWorld();
  await using gitlab = await createGitLab();
  const shop = await gitlab.createRepository({ name: 'acme/shop', hook: 'none', files: nodeApp('main') });
  const run = async (publicUrl: string): Promise<string> => {
    const args = ['gitlab', '--url', gitlab.url, '--token-file', '-', '--project', 'acme/shop'];
    const environment = { ...w.environment, MAYFLY_PUBLIC_URL: publicUrl };
    return still((await runCommand('src/connect.ts', environment, { args, input: gitlab.token })).out);
  };
  expect(await run('http://before.localhost:1234')).toContain('acme/shop  webhook made; GitLab signs what it sends');
  const [{ token, signingToken } = { token: null, signingToken: null }] = gitlab.hooksOf(shop);
  expect([token, signingToken]).not.toContain(null);
  expect(await run(w.base)).toContain('acme/shop  webhook updated; GitLab signs what it sends');
  expect(gitlab.hooksOf(shop)).toMatchObject([{ url: `${w.base}/api/gitlab/webhooks`, token, signingToken }]);
  shop.hooks.clear();
  expect(await run(w.base)).toContain('acme/shop  webhook made; GitLab signs what it sends');
  expect(gitlab.hooksOf(shop)).toHaveLength(1);
  // One of that address that is not remembered, as when it was made before, is not made twice.
  await w.mayfly.store.hooks.removed(GITLAB, String(shop.id));
  expect(await run(w.base)).toContain('acme/shop  webhook updated; GitLab signs what it sends');
  expect(gitlab.hooksOf(shop)).toHaveLength(1);
  expect(gitlab.unknownRequests).toEqual([]);
});
