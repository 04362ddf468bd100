import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, request } from 'node:http';
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
