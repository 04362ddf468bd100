import { execFileSync } from 'node:child_process';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { toNames } from '../../src/gate/file-path.ts';
import { serveFile } from '../../src/gate/files.ts';
import { createWorld, HOST, raw, readyAs, type World } from './world.ts';

let w: World;
beforeAll(async () => {
  w = await createWorld((_, response) => response.end());
  const site = join(w.folder, 'site');
  await mkdir(join(site, 'docs'), { recursive: true });
  await mkdir(join(site, 'bare'));
  await mkdir(join(site, '.git'));
  await writeFile(join(w.folder, 'secret.txt'), 'SECRET');
  await writeFile(join(site, '.env'), 'SECRET');
  await writeFile(join(site, '.git', 'config'), 'SECRET');
  await writeFile(join(site, 'index.html'), '<h1>start</h1>');
  await writeFile(join(site, 'about.html'), 'about');
  await writeFile(join(site, 'docs', 'index.html'), 'docs');
  await writeFile(join(site, '404.html'), 'own 404');
  await writeFile(join(site, 'ten.txt'), '0123456789');
  await writeFile(join(site, 'empty.css'), '');
  await writeFile(join(site, 'naïve file.json'), '{}');
  await symlink('../secret.txt', join(site, 'out.txt'));
  await symlink('..', join(site, 'up'));
  await symlink('.git/config', join(site, 'hidden.txt'));
  await symlink('ten.txt', join(site, 'in.txt'));
  await symlink('loop', join(site, 'loop'));
  execFileSync('mkfifo', [join(site, 'pipe')]);
  w.put(readyAs({ kind: 'static', folder: site }));
});
afterAll(() => w[Symbol.asyncDispose]());

test.each([
  ['/', 200, '<h1>start</h1>', 'text/html; charset=utf-8'],
  ['/index.html?x', 200, '<h1>start</h1>', 'text/html; charset=utf-8'],
  ['/about', 200, 'about', 'text/html; charset=utf-8'],
  ['/docs/', 200, 'docs', 'text/html; charset=utf-8'],
  ['/ten.txt', 200, '0123456789', 'text/plain; charset=utf-8'],
  ['/in.txt', 200, '0123456789', 'text/plain; charset=utf-8'],
  ['/empty.css', 200, '', 'text/css; charset=utf-8'],
  ['/na%C3%AFve%20file.json', 200, '{}', 'application/json; charset=utf-8'],
  ['/nothing', 404, 'own 404', 'text/html; charset=utf-8'],
])('%s is answered with %i', async (path, status, body, type) => {
  const answer = await w.ask(path);
  expect(answer).toMatchObject({ status, body });
  expect(answer.headers).toMatchObject({ 'content-type': type, 'x-robots-tag': 'noindex, nofollow', 'cache-control': 'no-cache' });
  const head = await w.ask(path, { method: 'HEAD' });
  expect(head).toMatchObject({ status, body: '', headers: { 'content-length': String(Buffer.byteLength(body)) } });
});

test('a visitor who is slow to read gets all of a small file, and a body that never ends is cut off after that', async () => {
  const text = 'x'.repeat(200_000);
  await writeFile(join(w.folder, 'site', 'large.txt'), text);
  const [served, reads, over] = [Promise.withResolvers<boolean>(), Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const visitor = { address: '::1', proto: 'http', chain: [], port: '80' } as const;
  const server = createServer((request, response) => {
    const exchange = { request, response, path: '/large.txt', authority: HOST, visitor, upgrade: null };
    serveFile(exchange, { folder: 'site', dataDir: w.folder }).then(served.resolve, served.reject);
    response.once('close', over.resolve);
  });
  let answer = '';
  const line = new Duplex({
    read: () => undefined,
    // What the visitor does not read is not sent.
    async write(chunk, _, sent) {
      await reads.promise;
      if (!line.destroyed) answer += chunk;
      sent();
    },
  });
  server.emit('connection', line);
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  using _timers = { [Symbol.dispose]: () => vi.useRealTimers() };
  line.push(`GET /large.txt HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 5\r\n\r\n`);
  expect(await served.promise).toBe(true);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(line.destroyed).toBe(false);
  reads.resolve();
  await over.promise;
  const [head, body] = answer.split('\r\n\r\n');
  expect([head?.split('\r\n')[0], body?.length]).toEqual(['HTTP/1.1 200 OK', text.length]);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(line.destroyed).toBe(true);
});

test.each([
  ['/docs?a=b', '/docs/?a=b'],
  ['/about/', '/about'],
])('%s leads to %s', async (path, location) => {
  expect(await w.ask(path)).toMatchObject({ status: 302, headers: { location } });
});

test.each([
  '/bare',
  '/bare/',
  '/.env',
  '/.git/config',
  '/hidden.txt',
  '/out.txt',
  '/up/secret.txt',
  '/loop',
  '/pipe',
  '/../secret.txt',
  '/%2e%2e/secret.txt',
  '/docs/..%2f..%2fsecret.txt',
  '/..%5csecret.txt',
  '/ten.txt%00.html',
  '/ten.txt/',
  '/ten.txt/x',
  '//ten.txt',
  '/docs//',
  '//evil.example/docs',
  '/%ff',
  '/%',
  '/docs%2findex.html',
  `/${'a'.repeat(300)}`,
])('%s is not there', async (path) => {
  expect(await w.ask(path)).toMatchObject({ status: 404, body: 'own 404' });
});

test('files are read, and nothing else', async () => {
  expect(await w.ask('/', { method: 'POST', send: 'x' })).toMatchObject({ status: 405, headers: { allow: 'GET, HEAD' } });
});

test('what the visitor has already is not sent again', async () => {
  const { etag = '', 'last-modified': modified = '' } = (await w.ask('/ten.txt')).headers;
  expect(etag).toMatch(/^"[\w-]{22}"$/);
  const status = async (headers: Record<string, string>) => (await w.ask('/ten.txt', { headers })).status;
  expect(await status({ 'If-None-Match': etag })).toBe(304);
  expect(await status({ 'If-None-Match': `"x", W/${etag}` })).toBe(304);
  expect(await status({ 'If-None-Match': '*' })).toBe(304);
  expect(await status({ 'If-None-Match': '"x"', 'If-Modified-Since': modified })).toBe(200);
  expect(await status({ 'If-Modified-Since': modified })).toBe(304);
  expect(await status({ 'If-Modified-Since': 'yesterday' })).toBe(200);
  expect(await status({ 'If-Match': etag })).toBe(200);
  expect(await status({ 'If-Match': '"x"' })).toBe(412);
  expect(await status({ 'If-Match': `W/${etag}` })).toBe(412);
  expect(await status({ 'If-Unmodified-Since': 'Thu, 01 Jan 1970 00:00:00 GMT' })).toBe(412);
});

test.each([
  ['bytes=0-3', 206, '0123', 'bytes 0-3/10'],
  ['bytes=7-', 206, '789', 'bytes 7-9/10'],
  ['bytes=-2', 206, '89', 'bytes 8-9/10'],
  ['bytes=-99', 206, '0123456789', 'bytes 0-9/10'],
  ['bytes=4-99', 206, '456789', 'bytes 4-9/10'],
  ['bytes=10-', 416, '', 'bytes */10'],
  ['bytes=-0', 416, '', 'bytes */10'],
  ['bytes=5-2', 200, '0123456789', undefined],
  ['lines=1-2', 200, '0123456789', undefined],
  ['bytes=0-,0-,0-', 200, '0123456789', undefined],
  ['bytes=x', 200, '0123456789', undefined],
])('Range: %s', async (range, status, body, contentRange) => {
  const answer = await w.ask('/ten.txt', { headers: { range } });
  expect(answer).toMatchObject({ status, body });
  expect(answer.headers['content-range']).toBe(contentRange);
});

test('several ranges come as parts', async () => {
  const answer = await w.ask('/ten.txt', { headers: { range: 'bytes=0-1,8-9' } });
  expect(answer.headers['content-type']).toMatch(/^multipart\/byteranges; boundary=/);
  expect(answer.headers['content-length']).toBe(String(answer.body.length));
  expect(answer.body.replaceAll(/[0-9a-f]{32}/g, 'B')).toMatchInlineSnapshot(`
    "
    --B
    Content-Type: text/plain; charset=utf-8
    Content-Range: bytes 0-1/10

    01
    --B
    Content-Type: text/plain; charset=utf-8
    Content-Range: bytes 8-9/10

    89
    --B--
    "
  `);
});

test('parts of another version are not mixed in', async () => {
  const { etag = '' } = (await w.ask('/ten.txt')).headers;
  const status = async (ifRange: string) => (await w.ask('/ten.txt', { headers: { range: 'bytes=0-1', 'If-Range': ifRange } })).status;
  expect(await status(etag)).toBe(206);
  expect(await status('"old"')).toBe(200);
  expect(await status(`W/${etag}`)).toBe(200);
  expect(await status('Thu, 01 Jan 1970 00:00:00 GMT')).toBe(200);
});

test('robots.txt is ours until the site has one', async () => {
  expect(await w.ask('/robots.txt')).toMatchObject({ status: 200, body: 'User-agent: *\nDisallow: /\n' });
  expect(await raw(w, `HEAD /robots.txt HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\n\r\n`)).toMatch(/^HTTP\/1\.1 200 /);
});

test('no path leads to a name that could leave the folder', () => {
  const piece = fc.oneof(
    fc.constantFrom('..', '.', '%2e', '%2F', '%5c', '/', '\\', '%00', '%', '%c0%af', 'a'),
    fc.string({ unit: 'binary' }),
  );
  fc.assert(
    fc.property(fc.array(piece), (pieces) => {
      const found = toNames(`/${pieces.join('')}`);
      for (const name of found?.names ?? []) {
        expect(name).not.toMatch(/^\.|^$|[/\\\u0000]/);
      }
    }),
    { numRuns: 2_000 },
  );
});
