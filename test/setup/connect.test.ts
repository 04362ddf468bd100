import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
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
