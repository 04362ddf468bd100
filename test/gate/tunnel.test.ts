import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { expect, test } from 'vitest';
import { createWorld, HOST, raw, siteAs, type World } from './world.ts';

/** The smallest WebSocket server there is: short text frames, sent back as they came. */
function echo(w: World): void {
  w.app.on('upgrade', (request, socket, head) => {
    socket.on('error', () => socket.destroy()).on('end', () => socket.end());
    if (request.headers.upgrade !== 'websocket') {
      socket.write('HTTP/1.1 101 Ok\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\nhello ');
      socket.write(head);
      socket.pipe(socket);
      return;
    }
    const accept = createHash('sha1')
      .update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
      .digest('base64');
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
    socket.on('data', (frame: Buffer) => {
      const length = (frame[1] ?? 0) & 127;
      const mask = frame.subarray(2, 6);
      const payload = frame.subarray(6, 6 + length).map((byte, index) => byte ^ (mask[index % 4] ?? 0));
      socket.write(Buffer.concat([Buffer.from([frame[0] ?? 0, length]), payload]));
      // A closing frame: the server hangs up first.
      if (((frame[0] ?? 0) & 15) === 8) socket.end();
    });
  });
}

const upgrade = (protocol: string) => `GET / HTTP/1.1\r\nHost: ${HOST}\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n\r\n`;

test('a real WebSocket client talks to the app through the gate', async () => {
  await using w = await createWorld((_, response) => response.end());
  echo(w);
  // The client names the host that it connects to: a door on the way writes the site's in its place.
  const door = createServer((from) => {
    const to = connect(w.gate.port, '127.0.0.1');
    from.once('data', (head) => {
      to.write(String(head).replace(/host: .*/i, `Host: ${HOST}`));
      from.pipe(to).pipe(from);
    });
  }).listen(0);
  await once(door, 'listening');
  const address = door.address();
  const socket = new WebSocket(`ws://127.0.0.1:${address !== null && typeof address === 'object' ? address.port : 0}/chat`);
  await once(socket, 'open');
  const answer = once(socket, 'message');
  socket.send('hello');
  expect((await answer)[0]).toMatchObject({ data: 'hello' });
  socket.close();
  await once(socket, 'close');
  door.close();
  await expect.poll(() => w.runner.visits).toBe(0);
});

test('frames pass in both directions, and the end is passed on', async () => {
  await using w = await createWorld((_, response) => response.end());
  echo(w);
  const socket = connect(w.gate.port, '127.0.0.1');
  socket.write(upgrade('websocket').replace('\r\n\r\n', '\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'));
  const head = String((await once(socket, 'data'))[0]);
  expect(head).toMatch(/^HTTP\/1\.1 101 /);
  expect(head).toContain('X-Robots-Tag: noindex, nofollow');
  expect(w.runner.visits).toBe(1);
  socket.write(Buffer.from([0x81, 0x82, 1, 2, 3, 4, 0x68 ^ 1, 0x69 ^ 2]));
  expect((await once(socket, 'data'))[0]).toEqual(Buffer.from([0x81, 2, 0x68, 0x69]));
  socket.destroy();
  await expect.poll(() => w.runner.visits).toBe(0);
});

test('another protocol: what came early is not lost, and a half-closed connection still hears the rest', async () => {
  await using w = await createWorld((_, response) => response.end());
  echo(w);
  const socket = connect({ port: w.gate.port, host: '127.0.0.1', allowHalfOpen: true });
  socket.end(`${upgrade('raw')}early`);
  let text = '';
  for await (const chunk of socket) text += chunk;
  expect(text).toMatch(/\r\n\r\nhello early$/);
});

test('a site with nothing to show refuses an upgrade with words', async () => {
  await using w = await createWorld((_, response) => response.end());
  w.put(siteAs({ status: 'queued', since: new Date(0) }));
  expect(await raw(w, upgrade('websocket'))).toMatch(/^HTTP\/1\.1 503[\s\S]*about to be built/);
});

test('an app that does not upgrade answers as usual', async () => {
  await using w = await createWorld((_, response) => response.writeHead(426).end('no'));
  expect(await raw(w, upgrade('websocket'))).toMatch(/^HTTP\/1\.1 426[\s\S]*no/);
});

test('a body, or HTTP/2, is never taken for the beginning of another protocol', async () => {
  await using w = await createWorld((request, response) =>
    request.on('end', () => response.end(`plain ${request.headers.upgrade}`)).resume(),
  );
  expect(await raw(w, upgrade('h2c').replace('Upgrade\r\n', 'Upgrade, close\r\n'))).toContain('plain undefined');
  const posted = upgrade('websocket').replace('GET', 'POST').replace('\r\n\r\n', '\r\nContent-Length: 2\r\n\r\nhi');
  expect(await raw(w, posted.replace('Upgrade\r\n', 'Upgrade, close\r\n'))).toContain('plain undefined');
});

test('stopping closes what was upgraded', async () => {
  await using w = await createWorld((_, response) => response.end());
  echo(w);
  const socket = connect(w.gate.port, '127.0.0.1');
  socket.write(upgrade('raw'));
  await once(socket, 'data');
  const closed = once(socket.resume(), 'close');
  await w.gate[Symbol.asyncDispose]();
  await closed;
});
