import { once } from 'node:events';
import http from 'node:http';
import { connect } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { expect, test } from 'vitest';
import { createWorld, HOST, raw, readyAs, type World } from './world.ts';

test('a request goes to the app, its answer to the visitor, and search engines are told to stay out', async () => {
  await using w = await createWorld((request, response) => {
    response.writeHead(201, { 'X-Robots-Tag': 'all', 'Set-Cookie': ['a=1', 'b=2'] });
    request.pipe(response);
  });
  const answer = await w.ask('/x?y=1', { method: 'POST', send: 'hello' });
  expect(answer).toMatchObject({ status: 201, body: 'hello' });
  expect(answer.headers['x-robots-tag']).toBe('noindex, nofollow');
  expect(answer.headers['set-cookie']).toEqual(['a=1', 'b=2']);
  await expect.poll(() => w.runner.visits).toBe(0);
});

test('the app learns who asks and how, and nothing of that can be made up', async () => {
  await using w = await createWorld((request, response) => response.end(JSON.stringify(request.headers)));
  const spoofed = {
    'X-Forwarded-For': '6.6.6.6',
    'X-Forwarded-Proto': 'https',
    'X-Forwarded-Host': 'bank.example',
    'X-Real-IP': '6.6.6.6',
    Forwarded: 'for=6.6.6.6',
    Connection: 'keep-alive, X-Secret',
    'X-Secret': 'for the neighbour only',
    'Proxy-Authorization': 'Basic x',
  };
  const seen = JSON.parse((await w.ask('/', { headers: spoofed })).body);
  expect(seen).toMatchObject({
    host: HOST,
    'x-forwarded-for': '127.0.0.1',
    'x-forwarded-proto': 'http',
    'x-forwarded-host': HOST,
    'x-forwarded-port': '80',
    'x-real-ip': '127.0.0.1',
    forwarded: `for=127.0.0.1;host="${HOST}";proto=http`,
  });
  expect(seen).not.toHaveProperty('x-secret');
  expect(seen).not.toHaveProperty('proxy-authorization');
});

test('256 MiB go up and down again as a stream, in little memory', async () => {
  await using w = await createWorld((request, response) => request.pipe(response));
  const before = process.memoryUsage().rss;
  let peak = 0;
  const chunk = Buffer.alloc(64 * 1024, 7);
  const total = 4_096 * chunk.length;
  const request = http.request({ port: w.gate.port, method: 'PUT', path: '/', headers: { host: HOST }, agent: false });
  const sent = pipeline(Readable.from(repeat(chunk, 4_096)), request);
  const [response]: http.IncomingMessage[] = await once(request, 'response');
  let received = 0;
  for await (const part of response ?? []) {
    received += part.length;
    peak = Math.max(peak, process.memoryUsage().rss - before);
  }
  await sent;
  expect(received).toBe(total);
  // Three sides of it are in this process, and garbage is collected late; held back, it would be 256 MiB at least.
  expect(peak).toBeLessThan(192 * 2 ** 20);
});

function* repeat(chunk: Buffer, times: number) {
  for (let index = 0; index < times; index++) yield chunk;
}

test('trailers pass in both directions', async () => {
  await using w = await createWorld((request, response) => {
    request.resume().on('end', () => {
      response.writeHead(200, { Trailer: 'X-Sum' });
      response.write('body');
      response.addTrailers({ 'X-Sum': String(request.trailers['x-check']) });
      response.end();
    });
  });
  const wire = await raw(
    w,
    `POST / HTTP/1.1\r\nHost: ${HOST}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\nhi\r\n0\r\nX-Check: 42\r\n\r\n`,
  );
  expect(wire).toContain('X-Sum: 42');
});

test('the app decides about 100-continue, and hints early', async () => {
  await using w = await createWorld((_, response) => response.end());
  w.app.on('checkContinue', (request, response) => {
    if (request.url === '/no') return response.writeHead(417).end();
    response.writeContinue();
    response.writeEarlyHints({ link: '</a.css>; rel=preload' });
    request.pipe(response);
  });
  const head = (path: string) =>
    `PUT ${path} HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n`;
  const taken = await raw(w, `${head('/yes')}ok`);
  expect(taken).toMatch(
    /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 103 Early Hints\r\nLink: <\/a\.css>; rel=preload\r\n\r\nHTTP\/1\.1 200 OK/,
  );
  expect(await raw(w, `${head('/no')}ok`)).toMatch(/^HTTP\/1\.1 417/);
});

test('server-sent events arrive one by one, the head first', async () => {
  const { promise: go, resolve: proceed } = Promise.withResolvers<void>();
  await using w = await createWorld(async (_, response) => {
    response.writeHead(200, { 'Content-Type': 'text/event-stream' }).flushHeaders();
    await go;
    response.write('data: 1\n\n');
  });
  const request = http.get({ port: w.gate.port, headers: { host: HOST }, agent: false });
  const [response]: http.IncomingMessage[] = await once(request, 'response');
  proceed();
  if (!response) throw new Error('no response');
  expect(String((await once(response, 'data'))[0])).toBe('data: 1\n\n');
  request.destroy();
  await expect.poll(() => w.runner.visits).toBe(0);
});

test('connections to the app are kept, and a dead one is replaced without a word', async () => {
  const kept = new Set<object>();
  await using w = await createWorld((request, response) => {
    kept.add(request.socket);
    response.end('ok');
  });
  for (let index = 0; index < 5; index++) expect((await w.ask('/')).body).toBe('ok');
  expect(kept.size).toBe(1);
  // As if the app had closed it in the very moment in which the gate used it again.
  w.app.removeAllListeners('request').on('request', (request, response) => {
    if (kept.has(request.socket)) request.socket.destroy();
    else response.end('again');
  });
  expect(await w.ask('/')).toMatchObject({ status: 200, body: 'again' });
});

test('a connection that the app keeps for one second only is not used again', async () => {
  const used = new Set<object>();
  await using w = await createWorld((request, response) => {
    used.add(request.socket);
    response.end('ok');
  });
  w.app.keepAliveTimeout = 1_000;
  for (let index = 0; index < 3; index++) expect((await w.ask('/')).body).toBe('ok');
  expect(used.size).toBe(3);
});

test.each([1, 3])('after %i requests an idle connection is closed by the gate before the app does it', async (requests) => {
  const closers: Promise<string>[] = [];
  const used = new Set<object>();
  await using w = await createWorld(({ socket }, response) => {
    if (!used.has(socket)) closers.push(Promise.race([once(socket, 'end').then(() => 'gate'), once(socket, 'close').then(() => 'app')]));
    used.add(socket);
    response.end('ok');
  });
  // The app says four seconds and stays for some more, so that a busy machine makes no difference.
  Object.assign(w.app, { keepAliveTimeout: 4_000, keepAliveTimeoutBuffer: 5_000 });
  for (let index = 0; index < requests; index++) expect((await w.ask('/')).body).toBe('ok');
  expect(used.size).toBe(1);
  expect(await Promise.all(closers)).toEqual(['gate']);
});

test('a connection that is kept to one app is never used for another', async () => {
  await using other = await createWorld((_, response) => response.end('other'));
  await using w: World = await createWorld((_, response) => response.end('one'), {
    runner: {
      reach: async (service) => ({ socket: String((service === 'site/one' ? w : other).app.address()) }),
      visit: () => ({ [Symbol.dispose]: () => undefined }),
      isAwake: () => true,
    },
  });
  for (const service of ['one', 'other', 'one', 'other']) {
    w.put(readyAs({ kind: 'process', service: `site/${service}` }));
    expect((await w.ask('/')).body).toBe(service);
  }
});

test('an app waits for a visitor who does not read, and nothing is lost', async () => {
  const chunk = Buffer.alloc(64 * 1024, 7);
  const total = 2_048 * chunk.length;
  let sent = 0;
  await using w = await createWorld(async (_, response) => {
    for (; sent < total; sent += chunk.length) if (!response.write(chunk)) await once(response, 'drain');
    response.end();
  });
  const request = http.get({ port: w.gate.port, headers: { host: HOST }, agent: false });
  const [response]: http.IncomingMessage[] = await once(request, 'response');
  let before = -1;
  await expect
    .poll(() => {
      const stands = sent === before;
      before = sent;
      return stands;
    })
    .toBe(true);
  // Some of it is with the system, in the buffers of four sockets.
  expect(sent).toBeLessThan(total / 2);
  let received = 0;
  for await (const part of response ?? []) received += part.length;
  expect(received).toBe(total);
});

test('a visitor who leaves ends the request to the app', async () => {
  const { promise: left, resolve } = Promise.withResolvers<void>();
  const { promise: asked, resolve: arrived } = Promise.withResolvers<void>();
  await using w = await createWorld((request) => {
    request.once('close', () => resolve());
    arrived();
  });
  const request = http.get({ port: w.gate.port, headers: { host: HOST }, agent: false }).on('error', () => undefined);
  await asked;
  request.destroy();
  await left;
  await expect.poll(() => w.runner.visits).toBe(0);
});

test('an answer that is cut off does not look whole', async () => {
  await using w = await createWorld((_, response) => {
    response.writeHead(200, { 'Content-Length': '100' });
    response.write('some', () => response.destroy());
  });
  await expect(w.ask('/')).rejects.toMatchObject({ code: 'ECONNRESET' });
});

test('an app that is too slow gets a page of ours in its place', async () => {
  await using w = await createWorld(() => undefined, { times: { answer: 50 } });
  expect(await w.ask('/')).toMatchObject({ status: 504 });
});

test('an answer that begins before the upload ends may go on for as long as it likes', async () => {
  const { promise: go, resolve: proceed } = Promise.withResolvers<void>();
  await using w = await createWorld(
    async (request, response) => {
      if (request.method === 'GET') return;
      response.writeHead(200).flushHeaders();
      await go;
      response.end('all of it');
    },
    { times: { answer: 50 } },
  );
  const request = http.request({ port: w.gate.port, method: 'PUT', path: '/', headers: { host: HOST }, agent: false });
  request.write('some');
  const [response]: http.IncomingMessage[] = await once(request, 'response');
  request.end();
  await once(request, 'finish');
  // By then the time in which an answer has to begin is over.
  expect(await w.ask('/')).toMatchObject({ status: 504 });
  proceed();
  let body = '';
  for await (const chunk of response ?? []) body += chunk;
  expect(body).toBe('all of it');
});

test('an app that crashes or is gone gets a page of ours in its place', async () => {
  await using w = await createWorld((_, response) => response.destroy());
  expect(await w.ask('/')).toMatchObject({ status: 502 });
  w.app.closeAllConnections();
  w.app.close();
  expect(await w.ask('/', { method: 'POST', send: 'x' })).toMatchObject({ status: 502 });
});

test.each([
  ['a length and chunks', 'Content-Length: 3\r\nTransfer-Encoding: chunked'],
  ['two lengths', 'Content-Length: 3\r\nContent-Length: 4'],
  ['another coding', 'Transfer-Encoding: gzip, chunked'],
  ['chunks in disguise', 'Transfer-Encoding: xchunked'],
  ['two hosts', 'Host: other.preview.test'],
  ['a length that is none', 'Content-Length: +3'],
  ['a folded header', 'X-A: b\r\n c'],
  ['a space before the colon', 'Content-Length : 3'],
])('a request with %s is refused and never reaches the app', async (_, header) => {
  let asked = 0;
  await using w = await createWorld((__, response) => {
    asked++;
    response.end();
  });
  const wire = await raw(
    w,
    `POST / HTTP/1.1\r\nHost: ${HOST}\r\n${header}\r\nConnection: close\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`,
  );
  expect(wire).toMatch(/^HTTP\/1\.1 400 /);
  expect(wire).toContain('X-Robots-Tag: noindex, nofollow');
  expect(asked).toBe(0);
});

test('a visitor who never finishes the head is sent away', async () => {
  await using w = await createWorld((_, response) => response.end(), { times: { head: 100 } });
  const socket = connect(w.gate.port, '127.0.0.1');
  socket.write('GET / HTTP/1.1\r\nHost:');
  expect(String((await once(socket, 'data'))[0])).toMatch(/^HTTP\/1\.1 408/);
  await once(socket, 'close');
});

test('an upload that stalls is cut off, an answer that is silent is not', async () => {
  const { promise: go, resolve: proceed } = Promise.withResolvers<void>();
  await using w = await createWorld(
    async (request, response) => {
      if (request.method === 'PUT') return void request.resume();
      await go;
      response.end('late but well');
    },
    { times: { stall: 80 } },
  );
  const quiet = w.ask('/');
  const socket = connect(w.gate.port, '127.0.0.1').resume();
  socket.write(`PUT / HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 100\r\n\r\nsome`);
  await once(socket, 'close');
  proceed();
  expect((await quiet).body).toBe('late but well');
});

test('stopping finishes what is in flight and takes nothing new', async () => {
  const { promise: asked, resolve: arrived } = Promise.withResolvers<void>();
  const { promise: go, resolve: proceed } = Promise.withResolvers<void>();
  await using w = await createWorld(async (_, response) => {
    arrived();
    await go;
    response.end('done');
  });
  const answer = w.ask('/', { agent: new http.Agent({ keepAlive: true }) });
  await asked;
  const stopped = w.gate[Symbol.asyncDispose]();
  await expect(w.ask('/')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  proceed();
  expect((await answer).body).toBe('done');
  await stopped;
});
