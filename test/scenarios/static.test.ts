import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Files, Pull } from '../doubles/github.ts';
import { createWorld, type World } from '../world.ts';

const page = (text: string): string => `<!doctype html><title>${text}</title><h1>${text}</h1>\n`;
/** A build without dependencies that writes `files` below `dist`. */
const builds = (lines: string): Files => ({
  'package.json': JSON.stringify({ name: 'site', private: true, scripts: { build: 'node build.js' } }),
  'build.js': `
    const { mkdirSync, symlinkSync, writeFileSync, linkSync, cpSync } = require('node:fs');
    const { execFileSync } = require('node:child_process');
    mkdirSync('dist');
    ${lines}
  `,
});

describe('a static site', () => {
  let w: World;
  let made = 0;
  beforeAll(async () => {
    w = await createWorld();
  });
  afterAll(() => w[Symbol.asyncDispose]());
  const open = async (files: Files, main: Files = { 'README.md': 'nothing yet' }): Promise<Pull> => {
    const repo = await w.github.createRepository({ name: `pages-${++made}/site`, files: main });
    return w.github.openPull(repo, { files });
  };

  test('an index.html is all that it takes', async () => {
    const pull = await open({ 'index.html': page('plain') });
    await w.reaches(pull, 'ready');
    expect(await w.visit(pull)).toMatchObject({
      status: 200,
      body: page('plain'),
      headers: { 'content-type': 'text/html; charset=utf-8', 'x-robots-tag': 'noindex, nofollow', 'x-content-type-options': 'nosniff' },
    });
    expect(w.comment(pull)).toContain('static files');
    expect(await w.visit(pull, '/robots.txt')).toMatchObject({ status: 200, body: 'User-agent: *\nDisallow: /\n' });
    expect(await w.visit(pull, '/nothing')).toMatchObject({ status: 404 });
  });

  test('the output of a build: pretty paths, its own 404 page, ETag and 304, one part of a file', async () => {
    const pull = await open(
      builds(`
        writeFileSync('dist/index.html', 'home');
        writeFileSync('dist/about.html', 'about');
        writeFileSync('dist/404.html', 'lost');
        mkdirSync('dist/blog');
        writeFileSync('dist/blog/index.html', 'blog');
        writeFileSync('dist/app.js', 'const a = 1;');
        mkdirSync('dist/.well-known');
        writeFileSync('dist/.well-known/security.txt', 'Contact: mailto:security@example.org');
      `),
    );
    await w.reaches(pull, 'ready');
    const got = async (path: string) => {
      const { status, body, headers } = await w.visit(pull, path);
      return status === 302 ? `302 ${headers.location}` : `${status} ${body}`;
    };
    expect({
      home: await got('/'),
      about: await got('/about'),
      slash: await got('/about/'),
      folder: await got('/blog?page=2'),
      blog: await got('/blog/'),
      lost: await got('/no/such'),
      wellKnown: await got('/.well-known/security.txt'),
      source: await got('/build.js'),
      above: await got('/%2e%2e/package.json'),
    }).toMatchInlineSnapshot(`
      {
        "about": "200 about",
        "above": "404 lost",
        "blog": "200 blog",
        "folder": "302 /blog/?page=2",
        "home": "200 home",
        "lost": "404 lost",
        "slash": "302 /about",
        "source": "404 lost",
        "wellKnown": "200 Contact: mailto:security@example.org",
      }
    `);
    const first = await w.visit(pull, '/app.js');
    expect(first.headers).toMatchObject({ 'content-type': 'text/javascript; charset=utf-8', 'cache-control': 'no-cache' });
    expect(await w.visit(pull, '/app.js', { 'if-none-match': String(first.headers.etag) })).toMatchObject({ status: 304, body: '' });
    expect(await w.visit(pull, '/app.js', { range: 'bytes=0-4' })).toMatchObject({ status: 206, body: 'const' });
    expect(w.comment(pull)).toContain('`npm run build`, static files');
  });

  test('a push with other content is seen at once, and its ETag is another', async () => {
    const pull = await open({ 'index.html': 'one' });
    await w.reaches(pull, 'ready');
    const { headers } = await w.visit(pull);
    const sha = await w.github.push(pull, { 'index.html': 'two' });
    await w.reaches(pull, 'ready', sha);
    expect(await w.visit(pull, '/', { 'if-none-match': String(headers.etag) })).toMatchObject({ status: 200, body: 'two' });
  });

  test('links that leave, dotfiles, pipes and names that differ in case only are not published (T-C06, T-C08)', async () => {
    const pull = await open(
      builds(`
        writeFileSync('dist/index.html', 'home');
        writeFileSync('dist/.env', 'SECRET=1');
        writeFileSync('dist/.npmrc', '//registry/:_authToken=1');
        mkdirSync('dist/.git');
        writeFileSync('dist/.git/config', '[core]');
        symlinkSync('/etc/passwd', 'dist/passwd');
        symlinkSync('../package.json', 'dist/package.json');
        symlinkSync('/etc', 'dist/etc');
        symlinkSync('.env', 'dist/env.txt');
        symlinkSync('index.html', 'dist/same.html');
        symlinkSync('.', 'dist/loop');
        writeFileSync('dist/Readme.txt', 'one');
        writeFileSync('dist/README.txt', 'other');
        execFileSync('mkfifo', ['dist/pipe']);
      `),
    );
    const site = await w.reaches(pull, 'ready');
    const paths = [
      '/',
      '/same',
      '/README.txt',
      '/Readme.txt',
      '/.env',
      '/.npmrc',
      '/.git/config',
      '/passwd',
      '/package.json',
      '/etc/passwd',
      '/env.txt',
      '/loop/index.html',
      '/pipe',
    ];
    const answers = await Promise.all(paths.map(async (path) => [path, (await w.visit(pull, path)).status] as const));
    expect(Object.fromEntries(answers)).toMatchInlineSnapshot(`
      {
        "/": 200,
        "/.env": 404,
        "/.git/config": 404,
        "/.npmrc": 404,
        "/README.txt": 200,
        "/Readme.txt": 404,
        "/env.txt": 404,
        "/etc/passwd": 404,
        "/loop/index.html": 404,
        "/package.json": 404,
        "/passwd": 404,
        "/pipe": 404,
        "/same": 200,
      }
    `);
    const [launch] = await w.mayfly.store.launches.of(site.id, 1);
    expect(launch?.tail).toContain('Not published: ');
  });

  test('a link in the repository itself, as folder or as index.html, leads nowhere outside (T-C06)', async () => {
    const pull = await open({
      'index.html': 'home',
      passwd: { link: '/etc/passwd' },
      up: { link: '../../..' },
      'robots.txt': { link: '/proc/self/environ' },
    });
    await w.reaches(pull, 'ready');
    expect(await w.visit(pull)).toMatchObject({ status: 200, body: 'home' });
    for (const path of ['/passwd', '/up/etc/passwd', '/up/']) expect(await w.visit(pull, path)).toMatchObject({ status: 404 });
    expect(await w.visit(pull, '/robots.txt')).toMatchObject({ body: 'User-agent: *\nDisallow: /\n' });
  });

  test('an output folder that is a link out of the commit is no output', async () => {
    const pull = await open({ public: { link: '/etc' }, '.mayfly.yml': 'output: public\nbuild: "true"\n' });
    await w.reaches(pull, 'failed');
    expect(w.comment(pull)).toContain('The build finished but left no folder `public`');
  });

  test('a folder too deep to be a site is refused, and says so', async () => {
    const pull = await open(builds(`mkdirSync('dist/' + Array(100).fill('d').join('/'), { recursive: true });`));
    await w.reaches(pull, 'failed');
    expect(w.comment(pull)).toContain('larger than a preview may be (64 folders deep)');
  });
});
