import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { createDeveloper } from '../../demo/developer.ts';
import { git } from '../../demo/github/git.ts';
import { startGitHub } from '../../demo/github.ts';
import { freePort } from '../../demo/ports.ts';
import { createGitHubForge } from '../../src/app/forges/github.ts';
import { openGitHub } from '../../src/app/probot.ts';
import { parseRepositoryId, parseSha, toForgeId, toSiteId } from '../../src/site/identity.ts';

type Event = { readonly name: string; readonly action: string; readonly delivery: string; readonly verified: boolean };

/** The demo's GitHub with its developer, our adapter before it, and a receiver that checks signatures as Mayfly does. */
async function openDemo() {
  const stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'mayfly-demo-test-'));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const events: Event[] = [];
  let verify: ((body: Buffer, signature: string | undefined) => boolean) | undefined;
  const receiver = createServer(async (request, response) => {
    const body = await buffer(request);
    const header = (name: string) => String(request.headers[name]);
    const { action = '' } = JSON.parse(body.toString());
    const verified = verify?.(body, header('x-hub-signature-256')) ?? false;
    events.push({ name: header('x-github-event'), action, delivery: header('x-github-delivery'), verified });
    response.writeHead(202).end();
  });
  const webhookPort = await freePort(0);
  await new Promise<void>((resolve) => receiver.listen(webhookPort, resolve));
  stack.defer(() => void receiver.close());
  const github = stack.use(await startGitHub({ port: await freePort(0), folder, webhookUrl: `http://127.0.0.1:${webhookPort}` }));
  const developer = await createDeveloper(github, folder);
  await developer.createRepository();
  const addresses = { apiUrl: github.url, serverUrl: github.url, clientId: null, clientSecret: null };
  const { id: appId, privateKey, webhookSecret } = github.app;
  const app = openGitHub({ appId, privateKey, webhookSecret, ...addresses }, { log: pino({ level: 'silent' }) });
  verify = app.verify;
  const ids = await readIds(github.url, github.developer.token);
  const repository = {
    forge: toForgeId('github'),
    id: ids.repository,
    name: 'acme/shop',
    access: '1',
  };
  const disposeAsync = () => stack.disposeAsync();
  return {
    folder,
    github,
    developer,
    dana: { id: ids.dana, login: 'dana' },
    events,
    forge: createGitHubForge(app, 'test'),
    repository,
    [Symbol.asyncDispose]: disposeAsync,
  };
}

/** Her number, and that of the repository. */
async function readIds(url: string, token: string) {
  const read = async (path: string) => {
    const response = await fetch(`${url}${path}`, { headers: { authorization: `token ${token}` } });
    return z.object({ id: z.number() }).parse(await response.json()).id;
  };
  return { dana: await read('/users/dana'), repository: parseRepositoryId(await read('/repos/acme/shop')) ?? expect.fail('no id') };
}

const CHANGE = { title: 'Lamps', accent: '#123456', message: 'Lamps' };

describe("the demo's GitHub", () => {
  test('answers our adapter as GitHub does: facts, source, comment, check, deployment, reaction', async () => {
    await using demo = await openDemo();
    const { developer, forge, github, repository } = demo;
    const sha = parseSha(await developer.push('lamps', CHANGE)) ?? expect.fail('no sha');
    const number = await developer.openPull('lamps', 'Lamps');

    const pull = await forge.facts.pull(repository, number);
    expect(pull).toMatchObject({
      number,
      state: 'open',
      head: { sha, branch: 'lamps', base: 'main', trust: 'trusted', commitTitle: 'Lamps' },
    });
    expect(await forge.facts.openPulls(repository)).toHaveLength(1);
    expect(await forge.facts.permission(repository, demo.dana)).toBe('admin');
    expect(await forge.facts.file(repository, { ref: 'main', path: '.mayfly.yml', maxBytes: 65_536 })).toContain('db/seed.sql');

    const { url, authorization } = await forge.source.address(repository);
    const clone = join(demo.folder, 'clone.git');
    await git(['init', '--quiet', '--bare', clone], { cwd: demo.folder });
    await git(['-c', `http.extraHeader=authorization: ${authorization}`, 'fetch', '--quiet', '--depth=1', url, sha], { cwd: clone });

    const place = { repository, number, site: toSiteId('01J0000000000000000000000A') };
    const first = await forge.voice.ensureComment(place, { marker: '<!-- m -->', body: '<!-- m -->\none', known: null });
    const again = await forge.voice.ensureComment(place, { marker: '<!-- m -->', body: '<!-- m -->\ntwo', known: null });
    expect(again.id).toBe(first.id);
    expect(await developer.comments(number)).toMatchObject([{ body: '<!-- m -->\ntwo', user: { login: 'mayfly[bot]' } }]);

    const check = { sha, title: 'Queued', summary: 's', text: '', url: null };
    const run = await forge.voice.ensureCheck(place, { ...check, status: 'queued' }, null);
    expect((await forge.voice.ensureCheck(place, { ...check, status: 'success' }, null)).id).toBe(run.id);

    const site = 'http://pr-1.preview.localhost';
    await forge.voice.ensureDeployment(place, { sha, state: 'success', url: site, description: 'Ready' }, null);
    expect(github.deployments()).toBe(1);
    await forge.voice.removeDeployments(place);
    expect(github.deployments()).toBe(0);

    const comment = await developer.comment(number, '/preview extend 2d');
    await forge.voice.react(place, String(comment), 'taken');
    await forge.voice.react(place, String(comment), 'done');
    expect(github.reactions(comment)).toEqual(['+1']);
  });

  test('sends what happens to a pull, signed, in order, each with an id of its own', async () => {
    await using demo = await openDemo();
    const { developer, events } = demo;
    await developer.push('lamps', CHANGE);
    const number = await developer.openPull('lamps', 'Lamps');
    const sha = await developer.push('lamps', { ...CHANGE, title: 'Lanterns' });
    expect(await developer.pull(number)).toMatchObject({ sha });
    await developer.comment(number, 'Nice!');
    await developer.setPullState(number, 'closed');
    const names = () => events.map(({ name, action }) => `${name} ${action}`.trim());
    await expect.poll(names).toContain('pull_request closed');
    expect(names()).toEqual(['pull_request opened', 'push', 'pull_request synchronize', 'issue_comment created', 'pull_request closed']);
    expect(events.every(({ verified }) => verified)).toBe(true);
    expect(new Set(events.map(({ delivery }) => delivery)).size).toBe(events.length);
  });
});
