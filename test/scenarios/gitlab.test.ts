import { createHmac, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Pull, Repo } from '../doubles/gitlab.ts';
import { receipts } from '../doubles/stage.ts';
import { createWorld, until, type World } from '../world.ts';
import { nodeApp } from './apps.ts';

describe('GitLab', () => {
  let w: World;
  let made = 0;
  beforeAll(async () => {
    w = await createWorld({}, { forge: 'gitlab' });
  });
  afterAll(() => w[Symbol.asyncDispose]());
  const repository = (files = nodeApp('main')): Promise<Repo> =>
    w.gitlab.createRepository({ name: `acme/web-${++made}/shop-${made}`, files });
  const opened = async (files = nodeApp('hello')): Promise<{ repo: Repo; pull: Pull }> => {
    const repo = await repository();
    return { repo, pull: await w.gitlab.openPull(repo, { files }) };
  };
  const handled = () => until('every delivery to be handled', async () => (await w.mayfly.store.inbox.pending(0, 1)).length === 0);

  describe('the door', () => {
    const sign = (body: string, { id, at }: { readonly id: string; readonly at: number }): string => {
      const key = Buffer.from((w.gitlab.signingToken ?? '').slice('whsec_'.length), 'base64');
      return `v1,${createHmac('sha256', key).update(`${id}.${at}.${body}`).digest('base64')}`;
    };
    const now = (): number => Math.floor(Date.now() / 1000);
    const headersOf = (body: string, { id = randomUUID(), at = now() } = {}): Record<string, string> => ({
      ...{ 'content-type': 'application/json', 'x-gitlab-token': w.gitlab.webhookSecret ?? '', 'idempotency-key': id },
      ...{ 'webhook-id': id, 'webhook-timestamp': String(at), 'webhook-signature': sign(body, { id, at }) },
    });
    const post = (body: string, headers: Readonly<Record<string, string>>) => fetch(w.webhooks(), { method: 'POST', body, headers });

    test('who does not know both secrets is told nothing, and does nothing', async () => {
      w.gitlab.sendWebhooksTo(null);
      const { pull } = await opened();
      w.gitlab.sendWebhooksTo(w.webhooks());
      const body = w.gitlab.deliveries.findLast(({ event }) => event === 'Merge Request Hook')?.body ?? '';
      const right = headersOf(body);
      const { 'x-gitlab-token': _, ...unnamed } = right;
      const { 'webhook-signature': __, ...unsigned } = right;
      const wrong = [
        unnamed,
        unsigned,
        { ...right, 'x-gitlab-token': 'x'.repeat(40) },
        { ...right, 'webhook-signature': `${right['webhook-signature']?.slice(0, -4)}AAA=` },
        headersOf(body, { at: now() - 360 }),
        headersOf(body, { at: now() + 360 }),
        headersOf(`${body} `),
      ];
      const answers = await Promise.all(wrong.map((headers) => post(body, headers)));
      expect(answers.map(({ status }) => status)).toEqual(wrong.map(() => 401));
      expect(new Set(await Promise.all(answers.map((answer) => answer.text()))).size).toBe(1);
      expect(await w.siteOf(pull)).toBeUndefined();
      expect((await post(body, right)).status).toBe(202);
      await w.reaches(pull, 'ready');
    });

    test.for([
      ['what is no JSON', 'hello'],
      ['nothing', ''],
      ['an array', '[]'],
      ['an event of another kind', '{"object_kind":"pipeline"}'],
      ['half a merge request', '{"object_kind":"merge_request","object_attributes":null}'],
      ['a kind that every object has', '{"object_kind":"__proto__"}'],
    ] as const)('%s is answered like all else, once its sender is known', async ([, body]) => {
      const headers = headersOf(body);
      const { 'idempotency-key': _, ...unkeyed } = headers;
      for (const given of [headers, unkeyed, headers]) expect((await post(body, given)).status).toBe(202);
      expect((await post(body, { ...headers, 'x-gitlab-token': 'wrong' })).status).toBe(401);
    });

    test('a webhook without any id of its own is heard, and a second time is the same', async () => {
      w.gitlab.sendWebhooksTo(null);
      const { pull } = await opened();
      w.gitlab.sendWebhooksTo(w.webhooks());
      const body = w.gitlab.deliveries.findLast(({ event }) => event === 'Merge Request Hook')?.body ?? '';
      const { 'idempotency-key': _, ...headers } = headersOf(body);
      for (const given of [headers, headers]) expect((await post(body, given)).status).toBe(202);
      const site = await w.reaches(pull, 'ready');
      expect(await w.mayfly.store.launches.of(site.id, 5)).toHaveLength(1);
    });

    describe('a payload that a Maintainer has written, with GitLab’s own secret on it', () => {
      const bodyOf = (text: string): string => w.gitlab.deliveries.findLast(({ body }) => body.includes(text))?.body ?? '';
      const sent = async (body: string): Promise<void> => {
        expect((await post(body, headersOf(body))).status).toBe(202);
        await handled();
      };

      test('speaks for nobody who has not said so', async () => {
        const { repo, pull } = await opened();
        w.gitlab.setPermission(repo, 'dev', 'write');
        w.gitlab.setPermission(repo, 'reader', 'read');
        await w.reaches(pull, 'ready');
        const devs = await w.gitlab.comment(pull, 'dev', 'looks good');
        w.gitlab.sendWebhooksTo(null);
        const readers = await w.gitlab.comment(pull, 'reader', '/preview stop');
        w.gitlab.sendWebhooksTo(w.webhooks());
        // Words that another wrote, as if by one who may, and words that one who may did not write.
        await sent(bodyOf('/preview stop').replaceAll('reader', 'dev').replaceAll(String(readers.author.id), String(devs.author.id)));
        await sent(bodyOf('looks good').replaceAll('looks good', '/preview stop'));
        await sent(bodyOf('/preview stop').replaceAll(String(readers.id), '999999'));
        expect((await w.siteOf(pull))?.status).toBe('ready');
        expect([readers, devs].map((one) => receipts(one).at(-1))).toEqual(['-1', undefined]);
      });

      test('speaks of no project under a name that is not its own', async () => {
        await using narrow = await createWorld({ MAYFLY_REPOSITORIES: 'acme/allowed' }, { forge: 'gitlab' });
        const secret = await narrow.gitlab.createRepository({ name: 'acme/secret', files: nodeApp('main') });
        const pull = await narrow.gitlab.openPull(secret, { files: nodeApp('hidden') });
        const told = narrow.gitlab.deliveries.findLast(({ event }) => event === 'Merge Request Hook')?.body ?? '';
        expect(told).toContain('acme/secret');
        const body = told.replaceAll('acme/secret', 'acme/allowed');
        const key = Buffer.from((narrow.gitlab.signingToken ?? '').slice('whsec_'.length), 'base64');
        const [id, at] = [randomUUID(), now()];
        const signature = `v1,${createHmac('sha256', key).update(`${id}.${at}.${body}`).digest('base64')}`;
        const headers = {
          ...{ 'x-gitlab-token': narrow.gitlab.webhookSecret ?? '', 'idempotency-key': id },
          ...{ 'webhook-id': id, 'webhook-timestamp': String(at), 'webhook-signature': signature },
        };
        expect((await fetch(narrow.webhooks(), { method: 'POST', body, headers })).status).toBe(202);
        await until('it to be handled', async () => (await narrow.mayfly.store.inbox.pending(0, 1)).length === 0);
        expect(await narrow.rowOf(pull)).toBeUndefined();
      });
    });

    test('unwanted events in a row never make GitLab switch the webhook off', async () => {
      const { repo, pull } = await opened();
      const before = w.gitlab.deliveries.length;
      for (const action of ['approved', 'unapproved', 'approval', 'approved', 'unapproved'] as const)
        await w.gitlab.approve(pull, 'ann', action);
      await w.gitlab.commentOnIssue(pull, 'ann', '/preview stop');
      await w.gitlab.commentOnCommit(pull, 'ann', '/preview stop');
      const comment = await w.gitlab.comment(pull, 'ann', 'nice');
      await w.gitlab.react(pull, { comment, login: 'bob', content: 'rocket' });
      await w.gitlab.pushToBranch(repo, 'main', { 'README.md': 'words' });
      const sent = w.gitlab.deliveries.slice(before);
      // Of what we said ourselves GitLab tells us in its own time.
      await until('all of them to be answered', () => sent.every(({ durationMs }) => durationMs > 0));
      expect(sent.map(({ statusCode }) => statusCode)).toEqual(sent.map(() => 202));
      expect(w.gitlab.hooksOf(repo)).toMatchObject([{ failures: 0, disabledUntil: null }]);
      await w.reaches(pull, 'ready');
    });
  });

  test('a confidential note is neither acted on nor echoed, an edited one and a bot’s neither', async () => {
    const { repo, pull } = await opened();
    w.gitlab.setPermission(repo, 'dev', 'write');
    w.gitlab.plantHook(repo, { events: ['confidential_note_events'] });
    for (const hook of w.gitlab.hooksOf(repo)) hook.url = w.webhooks();
    await w.reaches(pull, 'ready');
    const secret = await w.gitlab.commentInternally(pull, 'dev', '/preview stop\n/preview hunter2');
    const edited = await w.gitlab.comment(pull, 'dev', 'looks good');
    await w.gitlab.editComment(pull, edited, '/preview stop');
    w.gitlab.setPermission(repo, 'project_7_bot_4f6a', 'maintain');
    const bot = await w.gitlab.comment(pull, 'project_7_bot_4f6a', '/preview stop');
    await handled();
    expect((await w.siteOf(pull))?.status).toBe('ready');
    expect([secret, edited, bot].flatMap(receipts)).toEqual([]);
    expect(w.gitlab.ourComment(pull)?.bodies.join()).not.toContain('hunter2');
    const sent = w.gitlab.deliveries.filter(({ event }) => event === 'Confidential Note Hook');
    expect(sent.map(({ statusCode }) => statusCode)).toEqual([202]);
  });

  test('it speaks of merge requests, and “View app” leads to the site until it ends', async () => {
    const { repo, pull } = await opened();
    const site = await w.reaches(pull, 'ready');
    expect(w.gitlab.environments(repo)).toMatchObject([
      { name: `preview/mr-${pull.number}`, externalUrl: expect.stringContaining(`//${site.host}.`), state: 'available' },
    ]);
    await w.gitlab.close(pull);
    await w.reaches(pull, 'ended');
    expect(w.gitlab.environments(repo)).toEqual([]);
    const page = await w.visit(pull, '/', { accept: 'text/html' });
    for (const text of [w.comment(pull), page.body]) {
      expect(text).toContain('merge request');
      expect(text).not.toContain('pull request');
    }
    expect(page.body).toContain(`${w.gitlab.url}/acme/web-${made}/shop-${made}/-/merge_requests/${pull.number}`);
  });

  test('a project that was renamed and moved goes on, under its new name', async () => {
    const { repo, pull } = await opened();
    const before = await w.reaches(pull, 'ready');
    await w.gitlab.rename(repo, 'store');
    await w.gitlab.transfer(repo, `globex/shops-${made}`);
    const sha = await w.gitlab.push(pull, nodeApp('moved'));
    const after = await w.reaches(pull, 'ready', sha);
    expect([after.id, after.host]).toEqual([before.id, before.host]);
    expect((await w.visit(pull)).body).toBe('moved');
    expect(w.comment(pull)).toContain(`/globex/shops-${made}/store/-/commit/${sha}`);
    expect(w.gitlab.ourComments(pull)).toHaveLength(1);
  });

  test('what was wrong in the base branch’s settings is tried again when they are mended there', async () => {
    const repo = await repository({ ...nodeApp('main'), '.mayfly.yml': 'prot: 3000\n' });
    const pull = await w.gitlab.openPull(repo, { files: { 'note.txt': 'x' } });
    await w.reaches(pull, 'failed');
    await w.gitlab.pushToBranch(repo, 'main', { '.mayfly.yml': 'port: 3000\n' });
    await w.reaches(pull, 'ready');
  });

  test('a project that we are no member of any more: its sites end', async () => {
    const { repo, pull } = await opened();
    await w.reaches(pull, 'ready');
    await w.gitlab.removeRepository(repo);
    // One round alone does not end them.
    for (const _ of ['one', 'another']) await w.mayfly.reconcileNow();
    await until('the end', async () => (await w.siteOf(pull))?.status === 'ended');
    expect(await w.visit(pull)).toMatchObject({ status: 410 });
  });
});

test('a proxy that answers for GitLab, a token that was revoked, and a project denied for a moment: what stands stands', async () => {
  await using w = await createWorld({}, { forge: 'gitlab' });
  const repo = await w.gitlab.createRepository({ name: 'acme/shop', files: nodeApp('main') });
  const pull = await w.gitlab.openPull(repo, { files: nodeApp('hello') });
  await w.reaches(pull, 'ready');
  const isStanding = async (): Promise<void> => {
    expect((await w.siteOf(pull))?.status).toBe('ready');
    expect((await w.visit(pull)).body).toBe('hello');
  };
  const pages = [
    { status: 404, page: '404 page not found\n' },
    { status: 401, headers: { 'content-type': 'text/html' }, page: '<html>Sign in</html>' },
  ];
  for (const answer of pages) {
    let isAway = true;
    w.gitlab.fail({ match: () => isAway, times: 1_000, answer });
    for (let round = 0; round < 3; round++) await w.mayfly.reconcileNow();
    isAway = false;
    await isStanding();
  }
  const deny = async (): Promise<void> => {
    let isDenied = true;
    w.gitlab.fail({ match: () => isDenied, times: 1_000, answer: { status: 404, message: '404 Project Not Found' } });
    await w.mayfly.reconcileNow();
    isDenied = false;
  };
  await deny();
  await w.mayfly.reconcileNow();
  await deny();
  await isStanding();
  w.gitlab.revokeToken();
  for (let round = 0; round < 3; round++) await w.mayfly.reconcileNow();
  await isStanding();
});

test('one Mayfly serves GitHub and GitLab, and ids that are the same on both are never taken for each other', async () => {
  await using w = await createWorld({}, { forge: 'both' });
  const hub = await w.github.createRepository({ name: 'acme/shop', files: nodeApp('main') });
  // Made first, so that the group and its people are there: the next id is the project's.
  await w.gitlab.createRepository({ name: 'acme/other' });
  const next = w.gitlab.state.nextId;
  const nextIs = (id: number): void => {
    w.gitlab.state.nextId = () => {
      w.gitlab.state.nextId = next;
      return id;
    };
  };
  nextIs(hub.id);
  const lab = await w.gitlab.createRepository({ name: 'acme/shop', files: nodeApp('main') });
  const onHub = await w.github.openPull(hub, { files: nodeApp('from GitHub') });
  const onLab = await w.gitlab.openPull(lab, { files: nodeApp('from GitLab') });
  expect([lab.id, onLab.number]).toEqual([hub.id, onHub.number]);
  const [ofHub, ofLab] = [await w.reaches(onHub, 'ready'), await w.reaches(onLab, 'ready')];
  expect([ofHub.host.slice(0, 3), ofLab.host.slice(0, 3)]).toEqual(['pr-', 'mr-']);
  expect([(await w.visit(onHub)).body, (await w.visit(onLab)).body]).toEqual(['from GitHub', 'from GitLab']);

  w.github.setPermission(hub, 'dev', 'write');
  w.gitlab.setPermission(lab, 'dev', 'write');
  const asked = await w.github.comment(onHub, 'dev', '/preview extend 1h');
  nextIs(asked.id);
  const same = await w.gitlab.comment(onLab, 'dev', '/preview extend 1h');
  expect(same.id).toBe(asked.id);
  for (const comment of [asked, same]) await until('the receipt', () => receipts(comment).at(-1) === '+1');
  for (const [pull, before] of [
    [onHub, ofHub],
    [onLab, ofLab],
  ] as const) {
    expect((await w.siteOf(pull))?.endsAt.getTime()).toBe(before.endsAt.getTime() + 3_600_000);
  }

  await w.gitlab.close(onLab);
  await w.reaches(onLab, 'ended');
  await w.mayfly.reconcileNow();
  expect((await w.siteOf(onHub))?.status).toBe('ready');
  expect((await w.visit(onHub)).body).toBe('from GitHub');
  expect(w.comment(onHub)).not.toContain('merge request');
});
