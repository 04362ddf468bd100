import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { request } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Files, Pull } from '../doubles/github.ts';
import { processes } from '../processes.ts';
import { createWorld, until, type World } from '../world.ts';
import { nodeApp } from './apps.ts';

const packageJson = (more: object = {}): string => JSON.stringify({ name: 'app', private: true, ...more });
const START = packageJson({ scripts: { start: 'node server.js' } });
const http = (answer: string, listen = 'listen(process.env.PORT)'): string => `
  const server = require('node:http').createServer((request, response) => { ${answer} });
  server.${listen};
`;
const MS: Files = {
  'package.json': packageJson({ scripts: { start: 'node server.js' }, dependencies: { ms: '2.1.3' } }),
  'package-lock.json': JSON.stringify({
    name: 'app',
    lockfileVersion: 3,
    requires: true,
    packages: {
      '': { name: 'app', dependencies: { ms: '2.1.3' } },
      'node_modules/ms': {
        version: '2.1.3',
        integrity: 'sha512-6FlzubTLZG3J2a/NVCAleEhjzq5oxgHyaCU9yYXvcLsvoVaHJq/s5xXI6/XXP6tz7R9xAOtHnSO/tXtF3WRTlA==',
      },
    },
  }),
  'server.js': http(`response.end('v1 ' + require('ms')(60000))`),
};

describe('an app', () => {
  let w: World;
  let made = 0;
  beforeAll(async () => {
    w = await createWorld();
  });
  afterAll(() => w[Symbol.asyncDispose]());
  const open = async (files: Files, main: Files = { 'README.md': 'nothing yet' }): Promise<Pull> => {
    const repo = await w.github.createRepository({ name: `apps-${++made}/app`, files: main });
    return w.github.openPull(repo, { files });
  };
  const newest = async (pull: Pull) => {
    const site = await w.siteOf(pull);
    return site && (await w.mayfly.store.launches.of(site.id, 1))[0];
  };

  test('by its Procfile, without a package.json', async () => {
    const pull = await open({ Procfile: 'release: false\nweb: node server.js\n', 'server.js': http(`response.end('by Procfile')`) });
    await w.reaches(pull, 'ready');
    expect((await w.visit(pull)).body).toBe('by Procfile');
    expect(w.comment(pull)).toContain('`node server.js`');
  });

  test('with a dependency: installed the first time, from the cache for the next push, built anew when the lock file is another', async () => {
    const pull = await open(MS);
    await w.reaches(pull, 'ready');
    expect((await w.visit(pull)).body).toBe('v1 1m');
    expect(await newest(pull)).toMatchObject({ notes: { cache: 'none', detected: 'npm, `npm start`' } });
    const warm = await w.github.push(pull, { 'server.js': http(`response.end('v2 ' + require('ms')(60000))`) });
    await w.reaches(pull, 'ready', warm);
    expect((await w.visit(pull)).body).toBe('v2 1m');
    expect(await newest(pull)).toMatchObject({ notes: { cache: 'dependencies' } });
    expect(w.comment(pull)).toContain('dependencies from cache');
  });

  test('a lock file that does not fit its package.json fails the install, and the log says so', async () => {
    const pull = await open({
      ...MS,
      'package.json': packageJson({ scripts: { start: 'node server.js' }, dependencies: { ms: '1.0.0' } }),
    });
    await w.reaches(pull, 'failed');
    expect(w.comment(pull)).toContain('`npm ci` exited with 1');
    expect(w.comment(pull)).toContain("lock file's ms@2.1.3 does not satisfy ms@1.0.0");
    expect(w.comment(pull)).not.toContain('npm help');
  });

  test.each([
    ['on 127.0.0.1 only', `listen(process.env.PORT, '127.0.0.1')`],
    ['on all of IPv4', `listen(process.env.PORT, '0.0.0.0')`],
    ['on ::', `listen(process.env.PORT, '::')`],
    ['on ::1 only', `listen(process.env.PORT, '::1')`],
    ['on localhost, whatever that is', `listen(process.env.PORT, 'localhost')`],
    ['on the host that it is told', `listen(process.env.PORT, process.env.HOST)`],
  ])('listens %s', async (_, listen) => {
    const pull = await open({ 'package.json': START, 'server.js': http(`response.end('heard')`, listen) });
    await w.reaches(pull, 'ready');
    expect((await w.visit(pull)).body).toBe('heard');
  });

  test('on a port of its own, and healthy only after a while', async () => {
    const answer = `
      const isUp = process.uptime() > 1;
      if (request.url === '/healthz') response.writeHead(isUp ? 200 : 503).end();
      else response.end(isUp ? 'warm' : 'cold');
    `;
    const pull = await open({
      'package.json': START,
      'server.js': http(answer, 'listen(4567)'),
      '.mayfly.yml': 'port: 4567\nhealth: /healthz\n',
    });
    await w.reaches(pull, 'ready');
    expect((await w.visit(pull)).body).toBe('warm');
  });

  test('a large upload and the same back, byte for byte', async () => {
    const pull = await open({ 'package.json': START, 'server.js': http(`response.writeHead(200); request.pipe(response);`) });
    const site = await w.reaches(pull, 'ready');
    const body = randomBytes(50 * 1024 * 1024);
    const outgoing = request(w.mayfly.gateUrl, { method: 'POST', headers: { host: `${site.host}.preview.localhost` } });
    const back = createHash('sha256');
    const answered = once(outgoing, 'response').then(async ([incoming]) => {
      for await (const chunk of incoming) back.update(chunk);
    });
    outgoing.end(body);
    await answered;
    expect(back.digest('hex')).toBe(createHash('sha256').update(body).digest('hex'));
  });

  test('an upgraded connection goes both ways through the gate', async () => {
    const upgrade = `on('upgrade', (request, socket) => {
      socket.write('HTTP/1.1 101 Switching Protocols\\r\\nConnection: Upgrade\\r\\nUpgrade: echo\\r\\n\\r\\n');
      socket.on('error', () => {}).pipe(socket);
    }).listen(process.env.PORT)`;
    const pull = await open({ 'package.json': START, 'server.js': http(`response.end()`, upgrade) });
    const site = await w.reaches(pull, 'ready');
    const headers = { host: `${site.host}.preview.localhost`, connection: 'Upgrade', upgrade: 'echo' };
    const [, socket] = await once(request(w.mayfly.gateUrl, { headers }).end(), 'upgrade');
    socket.write('there and back');
    expect(String((await once(socket, 'data'))[0])).toBe('there and back');
    socket.destroy();
  });

  test('that ends by itself is started again', async () => {
    const answer = `if (request.url === '/crash') process.exit(1); response.end(begun);`;
    const pull = await open({ 'package.json': START, 'server.js': `const begun = crypto.randomUUID();\n${http(answer)}` });
    const site = await w.reaches(pull, 'ready');
    const { body: first } = await w.visit(pull);
    await w.visit(pull, '/crash').catch(() => undefined);
    const again = await until('it to answer again', async () => {
      const got = await w.visit(pull);
      return got.status === 200 && got;
    });
    expect(again.body).not.toBe(first);
    expect((await w.siteOf(pull))?.status).toBe('ready');
    expect(site.id).toBe((await w.siteOf(pull))?.id);
  });

  test('that nobody visits sleeps, and its first visitor wakes it', async () => {
    const files = { 'package.json': packageJson({ scripts: { start: 'node idler.js' } }), 'idler.js': http(`response.end('awake')`) };
    const pull = await open(files, { '.mayfly.yml': 'idle: 1s\n' });
    await w.reaches(pull, 'ready');
    const runs = async (): Promise<boolean> => (await processes()).some(({ command }) => /^\S*node idler\.js/.test(command));
    await until('it to be stopped', async () => !(await runs()));
    expect(await w.visit(pull)).toMatchObject({ status: 200, body: 'awake' });
    expect((await w.siteOf(pull))?.status).toBe('ready');
  });

  test('cookies, redirects and the visitor’s own address and protocol pass as the app expects them', async () => {
    const answer = `
      response.writeHead(302, { location: '/next', 'set-cookie': ['a=1; Path=/', 'b=2; HttpOnly'] });
      response.end(JSON.stringify(request.headers));
    `;
    const pull = await open({ 'package.json': START, 'server.js': http(answer) });
    const site = await w.reaches(pull, 'ready');
    const got = await w.visit(pull, '/', { cookie: 'x=y', 'x-forwarded-for': '6.6.6.6' });
    expect(got).toMatchObject({ status: 302, headers: { location: '/next', 'set-cookie': ['a=1; Path=/', 'b=2; HttpOnly'] } });
    const seen: Record<string, string> = JSON.parse(got.body);
    expect(seen).toMatchObject({ host: `${site.host}.preview.localhost`, cookie: 'x=y', 'x-forwarded-proto': 'http' });
    expect(seen['x-forwarded-for']).not.toContain('6.6.6.6');
  });

  test('with nothing to run says what was looked for', async () => {
    const pull = await open({ 'notes.txt': 'only words' });
    await w.reaches(pull, 'failed');
    expect(w.comment(pull)).toContain('Nothing to run was found');
  });
});

test('an app that never becomes healthy: told with what it answered, and what was live stays live', async () => {
  await using w = await createWorld({}, { healthMs: 5_000 });
  const repo = await w.github.createRepository({ name: 'acme/slow', files: nodeApp('main') });
  const pull = await w.github.openPull(repo, { files: nodeApp('good') });
  await w.reaches(pull, 'ready');
  const ill = await w.github.push(pull, { 'server.js': http(`response.writeHead(500).end()`) });
  await w.reaches(pull, 'failed', ill);
  expect(w.comment(pull)).toContain('The app did not answer `/` on port 3000 with 2xx or 3xx within 5 s; it answered 500.');
  expect((await w.visit(pull)).body).toBe('good');
  const deaf = await w.github.push(pull, { 'server.js': http(`response.end()`, 'listen(9999)') });
  await w.reaches(pull, 'failed', deaf);
  expect(w.comment(pull)).toContain('Let it listen on the port in `PORT`');
  expect((await w.visit(pull)).body).toBe('good');
});
