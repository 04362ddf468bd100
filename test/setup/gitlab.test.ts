import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { GITLAB } from '../../src/app/forges/gitlab-events.ts';
import { createGitLab, type GitLab } from '../doubles/gitlab.ts';
import { nodeApp } from '../scenarios/apps.ts';
import { createSetupWorld, type SetupWorld } from '../setup-world.ts';
import { until } from '../world.ts';
import { createVisitor, type Visitor } from './visitor.ts';

const still = (text: string): string => text.replace(/127\.0\.0\.1:\d+/g, 'HOST');
/** `null` never stands in a list of checked boxes. */
const boxes = (html: string): readonly string[] =>
  [...html.matchAll(/name="project" value="(\d+)"( checked)?>\s*([^<]+?)\s*<\/label>/g)].map(
    ([, , checked, name]) => `${checked ? '[x]' : '[ ]'} ${name}`,
  );
const idOf = (html: string, name: string): string =>
  new RegExp(`name="project" value="(\\d+)"[^>]*>\\s*${name}\\s*<`).exec(html)?.[1] ?? '';

async function admitted(w: SetupWorld): Promise<Visitor> {
  const visitor = createVisitor(w.base);
  await visitor.get('/setup');
  await visitor.post('/setup/code', [['code', w.code()]]);
  return visitor;
}

describe('GitLab by token', () => {
  let w: SetupWorld;
  let gitlab: GitLab;
  let visitor: Visitor;
  beforeAll(async () => {
    w = await createSetupWorld();
    gitlab = await createGitLab({ path: '/gitlab' });
    visitor = await admitted(w);
  });
  afterAll(async () => {
    await w[Symbol.asyncDispose]();
    expect(gitlab.unknownRequests).toEqual([]);
    await gitlab[Symbol.asyncDispose]();
  });
  const project = (name: string) => gitlab.createRepository({ name, hook: 'none', files: nodeApp('main') });
  const give = (fields: Readonly<Record<string, string>>) =>
    visitor.post('/setup/gitlab', Object.entries({ address: gitlab.url, token: gitlab.token, group: '', ...fields }));

  test('the page says what the token is for', async () => {
    const page = await visitor.get('/setup');
    expect(page.text.slice(page.text.indexOf('\nGitLab\n') + 1)).toMatchInlineSnapshot(`
      "GitLab
      With an access token Mayfly reads merge requests and their code, and writes its comment, a commit status and an environment. On each project that you choose it makes a webhook for merge requests, comments and pushes, and remembers it, so that exactly those can be removed again.
      Address of GitLab
      Access token
      Of a group, a project or a person, with the scope \`api\` and the role Maintainer.
      Only projects of this group
      Empty: all that the token is a Maintainer of.
      [Choose projects]"
    `);
    expect(page.html).toContain(
      '<input type="password" id="token" name="token" aria-describedby="token-hint" autocomplete="off" required>',
    );
  });

  test('what keeps a token from being used is said, and the token never shown again', async () => {
    const said = async (fields: Readonly<Record<string, string>>): Promise<string> => {
      await visitor.get('/setup');
      const page = await give(fields);
      expect(page.status).toBe(400);
      for (const token of [gitlab.token, fields.token ?? gitlab.token]) expect(page.html).not.toContain(token);
      return still(page.text.split('\n')[1] ?? '');
    };
    expect(await said({ token: 'glpat-wrong' })).toBe(
      'GitLab does not know this token: it was revoked, has expired, or belongs to another GitLab.',
    );
    expect(await said({ token: 'glpat-\nwrong' })).toContain('does not know this token');
    expect(await said({ token: gitlab.mintToken({ scopes: ['read_api'] }).token })).toBe(
      'The token does not have the scope `api`. Make another one that has it.',
    );
    expect(await said({ address: w.github.url })).toContain('There is no GitLab at this address.');
    expect(await said({ address: 'http://127.0.0.1:9' })).toContain('This GitLab could not be reached from Mayfly.');
    expect(await said({ address: 'http://gitlab.acme.dev' })).toBe('The address must start with https://: credentials travel there.');
    expect(await said({ address: 'https://gitlab.acme.dev' })).toContain('a GitLab elsewhere cannot reach it');
    expect(await said({})).toBe(
      'The token is a Maintainer of no project here, and only Maintainers may make webhooks. Give its user, or the token itself, that role.',
    );
    expect(await said({ group: 'nobody' })).toBe('The token sees no group of that name. Write it as in its address, like `acme/web`.');
    expect(await w.mayfly.store.connections.all()).toEqual([]);
    w.github.unknownRequests.length = 0;
  });

  test('chosen projects get a webhook each and work at once; others are left alone', async () => {
    const shop = await project('acme/shop');
    await project('acme/web/blog');
    await project('other/tool');
    await gitlab.openPull(shop, { files: nodeApp('before') });
    await visitor.get('/setup');
    expect(boxes((await give({ group: 'acme' })).html)).toEqual(['[ ] acme/shop', '[ ] acme/web/blog']);
    await visitor.get('/setup');
    const choice = await give({});
    expect(still(choice.text)).toMatchInlineSnapshot(`
      "Choose projects
      On HOST. Each project that is ticked gets a webhook; from one that was ticked before and is not any more, it is removed, and its previews end.
      Projects
      acme/shop
      acme/web/blog
      other/tool
      [Make the webhooks]
      Back to the set-up"
    `);
    const ticket = visitor.hidden('ticket');
    const done = await visitor.post('/setup/gitlab/projects', [
      ['ticket', ticket],
      ['project', idOf(choice.html, 'acme/shop')],
      ['project', '99999'],
    ]);
    expect(done.text).toMatchInlineSnapshot(`
      "GitLab
      acme/shop: webhook made; GitLab signs what it sends
      Open a merge request in one of them: its preview appears by itself. Those that are open get theirs within a few minutes.
      Back to the set-up"
    `);
    expect(gitlab.hooksOf(shop)).toMatchObject([
      {
        url: `${w.base}/api/gitlab/webhooks`,
        sslVerification: true,
        token: expect.stringMatching(/^mayfly_hook_[A-Za-z0-9_-]{43}$/),
        signingToken: expect.stringMatching(/^whsec_/),
      },
    ]);
    const on = [...(gitlab.hooksOf(shop)[0]?.events ?? [])].filter(([, isOn]) => isOn).map(([name]) => name);
    expect(on).toEqual(['push_events', 'merge_requests_events', 'note_events']);
    expect((await w.mayfly.store.hooks.of(GITLAB)).map(({ name }) => name)).toEqual(['acme/shop']);
    await visitor.get('/setup');
    expect((await visitor.post('/setup/gitlab/projects', [['ticket', ticket]])).text).toMatchInlineSnapshot(`
      "This choice is too old
      It was sent already, or the page was open for more than half an hour. Nothing was changed; begin again.
      Back to the set-up"
    `);
    const pull = await gitlab.openPull(shop, { files: nodeApp('by token') });
    await until('the preview to be ready', () => gitlab.ourComment(pull)?.body.includes('Preview is ready'));
    await w.mayfly.reconcileNow();
    expect((await w.mayfly.store.repositories.all()).map(({ name }) => name)).toEqual(['acme/shop']);
  });

  test('connected, it shows its projects; chosen anew, hooks are updated, added and removed', async () => {
    const page = await visitor.get('/setup');
    expect(still(page.text.slice(page.text.indexOf('\nGitLab\n') + 1))).toMatchInlineSnapshot(`
      "GitLab
      Connected to http://HOST/gitlab with a token that is stored.
      Projects with a webhook of ours:
      acme/shop
      [Change the projects]
      Another token
      Address of GitLab
      Access token
      Of a group, a project or a person, with the scope \`api\` and the role Maintainer.
      Only projects of this group
      Empty: all that the token is a Maintainer of.
      [Choose projects]
      Disconnect GitLab
      The webhooks that were made are removed, all previews of these projects end, and the token is forgotten.
      [Remove the webhooks and the token]"
    `);
    const choice = await visitor.post('/setup/gitlab/choose');
    expect(boxes(choice.html)).toEqual(['[x] acme/shop', '[ ] acme/web/blog', '[ ] other/tool']);
    const both = await visitor.post('/setup/gitlab/projects', [
      ['ticket', visitor.hidden('ticket')],
      ['project', idOf(choice.html, 'acme/shop')],
      ['project', idOf(choice.html, 'acme/web/blog')],
    ]);
    expect(both.text.split('\n').slice(1, 3)).toEqual([
      'acme/shop: webhook updated; GitLab signs what it sends',
      'acme/web/blog: webhook made; GitLab signs what it sends',
    ]);
    await visitor.get('/setup');
    const again = await visitor.post('/setup/gitlab/choose');
    const one = await visitor.post('/setup/gitlab/projects', [
      ['ticket', visitor.hidden('ticket')],
      ['project', idOf(again.html, 'acme/web/blog')],
    ]);
    expect(one.text).toContain('acme/shop: webhook removed, previews end');
    await until('the site to end', async () => (await w.mayfly.store.sites.list({ status: 'ended', limit: 9 })).sites.length > 0);
    const hooks = [...gitlab.state.repositories.values()].map((repo) => [repo.name, gitlab.hooksOf(repo).length]);
    expect(hooks).toEqual([
      ['shop', 0],
      ['blog', 1],
      ['tool', 0],
    ]);
  });

  test('a webhook that GitLab refuses is told, and what stood stands', async () => {
    await visitor.get('/setup');
    const choice = await visitor.post('/setup/gitlab/choose');
    gitlab.fail({ match: ({ method }) => method === 'PUT', answer: { status: 422, message: 'no more webhooks' } });
    const blog: [string, string] = ['project', idOf(choice.html, 'acme/web/blog')];
    const done = await visitor.post('/setup/gitlab/projects', [['ticket', visitor.hidden('ticket')], blog]);
    expect(done.text).toMatchInlineSnapshot(`
      "GitLab
      acme/web/blog: not done: GitLab answered 422: no more webhooks
      Back to the set-up"
    `);
    await visitor.get('/setup');
    await visitor.post('/setup/gitlab/choose');
    // For as long as the page asks: Mayfly's own rounds ask the same, and would use up what is counted.
    let isAway = true;
    gitlab.fail({ match: ({ path }) => isAway && path.endsWith('/user'), answer: { status: 502 }, times: 1_000 });
    const away = await visitor.post('/setup/gitlab/projects', [['ticket', visitor.hidden('ticket')], blog]);
    isAway = false;
    expect([away.status, away.text]).toMatchInlineSnapshot(`
      [
        400,
        "GitLab was left as it is
      This GitLab could not be reached from Mayfly. Check the address, and that this machine gets there.
      Back to the set-up",
      ]
    `);
    expect((await w.mayfly.store.hooks.of(GITLAB)).map(({ name }) => name)).toEqual(['acme/web/blog']);
  });

  test('a token that does not open what is connected already is not taken', async () => {
    const tool = [...gitlab.state.repositories.values()].find(({ name }) => name === 'tool');
    if (!tool) throw new Error('no tool');
    const { token, user } = gitlab.mintToken({ login: 'second' });
    gitlab.setPermission(tool, user.login, 'maintain');
    const stored = await w.mayfly.store.connections.all();
    await visitor.get('/setup');
    const choice = await give({ token });
    const ticked: [string, string] = ['project', idOf(choice.html, 'other/tool')];
    const done = await visitor.post('/setup/gitlab/projects', [['ticket', visitor.hidden('ticket')], ticked]);
    expect([done.status, done.text]).toMatchInlineSnapshot(`
      [
        400,
        "GitLab was left as it is
      Nothing was changed: the new token is no Maintainer of acme/web/blog, connected with the one before. Mayfly keeps one token for all projects, and the previews there would end. Give the new token that role there too, or take them out first: untick them at \`/setup\`, or run \`npm run connect -- gitlab --undo --project acme/web/blog\`.
      Back to the set-up",
      ]
    `);
    expect(await w.mayfly.store.connections.all()).toEqual(stored);
    expect(gitlab.hooksOf(tool)).toEqual([]);
  });

  test('undone, exactly our hooks are gone, and the token is forgotten', async () => {
    const blog = [...gitlab.state.repositories.values()].find(({ name }) => name === 'blog');
    if (!blog) throw new Error('no blog');
    gitlab.plantHook(blog);
    await visitor.get('/setup');
    const done = await visitor.post('/setup/gitlab/disconnect');
    expect(done.text).toMatchInlineSnapshot(`
      "GitLab
      acme/web/blog: webhook removed, previews end
      Back to the set-up"
    `);
    expect(gitlab.hooksOf(blog).map(({ planted }) => planted)).toEqual([true]);
    expect(await w.mayfly.store.connections.all()).toEqual([]);
    expect((await fetch(`${w.base}/api/gitlab/webhooks`, { method: 'POST', body: '{}' })).status).toBe(404);
    expect((await visitor.get('/setup')).text).toContain('[Choose projects]');
    for (const text of [w.logged.join(''), done.html]) expect(text).not.toContain(gitlab.token);
  });
});

test('what is left by choice is told so: no preview, environment or status is left as if it still were', async () => {
  await using w = await createSetupWorld();
  await using gitlab = await createGitLab({ as: 'person' });
  const shop = await gitlab.createRepository({ name: 'acme/shop', hook: 'none', files: nodeApp('main') });
  const visitor = await admitted(w);
  await visitor.get('/setup');
  const choice = await visitor.post('/setup/gitlab', [
    ['address', gitlab.url],
    ['token', gitlab.token],
  ]);
  await visitor.post('/setup/gitlab/projects', [
    ['ticket', visitor.hidden('ticket')],
    ['project', idOf(choice.html, 'acme/shop')],
  ]);
  const ready = await gitlab.openPull(shop, { files: nodeApp('left') });
  const held = await gitlab.openPull(shop, { from: 'stranger', files: nodeApp('held') });
  await until('the preview to be ready', () => gitlab.ourComment(ready)?.body.includes('Preview is ready'));
  await until('the environment to be there', () => gitlab.environments(shop).some(({ externalUrl }) => externalUrl !== null));
  await until('the other to wait', () => gitlab.statusesOf(held.sha).length === 1);
  await visitor.get('/setup');
  expect((await visitor.post('/setup/gitlab/disconnect')).text).toContain('acme/shop: webhook removed, previews end');
  expect(await w.mayfly.store.connections.all()).toEqual([]);
  for (const pull of [ready, held]) {
    const body = gitlab.ourComment(pull)?.body ?? '';
    expect(body).toContain('### ⚪ Preview has ended\n\nThe repository was removed from Mayfly. Nothing of it is left.\n');
  }
  expect(gitlab.environments(shop)).toEqual([]);
  const states = (sha: string) => gitlab.statusesOf(sha).flatMap(({ retried, status }) => (retried ? [] : [status]));
  expect([states(ready.sha), states(held.sha)]).toEqual([['success'], ['canceled']]);
  expect(gitlab.unknownRequests).toEqual([]);
});

test('a GitLab that cannot sign is not asked to; a revoked token ends its sites and is forgotten', async () => {
  await using w = await createSetupWorld();
  await using gitlab = await createGitLab({ signing: 'cannot sign', as: 'person' });
  const shop = await gitlab.createRepository({ name: 'acme/shop', hook: 'none', files: nodeApp('main') });
  const visitor = await admitted(w);
  await visitor.get('/setup');
  const choice = await visitor.post('/setup/gitlab', [
    ['address', gitlab.url],
    ['token', gitlab.token],
  ]);
  const chosen: [string, string][] = [
    ['ticket', visitor.hidden('ticket')],
    ['project', idOf(choice.html, 'acme/shop')],
  ];
  expect((await visitor.post('/setup/gitlab/projects', chosen)).text).toContain(
    ': webhook made; this GitLab cannot sign, so its secret token alone is checked',
  );
  const pull = await gitlab.openPull(shop, { files: nodeApp('unsigned') });
  await until('the preview to be ready', () => gitlab.ourComment(pull)?.body.includes('Preview is ready'));
  gitlab.revokeToken();
  await until('the token to be forgotten', async () => (await w.mayfly.store.connections.all()).length === 0);
  await until('the site to end', async () => (await w.mayfly.store.sites.list({ status: 'ended', limit: 9 })).sites.length === 1);
  expect(await w.mayfly.store.repositories.all()).toEqual([]);
  expect(w.printed).toHaveLength(2);
  expect(gitlab.unknownRequests).toEqual([]);
});
