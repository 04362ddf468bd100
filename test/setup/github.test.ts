import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runCommand } from '../command.ts';
import { nodeApp } from '../scenarios/apps.ts';
import { codeIn, createSetupWorld, type SetupWorld } from '../setup-world.ts';
import { until } from '../world.ts';
import { createVisitor, type Visitor } from './visitor.ts';

/** Without ports, which are others each time. */
const still = (text: string): string => text.replace(/127\.0\.0\.1:\d+/g, 'HOST');

async function admitted(w: SetupWorld): Promise<Visitor> {
  const visitor = createVisitor(w.base);
  await w.restart();
  await visitor.get('/setup');
  await visitor.post('/setup/code', [['code', w.code()]]);
  return visitor;
}

/** What a person does on GitHub with the form that the page has: looks, agrees, and is sent back. */
async function agree(visitor: Visitor): Promise<URL> {
  const action = visitor.action(/(?<=action=")http[^"]*/);
  const form = new URLSearchParams({ manifest: visitor.hidden('manifest') });
  const asked = await fetch(action, { method: 'POST', body: form });
  const key = /name="key" value="(\w+)"/.exec(await asked.text())?.[1] ?? '';
  const back = await fetch(new URL('/settings/apps/manifest', action), {
    method: 'POST',
    body: new URLSearchParams({ key }),
    redirect: 'manual',
  });
  return new URL(back.headers.get('location') ?? 'http://nowhere');
}

describe('who gets in', () => {
  let w: SetupWorld;
  beforeAll(async () => {
    w = await createSetupWorld();
  });
  afterAll(() => w[Symbol.asyncDispose]());

  test('without a forge Mayfly starts, says where to go, and answers', async () => {
    expect(still(w.printed[0] ?? '').replace(/[0-9a-z]{4}(-[0-9a-z]{4}){6}/, 'CODE')).toMatchInlineSnapshot(`
      "
      No forge is connected yet. To connect GitHub or GitLab, open

        http://HOST/setup

      and type this code, which works once and until Mayfly starts anew:

        CODE

      "
    `);
    expect(await (await fetch(`${w.base}/readyz`)).json()).toMatchInlineSnapshot(`
      {
        "database": "reachable",
        "forges": [],
        "queue": "reachable",
        "status": "ready",
      }
    `);
    expect((await fetch(`${w.base}/api/github/webhooks`, { method: 'POST', body: '{}' })).status).toBe(404);
    expect((await fetch(w.base, { redirect: 'manual' })).headers.get('location')).toBe('/setup');
    expect(w.logged.join('')).not.toContain(w.code());
  });

  test('a stranger sees the code page, on which nothing runs and which is kept nowhere', async () => {
    const visitor = createVisitor(w.base);
    const page = await visitor.get('/setup');
    expect(page.text).toMatchInlineSnapshot(`
      "Set up Mayfly
      Mayfly printed a code on its terminal when it started. Type it here to show that this Mayfly is yours.
      Code
      Seven groups of four letters and digits. It works once.
      [Go on]
      No code in sight? \`npm run setup-code\` on the machine where Mayfly runs prints a new one."
    `);
    expect(page.headers.get('content-security-policy')).toMatch(
      /^default-src 'none'; style-src 'sha256-[^']+'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'$/,
    );
    expect(page.headers.get('cache-control')).toBe('no-store');
    expect(page.headers.get('x-robots-tag')).toBe('noindex, nofollow');
    expect(page.html).not.toContain('<script');
    const cookie = (await fetch(`${w.base}/setup`)).headers.getSetCookie()[0];
    expect(cookie).toMatch(/^mayfly-setup=[\w.-]+; Max-Age=1800; Path=\/setup; HttpOnly; SameSite=Lax$/);
  });

  test('a wrong code is not taken, a right one once, and too many wrong ones are stopped', async () => {
    const visitor = createVisitor(w.base);
    await visitor.get('/setup');
    const wrong = await visitor.post('/setup/code', [['code', 'aaaa-aaaa']]);
    expect([wrong.status, wrong.text.split('\n')[2]]).toEqual([403, 'That is not the code, or it was used already.']);
    const typed = w.code().toUpperCase().replaceAll('-', ' ');
    expect((await visitor.post('/setup/code', [['code', typed]])).text).toContain('Create the GitHub App');
    const second = createVisitor(w.base);
    await second.get('/setup');
    expect((await second.post('/setup/code', [['code', typed]])).status).toBe(403);
    for (let n = 0; n < 8; n += 1) await second.post('/setup/code', [['code', 'x']]);
    const stopped = await second.post('/setup/code', [['code', 'x']]);
    expect([stopped.status, stopped.text.split('\n')[2]]).toEqual([429, 'Too many wrong codes were typed. Wait a minute.']);
    // Whoever has the right one is not kept out by those who guess.
    const { out } = await runCommand('src/setup-code.ts', w.environment);
    expect((await second.post('/setup/code', [['code', codeIn(out)]])).text).toContain('Create the GitHub App');
  });

  test('a form that is not ours, from elsewhere, or of another browser does nothing', async () => {
    const visitor = await admitted(w);
    const elsewhere = await visitor.post('/setup/github/disconnect', [], { 'sec-fetch-site': 'cross-site' });
    expect([elsewhere.status, elsewhere.text]).toMatchInlineSnapshot(`
      [
        403,
        "This form is not taken
      It was not sent from a page that this browser has open. Go back and try again.
      Back to the set-up",
      ]
    `);
    await visitor.get('/setup');
    const forged = await visitor.post('/setup/github/disconnect', [['form', 'x']]);
    expect(forged.status).toBe(403);
    const stranger = createVisitor(w.base);
    expect((await stranger.get('/setup/github/callback?code=x&state=y')).text).toContain('This page was open for too long');
    stranger.cookie = visitor.cookie.replace(/\.\d+\./, '.9999999999999.');
    expect((await stranger.get('/setup')).text).toContain('Type it here');
  });
});

describe('GitHub by manifest', () => {
  let w: SetupWorld;
  beforeAll(async () => {
    w = await createSetupWorld();
  });
  afterAll(() => w[Symbol.asyncDispose]());

  test('the page says what is asked for and why, and the manifest asks for just that', async () => {
    const visitor = await admitted(w);
    const page = await visitor.get('/setup');
    expect(still(page.text)).toMatchInlineSnapshot(`
      "Set up Mayfly
      Mayfly serves the repositories of a forge: through a GitHub App of your own, with a GitLab token, or both. What is stored here is encrypted in Mayfly's database.
      GitHub
      A GitHub App of your own is made with one button. GitHub shows you what it is asked for before anything is made, and hands the App's key to this Mayfly alone. Sign in to GitHub in this browser first.
      What the App asks for, and why
      Permissions in the repositories that you choose
      \`metadata\` to read
      Every app has it. Repositories by id, so that a renamed or moved one is found again; what a person may do in the repository.
      \`contents\` to read
      Git fetches of the pull's commit, \`.mayfly.yml\` from the base branch, the title of a commit.
      \`pull_requests\` to read and write
      Pulls are read; our one comment on a pull and the reaction to a command are written. GitHub takes this permission for comments on pulls, so \`issues\` is not needed and comments on plain issues stay out of reach.
      \`checks\` to read and write
      The check run \`mayfly\` on each commit.
      \`deployments\` to read and write
      The transient deployment to the environment \`preview\`: made, moved on, made inactive, deleted.
      Events that it is told of
      \`pull_request\`
      A pull is opened, pushed to, closed, reopened, labelled, retargeted.
      \`issue_comment\`
      Commands are typed in comments.
      \`push\`
      A push to a base branch may change \`.mayfly.yml\`.
      \`repository\`
      Renamed, moved to another owner, deleted.
      GitHub also tells it where it is installed and removed. All of that goes to \`http://HOST/api/github/webhooks\`. Nothing else is asked for.
      [Create the GitHub App]
      On HOST, for your own account. You come back here by yourself.
      For an organisation, or on GitHub Enterprise
      Organisation
      An App can be installed by its owner alone: name the organisation whose repositories get previews. Empty: your own account.
      Address of GitHub
      [Use these]
      GitLab
      With an access token Mayfly reads merge requests and their code, and writes its comment, a commit status and an environment. On each project that you choose it makes a webhook for merge requests, comments and pushes, and remembers it, so that exactly those can be removed again.
      Address of GitLab
      Access token
      Of a group, a project or a person, with the scope \`api\` and the role Maintainer.
      Only projects of this group
      Empty: all that the token is a Maintainer of.
      [Choose projects]"
    `);
    expect(still(JSON.stringify(JSON.parse(visitor.hidden('manifest')), null, 1))).toMatchInlineSnapshot(`
      "{
       "default_permissions": {
        "metadata": "read",
        "contents": "read",
        "pull_requests": "write",
        "checks": "write",
        "deployments": "write"
       },
       "default_events": [
        "pull_request",
        "issue_comment",
        "push",
        "repository"
       ],
       "name": "mayfly-tests",
       "description": "Gives every pull request a site of its own, that ends by itself.",
       "url": "https://github.com/mayfly/mayfly",
       "public": false,
       "hook_attributes": {
        "url": "http://HOST/api/github/webhooks",
        "active": true
       },
       "redirect_url": "http://HOST/setup/github/callback"
      }"
    `);
    expect(page.headers.get('content-security-policy')).toContain(`form-action 'self' ${w.github.serverUrl};`);
    expect(visitor.action(/(?<=action=")http[^"]*/)).toMatch(/\/settings\/apps\/new\?state=[\w-]{43}$/);
    await visitor.get('/setup?organisation=acme');
    expect(visitor.action(/(?<=action=")http[^"]*/)).toMatch(/\/organizations\/acme\/settings\/apps\/new\?state=/);
  });

  test('what cannot be is said instead of a button', async () => {
    const visitor = await admitted(w);
    const notes = async (query: string): Promise<string> => {
      const page = await visitor.get(`/setup?${query}`);
      expect(page.text).not.toContain('[Create the GitHub App]');
      return still(/<div class="note[^>]*><p>(.*?)<\/p>/s.exec(page.html)?.[1] ?? '');
    };
    expect(await notes('server=ftp://x')).toBe('This is not an address like https://github.com.');
    expect(await notes('server=https://a:b@github.acme.dev')).toBe('The address holds credentials; they have no place in it.');
    expect(await notes('server=https://github.acme.dev/?a')).toBe('The address has a query or a fragment; leave it out.');
    expect(await notes('server=http://github.acme.dev')).toBe('The address must start with https://: credentials travel there.');
    expect(await notes('organisation=a%2Fb')).toBe('This is no name of an organisation on GitHub.');
    expect(await notes('server=github.com')).toMatchInlineSnapshot(
      `"Mayfly&#39;s own address is <code>http://HOST</code>, and a forge elsewhere cannot reach that to send its webhooks. Set <code>MAYFLY_PUBLIC_URL</code> to an address that it can reach – of a reverse proxy, or of a tunnel to this machine – and start Mayfly again."`,
    );
  });

  test('a way back that is not ours stores nothing', async () => {
    const visitor = await admitted(w);
    await visitor.get('/setup');
    const back = await agree(visitor);
    const other = await admitted(w);
    const stolen = await other.get(back.pathname + back.search);
    expect([stolen.status, stolen.text]).toMatchInlineSnapshot(`
      [
        400,
        "GitHub is not connected yet
      This way back from GitHub was used already, is older than an hour, or belongs to another browser. Begin again; an App that was made meanwhile can be deleted on GitHub.
      Back to the set-up",
      ]
    `);
    const bad = new URL(back);
    bad.searchParams.set('code', 'x'.repeat(20));
    expect((await visitor.get(bad.pathname + bad.search)).text).toMatchInlineSnapshot(`
      "GitHub is not connected yet
      GitHub does not know the code that it sent you back with, or not any more. Begin again; an App that was made meanwhile can be deleted on GitHub.
      Back to the set-up"
    `);
    expect((await visitor.get(back.pathname + back.search)).text).toContain('was used already');
    w.github.fail({ match: ({ path }) => path.startsWith('/app-manifests/'), answer: { status: 502 } });
    await visitor.get('/setup');
    const again = await agree(visitor);
    expect((await visitor.get(again.pathname + again.search)).text).toMatchInlineSnapshot(`
      "GitHub is not connected yet
      GitHub could not be reached from Mayfly to fetch the credentials of the new App. Check that this machine reaches its API, delete the App on GitHub, and begin again.
      Back to the set-up"
    `);
    expect(await w.mayfly.store.connections.all()).toEqual([]);
  });

  test('connected, it works at once, in every process, after a restart, and its secrets are nowhere to be read', async () => {
    await using second = await w.start({
      PORT: '0',
      MAYFLY_ROLES: 'web',
      MAYFLY_PUBLIC_URL: 'http://127.0.0.1:1',
      MAYFLY_DATA_DIR: await w.makeFolder(),
    });
    const visitor = await admitted(w);
    await visitor.get('/setup');
    const back = await agree(visitor);
    const page = await visitor.get(back.pathname + back.search);
    expect(still(page.text)).toMatchInlineSnapshot(`
      "Set up Mayfly
      Mayfly serves the repositories of a forge: through a GitHub App of your own, with a GitLab token, or both. What is stored here is encrypted in Mayfly's database.
      GitHub
      Connected: the App mayfly-preview was made, its credentials are stored, and Mayfly listens to it.
      Next, install it on your repositories. Then open a pull request: its preview appears by itself.
      Disconnect
      All previews of GitHub's repositories end, and the stored credentials are removed. The App itself stays on GitHub: delete it in its settings there.
      [Disconnect GitHub]
      GitLab
      With an access token Mayfly reads merge requests and their code, and writes its comment, a commit status and an environment. On each project that you choose it makes a webhook for merge requests, comments and pushes, and remembers it, so that exactly those can be removed again.
      Address of GitLab
      Access token
      Of a group, a project or a person, with the scope \`api\` and the role Maintainer.
      Only projects of this group
      Empty: all that the token is a Maintainer of.
      [Choose projects]"
    `);
    const doubled = await visitor.get(back.pathname + back.search);
    expect(doubled.text).toContain('was used already');
    await until('the other process to hear of it', async () => (await fetch(`${second.webUrl}/api/github/webhooks`)).status === 405);
    await w.restart();
    const repo = await w.github.createRepository({ name: 'acme/shop', files: nodeApp('main') });
    const pull = await w.github.openPull(repo, { files: nodeApp('stored') });
    await until('the preview to be ready', () => w.github.ourComment(pull)?.body.includes('Preview is ready'));
    const [row] = await w.mayfly.store.connections.all();
    const key = w.github.privateKey.split('\n')[1] ?? '';
    const kept = `${row?.sealed.toString('latin1')}${w.logged.join('')}${page.html}`;
    for (const secret of [w.github.hookSecret(), key]) expect(kept).not.toContain(secret);
  });

  test('the environment wins over what is stored; a code for /setup is printed on demand', async () => {
    const app = { APP_ID: '7', PRIVATE_KEY: w.github.privateKey, WEBHOOK_SECRET: 'w'.repeat(40) };
    const before = w.printed.length;
    await w.restart(app);
    expect(w.printed).toHaveLength(before);
    expect(w.logged.join('')).toContain('the environment has settings of this forge: they win over those that are stored');
    const { out, errors, code } = await runCommand('src/setup-code.ts', w.environment);
    expect([code, errors]).toEqual([0, '']);
    expect(out).toContain('To connect or disconnect GitHub or GitLab, open');
    const visitor = createVisitor(w.base);
    await visitor.get('/setup');
    const page = await visitor.post('/setup/code', [['code', codeIn(out)]]);
    expect(still(page.text.split('\n').slice(2, 5).join('\n'))).toMatchInlineSnapshot(`
      "GitHub
      Connected by the environment: the App 7 on HOST. Unset \`APP_ID\` and what belongs to it to set GitHub up here.
      Another App is stored here. The environment wins over it."
    `);
    await w.restart();
  });

  test('an App that was deleted on GitHub is forgotten with its sites, and /setup offers a new one', async () => {
    const pull = [...w.github.state.repositories.values()].flatMap((repo) => [...repo.pulls.values()])[0];
    if (!pull) throw new Error('no pull');
    w.github.state.app.deleted = true;
    await until('the credentials to be removed', async () => (await w.mayfly.store.connections.all()).length === 0);
    await until('the sites to be gone', async () => (await w.mayfly.store.sites.list({ status: 'ended', limit: 1 })).sites.length === 1);
    expect(await w.mayfly.store.repositories.all()).toEqual([]);
    const visitor = createVisitor(w.base);
    await visitor.get('/setup');
    expect((await visitor.post('/setup/code', [['code', w.code()]])).text).toContain('[Create the GitHub App]');
    const back = await agree(visitor);
    expect((await visitor.get(back.pathname + back.search)).text).toContain('Connected');
    expect(still((await visitor.post('/setup/github/disconnect')).text)).toContain('[Create the GitHub App]');
    expect(await w.mayfly.store.connections.all()).toEqual([]);
  });
});
