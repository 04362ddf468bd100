import { createHmac, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Pull, Repo } from '../doubles/github.ts';
import { createWorld, get, until, type World } from '../world.ts';
import { builtApp, nodeApp, slowBuild } from './apps.ts';

let w: World;
let made = 0;
beforeAll(async () => {
  w = await createWorld();
});
afterAll(() => w[Symbol.asyncDispose]());

const repository = (): Promise<Repo> => w.github.createRepository({ name: `door-${++made}/shop-${made}`, files: nodeApp('main') });
const opened = async (files = nodeApp('hello')): Promise<{ repo: Repo; pull: Pull }> => {
  const repo = await repository();
  return { repo, pull: await w.github.openPull(repo, { files }) };
};
const DAY_MS = 86_400_000;

describe('the door for webhooks', () => {
  const sign = (body: string, secret = w.github.webhookSecret): string =>
    `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`;
  const post = (body: string, headers: Readonly<Record<string, string>>): Promise<Response> =>
    fetch(w.webhooks(), {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/json', 'x-github-event': 'pull_request', 'x-github-delivery': randomUUID(), ...headers },
    });
  /** What GitHub would have sent for a new pull, which nobody got. */
  const unheard = async (): Promise<{ readonly pull: Pull; readonly body: string; readonly guid: string }> => {
    w.github.sendWebhooksTo(null);
    const { pull } = await opened();
    w.github.sendWebhooksTo(w.webhooks());
    const lost = w.github.deliveries.findLast((delivery) => delivery.event === 'pull_request');
    if (lost === undefined) throw new Error('nothing was sent');
    return { pull, body: lost.body, guid: lost.guid };
  };

  test('T-A01, T-A02, T-A03, T-A04: whatever is not signed by our secret over these bytes is 401, always the same, and does nothing', async () => {
    const { pull, body } = await unheard();
    const right = sign(body);
    const wrong: readonly (readonly [string, Readonly<Record<string, string>>])[] = [
      [body, {}],
      [body, { 'x-hub-signature': `sha1=${createHmac('sha1', w.github.webhookSecret).update(body).digest('hex')}` }],
      [body, { 'x-hub-signature-256': 'sha256=' }],
      [body, { 'x-hub-signature-256': right.slice(0, -2) }],
      [body, { 'x-hub-signature-256': right.toUpperCase() }],
      [body, { 'x-hub-signature-256': `${right}, ${right}` }],
      [body, { 'x-hub-signature-256': sign(body, '') || right }],
      [body, { 'x-hub-signature-256': sign(body, 'development') }],
      [`${body} `, { 'x-hub-signature-256': right }],
    ];
    const answers = await Promise.all(wrong.map(([text, headers]) => post(text, headers)));
    expect(answers.map(({ status }) => status)).toEqual(wrong.map(() => 401));
    expect(new Set(await Promise.all(answers.map((answer) => answer.text()))).size).toBe(1);
    expect(await w.siteOf(pull)).toBeUndefined();
  });

  test('T-A05: a body over 5 MiB is 413, and others are answered meanwhile', async () => {
    const large = 'x'.repeat(6 * 1024 * 1024);
    const [refused, alive] = await Promise.all([post(large, { 'x-hub-signature-256': sign(large) }), fetch(`${w.mayfly.webUrl}/healthz`)]);
    expect([refused.status, alive.status]).toEqual([413, 200]);
  });

  test('T-A07: the same delivery with another body: the first stands', async () => {
    const [first, second] = [await unheard(), await unheard()];
    const send = (body: string) => post(body, { 'x-hub-signature-256': sign(body), 'x-github-delivery': first.guid });
    expect([(await send(first.body)).status, (await send(second.body)).status]).toEqual([202, 202]);
    await w.reaches(first.pull, 'ready');
    expect(await w.siteOf(second.pull)).toBeUndefined();
  });

  test('T-A09: a delivery that was stored and never worked on is taken up by itself', async () => {
    const { pull, guid } = await unheard();
    const event = {
      type: 'pullChanged' as const,
      repository: {
        forge: 'github' as never,
        id: String(pull.repository.id) as never,
        name: `${pull.repository.owner.login}/${pull.repository.name}`,
        access: String(w.github.installationIdOf(pull.repository)),
      },
      number: pull.number,
      action: 'opened' as const,
      sha: pull.sha as never,
    };
    // As after a death between the two: in the inbox, without a job.
    await w.mayfly.store.inbox.put({ id: guid, forge: 'github' as never, event, digest: 'of the first' });
    await w.reaches(pull, 'ready');
  });

  test('T-A12: a thousand events that nobody wants, in a burst, are all 2xx, and a wanted one among them is heard', async () => {
    const body = JSON.stringify({ action: 'completed', check_run: { id: 1 }, repository: { id: 1 }, installation: { id: 1 } });
    const signature = sign(body);
    const burst = Array.from({ length: 1_000 }, () => post(body, { 'x-hub-signature-256': signature, 'x-github-event': 'check_run' }));
    const { pull } = await opened();
    const answers = await Promise.all(burst);
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([202]));
    await w.reaches(pull, 'ready');
  });

  test.each([
    ['{"__proto__":{"action":"opened"}}', 'pull_request'],
    ['{"action":"opened","pull_request":null}', 'pull_request'],
    ['{"action":"opened","number":"1","pull_request":{"number":"1"},"repository":{"id":"x"}}', 'pull_request'],
    ['[]', 'installation'],
    ['null', 'issue_comment'],
    ['{}', 'constructor'],
    ['{}', '__proto__'],
  ])('T-A13: %s as %s is dropped or refused', async (body, event) => {
    const { status } = await post(body, { 'x-hub-signature-256': sign(body), 'x-github-event': event });
    expect([202, 400]).toContain(status);
    expect((await fetch(`${w.mayfly.webUrl}/readyz`)).status).toBe(200);
  });
});

describe('commands', () => {
  let repo: Repo;
  let pull: Pull;
  beforeAll(async () => {
    ({ repo, pull } = await opened());
    w.github.setPermission(repo, 'writer', 'write');
    w.github.setPermission(repo, 'reader', 'read');
    w.github.setPermission(repo, 'nobody', 'none');
    await w.reaches(pull, 'ready');
  });
  const endsAt = async (): Promise<number> => (await w.siteOf(pull))?.endsAt.getTime() ?? 0;
  const reactionTo = async (login: string, body: string): Promise<readonly string[]> => {
    const comment = await w.github.comment(pull, login, body);
    await until('a verdict', () => comment.reacted.some((content) => content !== 'eyes'));
    await until('it to stand alone', () => comment.reactions.length === 1);
    return comment.reacted;
  };
  /** Comments are worked on in no order; all of them were once no delivery is left. */
  const handled = () => until('every delivery to be handled', async () => (await w.mayfly.store.inbox.pending(0, 1)).length === 0);

  test('`/preview extend 2d`: done for who may write, refused for who may only read, or nothing', async () => {
    const before = await endsAt();
    expect(await reactionTo('writer', '/preview extend 2d')).toEqual(['eyes', '+1']);
    expect(await endsAt()).toBe(before + 2 * DAY_MS);
    expect(await reactionTo('reader', '/preview extend 2d')).toEqual(['-1']);
    expect(await reactionTo('nobody', '/preview extend 2d')).toEqual(['-1']);
    expect(await endsAt()).toBe(before + 2 * DAY_MS);
  });

  test('an edit, a bot, a quote, a code block and talk are no commands', async () => {
    const before = await endsAt();
    const edited = await w.github.comment(pull, 'writer', 'looks good');
    await w.github.editComment(pull, edited, '/preview extend 2d');
    const bot = await w.github.comment(pull, 'helper[bot]', '/preview extend 2d');
    const quoted = await w.github.comment(pull, 'writer', '> /preview extend 2d');
    const fenced = await w.github.comment(pull, 'writer', '```\n/preview extend 2d\n```');
    const talk = await w.github.comment(pull, 'writer', 'one could type /preview extend 2d');
    await handled();
    expect([edited, bot, quoted, fenced, talk].map(({ reactions }) => reactions)).toEqual([[], [], [], [], []]);
    expect(await endsAt()).toBe(before);
  });

  test('five lines are five commands, a sixth is not understood, and neither is an unknown word', async () => {
    const before = await endsAt();
    expect(await reactionTo('writer', Array(5).fill('/preview extend 1h').join('\n'))).toEqual(['eyes', '+1']);
    expect(await endsAt()).toBe(before + 5 * 3_600_000);
    expect(await reactionTo('writer', '/preview exntend 2d')).toEqual(['confused']);
    expect(await reactionTo('writer', Array(6).fill('/preview extend 1h').join('\n'))).toContain('confused');
  });
});

describe('the gate', () => {
  const at = (host: string, headers: Readonly<Record<string, string>> = {}) =>
    get(w.mayfly.gateUrl, { path: '/', headers: { host, ...headers } });
  const HTML = { accept: 'text/html' };
  const JSON_WANTED = { accept: 'application/json' };

  test('before the first launch: a page that reloads itself, and words for programs, both 503 with Retry-After', async () => {
    const { pull } = await opened(slowBuild('never'));
    await w.reaches(pull, 'building');
    const [page, told] = [await w.visit(pull, '/', HTML), await w.visit(pull, '/', JSON_WANTED)];
    expect(page).toMatchObject({
      status: 503,
      headers: { 'retry-after': expect.any(String), 'content-type': expect.stringContaining('text/html') },
    });
    expect(told).toMatchObject({
      status: 503,
      headers: { 'retry-after': expect.any(String), 'content-type': expect.stringContaining('json') },
    });
    expect(JSON.parse(told.body)).toMatchObject({ status: 503, code: expect.any(String) });
    await w.github.close(pull);
    await w.reaches(pull, 'ended');
  });

  test('ready, rebuilding, failed and ended, under every spelling of the host', async () => {
    const { pull } = await opened(builtApp('first'));
    const { host } = await w.reaches(pull, 'ready');
    const name = `${host}.preview.localhost`;
    for (const spelling of [name, name.toUpperCase(), `${name}.`, `${name}:8080`, `${name}.:80`]) {
      expect(await at(spelling), spelling).toMatchObject({ status: 200, body: 'first' });
    }
    for (const other of [`x.${name}`, host, 'preview.localhost', `${host}x.preview.localhost`, 'localhost', `${name}.evil.example`]) {
      expect((await at(other)).status, other).toBe(404);
    }
    const slow = await w.github.push(pull, slowBuild('second'));
    await w.reaches(pull, 'building', slow);
    expect((await at(name)).body).toBe('first');
    const bad = await w.github.push(pull, { 'build.js': 'process.exit(1)' });
    await w.reaches(pull, 'failed', bad);
    expect((await at(name)).body).toBe('first');
    await w.github.close(pull);
    await w.reaches(pull, 'ended');
    expect(await at(name, HTML)).toMatchObject({ status: 410, headers: { 'content-type': expect.stringContaining('text/html') } });
    expect(await at(name, JSON_WANTED)).toMatchObject({ status: 410, headers: { 'content-type': expect.stringContaining('json') } });
  });

  test('failed before anything was live: a page that says so', async () => {
    const { pull } = await opened({ ...builtApp(''), 'build.js': 'process.exit(1)' });
    await w.reaches(pull, 'failed');
    const page = await w.visit(pull, '/', HTML);
    expect(page.status).toBeGreaterThanOrEqual(500);
    expect(page.body).toContain('failed');
    expect(page.headers['x-robots-tag']).toBe('noindex, nofollow');
  });
});
