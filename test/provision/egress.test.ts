import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, request } from 'node:http';
import { connect, createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Egress, isReachable, openEgress } from '../../src/provision/egress.ts';

let folder: string;
let egress: Egress;
const local = createServer((_, answer) => answer.end('internal')).listen(0, '127.0.0.1');

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mayfly-egress-'));
  egress = await openEgress({
    socket: join(folder, 's'),
    log: () => {},
    resolve: async (name) => (name === 'mixed.example' ? ['8.8.8.8', '10.0.0.1'] : ['127.0.0.1']),
  });
});
afterAll(async () => {
  await egress[Symbol.asyncDispose]();
  local.close();
  await rm(folder, { recursive: true });
});

test.each([
  '127.0.0.1',
  '10.0.0.1',
  '172.16.0.1',
  '192.168.1.1',
  '169.254.169.254',
  '100.64.0.1',
  '0.0.0.0',
  '224.0.0.1',
  '240.0.0.1',
  '255.255.255.255',
  '::1',
  '::',
  'fe80::1',
  'fc00::1',
  '::ffff:169.254.169.254',
  '::ffff:8.8.8.8',
  '64:ff9b::a9fe:a9fe',
  '2002:7f00:1::',
  'fec0::1',
  'ff02::1',
  '127.1',
  '0x7f.1',
  'no address',
  '168.63.129.16',
])('no build reaches %s', (address) => expect(isReachable(address)).toBe(false));
test.each(['8.8.8.8', '203.0.113.80', '192.0.2.1', '2606:4700::1111', '2001:db8::1'])('a build may reach %s', (address) =>
  expect(isReachable(address)).toBe(true),
);

test.each([
  'rebound.example:443',
  'mixed.example:443',
  '127.0.0.1:443',
  '[::1]:443',
  '8.8.8.8:22',
  'metadata.google.internal:80',
  'nonsense',
])('CONNECT %s is refused', async (path) => {
  const status = await new Promise((resolve, reject) => {
    const outgoing = request({ socketPath: egress.socket, method: 'CONNECT', path });
    outgoing
      .on('connect', (answer) => resolve(answer.statusCode))
      .on('error', reject)
      .end();
  });
  expect([400, 403]).toContain(status);
});

test.each(['http://127.0.0.1/', 'http://rebound.example/', 'file:///etc/passwd', '/relative'])('GET %s is refused', async (path) => {
  const status = await new Promise((resolve, reject) => {
    request({ socketPath: egress.socket, path }, (answer) => resolve(answer.resume().statusCode))
      .on('error', reject)
      .end();
  });
  expect([400, 403]).toContain(status);
});

test.each([
  ['a status that is none', 'HTTP/1.1 099 No\r\ncontent-length: 0\r\n\r\n', 'cut'],
  ['trailers beside a length', 'HTTP/1.1 200 OK\r\ntrailer: x\r\ncontent-length: 2\r\n\r\nok', 200],
  ['a body that is cut off', 'HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok', 'cut'],
  ['an upgrade', 'HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n', 'cut'],
])('a server that answers with %s does Mayfly no harm', async (_, bytes, expected) => {
  await using far = await answeringWith(bytes);
  const answer = new Promise((resolve) => {
    const outgoing = request({ socketPath: far.proxy, path: `http://127.0.0.1:${far.port}/` }, (response) =>
      response
        .resume()
        .on('end', () => resolve(response.statusCode))
        .on('error', () => resolve('cut')),
    );
    outgoing.on('error', () => resolve('cut')).end();
  });
  expect(await answer).toBe(expected);
});

test('a build that announces trailers does Mayfly no harm', async () => {
  await using far = await answeringWith('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok');
  const said = await new Promise((resolve) => {
    const near = connect(far.proxy);
    near.on('close', () => resolve('cut')).once('data', (chunk: Buffer) => resolve(chunk.toString()));
    near.write(`POST http://127.0.0.1:${far.port}/ HTTP/1.1\r\nhost: x\r\ntrailer: x\r\nupgrade: x\r\ncontent-length: 2\r\n\r\nhi`);
  });
  expect(said).toMatch(/^HTTP\/1\.1 200/);
});

/** A server that sends these bytes to whoever asks, and a proxy of its own that leads there. */
async function answeringWith(bytes: string): Promise<AsyncDisposable & { readonly port: number; readonly proxy: string }> {
  const server = createTcpServer((socket) => socket.on('error', () => {}).once('data', () => socket.end(bytes)));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const opened = await openEgress({ socket: join(folder, 'far'), ports: [port], log: () => {}, allow: () => true });
  return {
    port,
    proxy: opened.socket,
    async [Symbol.asyncDispose]() {
      await opened[Symbol.asyncDispose]();
      server.close();
    },
  };
}
