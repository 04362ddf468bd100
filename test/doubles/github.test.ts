import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import { openGitHubWorld } from '../contract/github-world.ts';
import { createGitHub } from './github.ts';

/** A receiver of webhooks that answers `status`. */
async function openReceiver(status: number) {
  const received: { readonly headers: IncomingHttpHeaders; readonly body: Buffer }[] = [];
  const server = createServer(async (request, response) => {
    received.push({ headers: request.headers, body: await buffer(request) });
    response.writeHead(status).end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  return {
    url: `http://127.0.0.1:${port}/hook`,
    received,
    [Symbol.asyncDispose]: async () => void (await new Promise((resolve) => server.close(resolve))),
  };
}

test('webhooks are signed over their bytes, and a redelivery keeps its id', async () => {
  await using receiver = await openReceiver(202);
  await using github = await createGitHub({ webhookUrl: receiver.url });
  const repo = await github.createRepository({ name: 'acme/shop' });
  await github.openPull(repo);
  const delivery = github.deliveries.find(({ event }) => event === 'pull_request');
  if (!delivery) throw new Error('no delivery');
  await github.redeliver(delivery);
  const hooks = receiver.received.filter(({ headers }) => headers['x-github-event'] === 'pull_request');
  expect(hooks).toHaveLength(2);
  for (const { headers, body } of hooks) {
    expect(headers['x-hub-signature-256']).toBe(`sha256=${createHmac('sha256', github.webhookSecret).update(body).digest('hex')}`);
    expect(headers['x-github-delivery']).toBe(delivery.guid);
  }
  expect(delivery.statusCode).toBe(202);
});

test('a hook that nobody receives is noted as failed and changes nothing else', async () => {
  await using github = await createGitHub({ webhookUrl: 'http://127.0.0.1:9/' });
  const pull = await github.openPull(await github.createRepository({ name: 'acme/shop' }));
  expect(pull.state).toBe('open');
  expect(github.deliveries.map(({ statusCode }) => statusCode)).toEqual([0, 0]);
});

test('what GitHub would refuse is refused', async () => {
  await using w = await openGitHubWorld();
  const pull = await w.github.openPull(w.repo);
  const token = await w.app.token(Number(w.repository.access));
  const ask = async (method: string, path: string, body?: object, headers: Record<string, string> = {}) => {
    const sent = {
      'user-agent': 'test',
      accept: 'application/json',
      'content-type': 'application/json',
      authorization: `token ${token}`,
      ...headers,
    };
    const response = await fetch(`${w.github.url}${path}`, { method, headers: sent, ...(body ? { body: JSON.stringify(body) } : {}) });
    return response.status;
  };
  const repo = '/repos/acme/shop';
  expect(await ask('GET', repo)).toBe(200);
  expect(await ask('GET', repo, undefined, { authorization: 'token ghs_wrong' })).toBe(401);
  expect(await ask('GET', repo, undefined, { accept: 'text/html' })).toBe(415);
  expect(await ask('GET', '/app', undefined, { authorization: 'bearer a.b.c' })).toBe(401);
  expect(await ask('POST', `${repo}/issues/${pull.number}/comments`, { text: 'x' })).toBe(422);
  expect(await ask('POST', `${repo}/issues/${pull.number}/comments`, { body: 'x'.repeat(65_537) })).toBe(422);
  expect(await ask('POST', `${repo}/check-runs`, { name: 'a', head_sha: '0'.repeat(40) })).toBe(422);
  expect(await ask('POST', `${repo}/deployments`, { ref: pull.sha, environment: 'preview', auto_inactive: false })).toBe(422);
  expect(await ask('GET', `${repo}/pulls?stat=open`)).toBe(422);
});

test('a route that the double does not know is noted', async () => {
  await using github = await createGitHub();
  const response = await fetch(`${github.url}/repos/acme/shop/milestones`, {
    headers: { 'user-agent': 'test', accept: 'application/json' },
  });
  expect(response.status).toBe(404);
  expect(github.unknownRequests).toEqual(['api GET /repos/acme/shop/milestones']);
});
