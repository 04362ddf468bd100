import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { chooseRecipe } from '../../src/provision/targets/gcp/recipe.ts';

let origin: string;
let stop: () => Promise<unknown>;

/** The image's own command, on a folder of this machine. */
beforeAll(async () => {
  const folder = await mkdtemp(join(tmpdir(), 'mayfly-static-'));
  const site = join(folder, 'site');
  for (const name of ['docs', 'empty', '.well-known', '.git', 'a b']) await mkdir(join(site, name), { recursive: true });
  const files: Readonly<Record<string, string>> = {
    'index.html': '<h1>home</h1>',
    'about.html': 'about',
    'docs/index.html': 'docs',
    'app.js': '0123456789',
    '.env': 'secret',
    '.git/config': 'secret',
    '.well-known/x.txt': 'known',
    'a b/c.txt': 'space',
    '404.html': 'nothing here',
  };
  for (const [name, content] of Object.entries(files)) await writeFile(join(site, name), content);
  await symlink('/etc/passwd', join(site, 'passwd'));
  await symlink('app.js', join(site, 'link.js'));
  await symlink('/', join(site, 'all'));
  const recipe = await chooseRecipe(site, { root: '.', include: [], build: null, start: null, output: null, env: {} });
  if (recipe.kind !== 'generated') throw new Error('it is not generated');
  const [program = '', ...args]: string[] = JSON.parse(recipe.dockerfile.split('\nCMD ')[1] ?? '');
  const port = await freePort();
  const child = spawn(program, [...args.slice(0, -1), site], {
    env: { PATH: process.env.PATH, PORT: String(port) },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  origin = `http://127.0.0.1:${port}`;
  stop = () => {
    child.kill();
    return once(child, 'close');
  };
  while (
    !(await fetch(origin).then(
      () => true,
      () => false,
    ))
  )
    await delay(20);
});
afterAll(() => stop());

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  return typeof address === 'object' && address ? address.port : 0;
}

const get = async (path: string, init: RequestInit = {}) => {
  const response = await fetch(origin + path, { redirect: 'manual', ...init });
  return { status: response.status, body: await response.text(), headers: response.headers };
};

test.each([
  ['/', 200, '<h1>home</h1>'],
  ['/about', 200, 'about'],
  ['/docs/', 200, 'docs'],
  ['/app.js', 200, '0123456789'],
  ['/link.js', 200, '0123456789'],
  ['/a%20b/c.txt', 200, 'space'],
  ['/.well-known/x.txt', 200, 'known'],
  ['/nowhere', 404, 'nothing here'],
  ['/.env', 404, 'nothing here'],
  ['/.git/config', 404, 'nothing here'],
  ['/passwd', 404, 'nothing here'],
  ['/all/etc/passwd', 404, 'nothing here'],
  ['/..%2f..%2fetc/passwd', 404, 'nothing here'],
  ['/%2e%2e/%2e%2e/etc/passwd', 404, 'nothing here'],
  ['/a%00b', 404, 'nothing here'],
  ['/%', 400, ''],
])('%s is %i', async (path, status, body) => {
  expect(await get(path)).toMatchObject({ status, body });
});

test('folders and pages have one address', async () => {
  const about = await get('/about/');
  expect([about.status, about.headers.get('location')]).toEqual([302, '/about']);
  const docs = await get('/docs?x=1');
  expect([docs.status, docs.headers.get('location')]).toEqual([302, '/docs/?x=1']);
});

test('types, tags by content, ranges and methods', async () => {
  const whole = await get('/app.js');
  const etag = whole.headers.get('etag') ?? '';
  expect([whole.headers.get('content-type'), whole.headers.get('x-content-type-options')]).toEqual([
    'text/javascript; charset=utf-8',
    'nosniff',
  ]);
  expect((await get('/app.js', { headers: { 'if-none-match': etag } })).status).toBe(304);
  expect((await get('/link.js')).headers.get('etag')).toBe(etag);
  expect((await get('/about')).headers.get('etag')).not.toBe(etag);
  const part = await get('/app.js', { headers: { range: 'bytes=2-4' } });
  expect([part.status, part.body, part.headers.get('content-range')]).toEqual([206, '234', 'bytes 2-4/10']);
  expect((await get('/app.js', { headers: { range: 'bytes=20-' } })).status).toBe(416);
  expect(await get('/app.js', { method: 'HEAD' })).toMatchObject({ status: 200, body: '' });
  expect((await get('/', { method: 'POST' })).status).toBe(405);
});
