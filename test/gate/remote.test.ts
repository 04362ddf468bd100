import { once } from 'node:events';
import http from 'node:http';
import { connect } from 'node:net';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { expect, test } from 'vitest';
import type { GateOptions } from '../../src/gate/gate.ts';
import { toLaunchId } from '../../src/site/identity.ts';
import { type CloudRun, createCloudRun, createIdentity, FORBIDDEN, googlesPage, NOT_THERE } from './cloud-run.ts';
import { LOCALHOST } from './localhost-tls.ts';
import { createWorld, HOST, liveAs, raw, readyAs, type World } from './world.ts';

const REGION = 'europe-west1';

type Remote = AsyncDisposable & { readonly run: CloudRun; readonly w: World; readonly identity: ReturnType<typeof createIdentity> };

/** A gate before one site on Cloud Run. */
async function createRemote(app: http.RequestListener, options: Partial<GateOptions> = {}, tls?: typeof LOCALHOST): Promise<Remote> {
  await using opening = new AsyncDisposableStack();
  const run = opening.use(await createCloudRun(app, tls));
  const said: string[] = [];
  const identity = createIdentity({ warn: (_, message) => said.push(message), error: (_, message) => said.push(message) });
  const w = opening.use(
    await createWorld((_, response) => response.end('not this one'), { identity: identity.identity, runner: null, ...options }),
  );
  w.put(readyAs({ kind: 'remote', origin: run.origin, region: REGION }));
  const owned = opening.move();
  return { run, w, identity, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

const html = { accept: 'text/html' };

test('a site on Cloud Run is reached with the gate’s identity, and the visitor’s own authorization goes through', async () => {
  await using r = await createRemote((request, response) => {
    response.setHeader('X-Seen', JSON.stringify(request.headers));
    request.pipe(response);
  });
  const spoofed = {
    'X-Serverless-Authorization': 'Bearer made.up.token',
    'X-Forwarded-Host': 'bank.example',
    'X-Forwarded-For': '6.6.6.6',
  };
  const answer = await r.w.ask('/x?y=1', { method: 'POST', send: 'hello', headers: { ...spoofed, Authorization: 'Basic dXNlcjpwdw==' } });
  expect(answer).toMatchObject({ status: 200, body: 'hello' });
  const seen = JSON.parse(String(answer.headers['x-seen']));
  expect(seen).toMatchObject({
    host: r.run.origin.slice('http://'.length),
    authorization: 'Basic dXNlcjpwdw==',
    'x-forwarded-host': HOST,
    'x-forwarded-for': '127.0.0.1',
    'x-forwarded-proto': 'http',
    'x-serverless-authorization': expect.stringMatching(/\.SIGNATURE_REMOVED_BY_GOOGLE$/),
  });
  expect(answer.headers['x-robots-tag']).toBe('noindex, nofollow');
});

test('one token serves every request to a site, and connections are kept', async () => {
  const kept = new Set<object>();
  await using r = await createRemote((request, response) => {
    kept.add(request.socket);
    response.end('ok');
  });
  await Promise.all(Array.from({ length: 10 }, () => r.w.ask('/')));
  kept.clear();
  for (let index = 0; index < 5; index++) expect((await r.w.ask('/')).body).toBe('ok');
  expect([r.identity.fetched, kept.size]).toEqual([[r.run.origin], 1]);
});

test('over TLS as in life: a certificate that is believed, connections that are kept, bodies, and other protocols', async () => {
  const before = getCACertificates('default');
  setDefaultCACertificates([...before, LOCALHOST.cert]);
  try {
    const kept = new Set<object>();
    await using r = await createRemote(
      (request, response) => {
        if (request.method === 'GET') kept.add(request.socket);
        request.pipe(response);
      },
      {},
      LOCALHOST,
    );
    for (let index = 0; index < 3; index++) expect((await r.w.ask('/')).status).toBe(200);
    expect(kept.size).toBe(1);
    for (const send of ['one', 'two']) expect((await r.w.ask('/', { method: 'POST', send })).body).toBe(send);
    expect(await upgraded(r.w)).toMatch(/^HTTP\/1\.1 101 [\s\S]*hello there$/);
  } finally {
    setDefaultCACertificates(before);
  }
});

test('a certificate that is not believed is no site', async () => {
  await using r = await createRemote((_, response) => response.end('ok'), {}, LOCALHOST);
  expect((await r.w.ask('/')).status).toBe(502);
});

test('what an app takes for its own address leads visitors to the preview', async () => {
  await using r = await createRemote((request, response) => {
    const { origin } = new URL(`http://${request.headers.host}`);
    const secure = origin.replace('http:', 'https:');
    const headers: Record<string, string | string[]> = {
      '/in': { Location: `${secure}/login?next=%2F#top` },
      '/out': { Location: 'https://accounts.example/login' },
      '/here': { Location: '/login' },
    }[request.url ?? ''] ?? {
      'Content-Location': `${origin}/page`,
      'Access-Control-Allow-Origin': origin,
      'Set-Cookie': ['a=1; Domain=127.0.0.1; Path=/', 'b=2; Domain=example.com', 'c=3; HttpOnly'],
      'Alt-Svc': 'h3=":443"',
    };
    response.writeHead('Location' in headers ? 302 : 200, headers).end();
  });
  const location = async (path: string) => (await r.w.ask(path)).headers.location;
  expect(await location('/in')).toBe(`http://${HOST}/login?next=%2F#top`);
  expect(await location('/out')).toBe('https://accounts.example/login');
  expect(await location('/here')).toBe('/login');
  const { headers } = await r.w.ask('/');
  expect(headers).toMatchObject({ 'content-location': `http://${HOST}/page`, 'access-control-allow-origin': `http://${HOST}` });
  expect(headers['set-cookie']).toEqual(['a=1; Path=/', 'b=2; Domain=example.com', 'c=3; HttpOnly']);
  expect(headers).not.toHaveProperty('alt-svc');
});

/** All that comes on a connection that asks for another protocol, until the app has sent back what it got. */
async function upgraded(w: World): Promise<string> {
  const socket = connect(w.gate.port, '127.0.0.1').setEncoding('utf8');
  socket.write(`GET /chat HTTP/1.1\r\nHost: ${HOST}\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\nthere`);
  let text = '';
  for await (const chunk of socket) {
    text += chunk;
    if (text.endsWith('there')) break;
  }
  return text;
}

test('a connection is handed over to a site on Cloud Run', async () => {
  await using r = await createRemote((_, response) => response.end());
  expect(await upgraded(r.w)).toMatch(/^HTTP\/1\.1 101 [\s\S]*hello there$/);
});

test('server-sent events arrive one by one', async () => {
  const { promise: go, resolve: proceed } = Promise.withResolvers<void>();
  await using r = await createRemote(async (_, response) => {
    response.writeHead(200, { 'Content-Type': 'text/event-stream' }).flushHeaders();
    await go;
    response.write('data: 1\n\n');
  });
  const request = http.get({ port: r.w.gate.port, headers: { host: HOST }, agent: false });
  const [response]: http.IncomingMessage[] = await once(request, 'response');
  proceed();
  if (!response) throw new Error('no response');
  expect(String((await once(response, 'data'))[0])).toBe('data: 1\n\n');
  request.destroy();
});

test('a browser is told that a site wakes, the others wait, and an app that answered is waited for', async () => {
  await using r = await createRemote((_, response) => response.end('awake'), { times: { wakePatience: 1 } });
  const first = Promise.withResolvers<void>();
  r.run.starting = first.promise;
  const waking = await r.w.ask('/', { headers: html });
  expect(waking).toMatchObject({ status: 503, headers: { 'retry-after': '2' } });
  expect(waking.body).toContain('This preview is waking up');
  const script = r.w.ask('/data');
  first.resolve();
  expect(await script).toMatchObject({ status: 200, body: 'awake' });
  const slow = Promise.withResolvers<void>();
  r.run.starting = slow.promise;
  const asked = r.run.asked();
  const page = r.w.ask('/', { headers: html });
  await expect.poll(() => r.run.asked()).toBe(asked + 1);
  // By now the patience with one that sleeps would be over.
  await r.w.ask('/', { headers: { host: 'nobody.preview.test' } });
  slow.resolve();
  expect(await page).toMatchObject({ status: 200, body: 'awake' });
});

test('the request that was told of waking is what wakes the app', async () => {
  const answered = Promise.withResolvers<void>();
  await using r = await createRemote(
    (_, response) => {
      response.end('awake');
      answered.resolve();
    },
    { times: { wakePatience: 1 } },
  );
  const { promise, resolve: start } = Promise.withResolvers<void>();
  r.run.starting = promise;
  expect((await r.w.ask('/', { headers: html })).status).toBe(503);
  start();
  await answered.promise;
  r.run.starting = Promise.resolve();
  await expect.poll(async () => (await r.w.ask('/', { headers: html })).status).toBe(200);
});

const TEXT = { 'Content-Type': 'text/plain' };
const FRONT_END =
  '<!DOCTYPE html>\n<html lang=en>\n  <meta charset=utf-8>\n  <title>Error 404 (Not Found)!!1</title>\n  <style>*{}</style>\n  <p><b>404.</b>\n';

test.each([
  ['not let in', FORBIDDEN, 502, 'This preview cannot be reached yet'],
  ['gone', NOT_THERE, 503, 'This preview is not there any more'],
  ['gone, as the front end says it', { status: 404, body: FRONT_END }, 503, 'This preview is not there any more'],
  ['busy', { status: 429, body: 'Rate exceeded.', headers: TEXT }, 503, 'This preview is busy'],
  ['broken', { status: 503, body: 'Service Unavailable', headers: TEXT }, 502, 'The app did not answer'],
  [
    'broken while it starts',
    {
      status: 500,
      body: googlesPage(
        500,
        'Server Error',
        'The server encountered an error and could not complete your request.<p>Please try again in 30 seconds.',
      ),
    },
    502,
    'The app did not answer',
  ],
  ['late', { status: 504, body: 'upstream request timeout', headers: TEXT }, 504, 'The app took too long'],
])('what Cloud Run says itself is shown as ours: %s', async (_, refusal, status, title) => {
  await using r = await createRemote((__, response) => response.end('ok'));
  r.run.refusal = refusal;
  const answer = await r.w.ask('/', { headers: html });
  expect(answer.status).toBe(status);
  expect(answer.body).toContain(`<span>${title}</span>`);
  expect(answer.body).not.toContain('Error:');
});

test.each([
  [
    'a page of its own',
    403,
    'text/html',
    '<html><head><title>403 Forbidden</title></head><body><h1>Error: Forbidden</h1></body></html>',
    {},
  ],
  ['the same words with a header of its own', 503, 'text/plain', 'Service Unavailable', { 'X-Powered-By': 'Express' }],
  ['data', 429, 'application/json', '{"error":"Rate exceeded."}', {}],
  ['another status', 404, 'text/plain', 'Rate exceeded.', {}],
  ['a long page', 404, 'text/html', `${NOT_THERE.body}${' '.repeat(8_192)}`, {}],
])('what the app says itself is passed on: %s', async (_, status, type, body, headers) => {
  await using r = await createRemote((__, response) => response.writeHead(status, { 'Content-Type': type, ...headers }).end(body));
  expect(await r.w.ask('/', { headers: html })).toMatchObject({ status, body });
});

test('a token that is refused is replaced, once', async () => {
  await using r = await createRemote((_, response) => response.end('ok'));
  expect((await r.w.ask('/')).status).toBe(200);
  const token = await r.identity.identity.tokenFor(r.run.origin);
  r.run.revoked.add(token);
  const answer = await r.w.ask('/', { headers: html });
  // Asked for again this soon the metadata server would give the same.
  expect(answer).toMatchObject({ status: 503 });
  expect(answer.body).toContain('Previews cannot be reached right now');
  expect(r.w.warnings).toContain("Cloud Run did not accept the gate's identity token");
});

test('a gate that Google gives no token shows a page, and so does one that has no identity at all', async () => {
  await using r = await createRemote((_, response) => response.end('ok'));
  r.identity.fails = true;
  expect(await r.w.ask('/', { headers: { accept: 'application/json' } })).toMatchObject({ status: 503 });
  expect(r.run.asked()).toBe(0);
  await using none = await createRemote((_, response) => response.end('ok'), { identity: null });
  expect((await none.w.ask('/', { headers: html })).body).toContain('Previews cannot be reached right now');
});

test('only what is over 32 MiB is refused, whether its length was told or not', async () => {
  await using r = await createRemote((request, response) => {
    let length = 0;
    request.on('data', (chunk: Buffer) => {
      length += chunk.length;
    });
    request.on('end', () => response.end(String(length)));
  });
  const limit = 32 * 2 ** 20;
  const most = await r.w.ask('/', { method: 'POST', send: 'x'.repeat(limit) });
  expect(most).toMatchObject({ status: 200, body: String(limit) });
  const asked = r.run.asked();
  const told = await raw(r.w, `PUT / HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: ${limit + 1}\r\nConnection: close\r\n\r\n`);
  expect(told).toMatch(/^HTTP\/1\.1 413 [\s\S]*This is too large to send\nPreviews on Google Cloud take requests of at most 32 MiB\./);
  expect(r.run.asked()).toBe(asked);
  const untold = http.request({ port: r.w.gate.port, method: 'POST', path: '/', headers: { host: HOST }, agent: false });
  untold.on('error', () => undefined);
  const answered = once(untold, 'response');
  const chunk = Buffer.alloc(2 ** 20);
  for (let sent = 0; sent <= limit; sent += chunk.length) untold.write(chunk);
  const [response]: http.IncomingMessage[] = await answered;
  expect(response?.statusCode).toBe(413);
  untold.destroy();
});

test('a service that was just replaced is looked for anew, one that is gone for good is not', async () => {
  await using r = await createRemote((_, response) => response.end('of the new one'));
  await using old = await createCloudRun((_, response) => response.end('of the old one'));
  r.w.put(readyAs({ kind: 'remote', origin: old.origin, region: REGION }));
  expect((await r.w.ask('/')).body).toBe('of the old one');
  old.refusal = NOT_THERE;
  expect((await r.w.ask('/', { headers: html })).body).toContain('This preview is not there any more');
  const live = { ...liveAs({ kind: 'remote', origin: r.run.origin, region: REGION }), revision: toLaunchId('01JNEXT') };
  r.w.putUnheard({ ...readyAs(live.served), live });
  expect((await r.w.ask('/')).body).toBe('of the new one');
});

test('a site that nothing answers for', async () => {
  await using r = await createRemote((_, response) => response.end());
  await r.run[Symbol.asyncDispose]();
  expect(await r.w.ask('/', { headers: html })).toMatchObject({ status: 502 });
});

test('search engines are kept out of a site that has no word for them', async () => {
  await using r = await createRemote((_, response) => response.writeHead(404).end());
  expect(await r.w.ask('/robots.txt')).toMatchObject({ status: 200, body: 'User-agent: *\nDisallow: /\n' });
});
