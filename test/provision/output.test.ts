import { execFileSync } from 'node:child_process';
import { chmod, link, lstat, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { publish } from '../../src/provision/output.ts';

let from: string;
let to: string;
let said: string;
beforeEach(async () => {
  const folder = await mkdtemp(join(tmpdir(), 'mayfly-output-'));
  [from, to, said] = [join(folder, 'dist'), join(folder, 'out'), ''];
  await mkdir(from);
  await writeFile(join(from, 'index.html'), 'fine');
});
afterEach(() => rm(join(from, '..'), { recursive: true, force: true }));

const published = async (limits?: Parameters<typeof publish>[2]['limits']) => {
  await publish(from, to, { log: (line) => (said += line), ...(limits ? { limits } : {}) });
  return (await readdir(to, { recursive: true })).sort();
};

test('links that leave the folder are left out, and told', async () => {
  await symlink('/etc/passwd', join(from, 'passwd.txt'));
  await symlink('../../../../../../etc', join(from, 'etc'));
  await symlink('/', join(from, 'root'));
  await symlink('nowhere', join(from, 'dangling'));
  await symlink('loop', join(from, 'loop'));
  expect(await published()).toEqual(['index.html']);
  for (const name of ['passwd.txt', 'etc', 'root', 'dangling', 'loop']) expect(said).toContain(`"${name}"`);
});

test('links that stay inside become the files that they name; links to folders go', async () => {
  await mkdir(join(from, 'a'));
  await writeFile(join(from, 'a', 'page'), 'page');
  await symlink('a/page', join(from, 'alias'));
  await symlink('a', join(from, 'b'));
  await symlink('..', join(from, 'a', 'up'));
  expect(await published()).toEqual(['a', 'a/page', 'alias', 'index.html']);
  expect((await lstat(join(to, 'alias'))).isFile()).toBe(true);
});

test('dotfiles are not published, nor links to them; .well-known is', async () => {
  for (const name of ['.git', '.well-known']) {
    await mkdir(join(from, name));
    await writeFile(join(from, name, 'config'), 'x');
  }
  await writeFile(join(from, '.env'), 'KEY=1');
  await symlink('.env', join(from, 'env.txt'));
  expect(await published()).toEqual(['.well-known', '.well-known/config', 'index.html']);
});

test('pipes and sockets are not opened', async () => {
  execFileSync('mkfifo', [join(from, 'pipe')]);
  expect(await published()).toEqual(['index.html']);
});

test('of names that differ in case only the first is published', async () => {
  await writeFile(join(from, 'INDEX.html'), 'other');
  expect(await published()).toEqual(['INDEX.html']);
  expect(said).toContain('case');
});

test('what is published is a plain file of its own: no setuid, nothing shared', async () => {
  await writeFile(join(from, 'tool'), 'x');
  await chmod(join(from, 'tool'), 0o6777);
  await link(join(from, 'tool'), join(from, 'same'));
  await published();
  const stat = await lstat(join(to, 'tool'));
  expect([stat.mode & 0o7777, stat.nlink, stat.uid]).toEqual([0o644, 1, process.getuid?.()]);
  await writeFile(join(from, 'tool'), 'changed later');
  expect(await readFile(join(to, 'same'), 'utf8')).toBe('x');
});

test('files, bytes and depth are limited', async () => {
  const limits = { files: 3, bytes: 1_000, depth: 2 };
  await mkdir(join(from, '1', '2', '3'), { recursive: true });
  await expect(published(limits)).rejects.toMatchObject({ code: 'output-limit', details: { limit: '2 folders deep' } });
  await rm(join(from, '1'), { recursive: true });
  await writeFile(join(from, 'big'), 'x'.repeat(2_000));
  await expect(published(limits)).rejects.toMatchObject({ code: 'output-limit' });
  await rm(join(from, 'big'));
  for (const name of ['a', 'b', 'c']) await writeFile(join(from, name), '');
  await expect(published(limits)).rejects.toMatchObject({ code: 'output-limit', details: { limit: '3 files' } });
});
