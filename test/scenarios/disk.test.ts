import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { mountSmallDisk } from '../small-disk.ts';
import { createWorld } from '../world.ts';
import { builtApp, nodeApp } from './apps.ts';

/** Room for launches, with what Mayfly keeps free. */
const ROOMY_MB = 4_096;

test('a full disk is told in the comment, everything else goes on, and with room the next push succeeds', async () => {
  await using disk = await mountSmallDisk(ROOMY_MB);
  await using w = await createWorld({}, { dataDir: disk.path });
  const standing = await w.github.openPull(await w.github.createRepository({ name: 'acme/standing', files: nodeApp('main') }), {
    files: nodeApp('still here'),
  });
  const repo = await w.github.createRepository({ name: 'bits/large', files: nodeApp('main') });
  const pull = await w.github.openPull(repo, { files: nodeApp('before') });
  await Promise.all([w.reaches(standing, 'ready'), w.reaches(pull, 'ready')]);

  await disk.leave(100);
  const sha = await w.github.push(pull, nodeApp('after'));
  await w.reaches(pull, 'failed', sha);
  expect(w.comment(pull)).toContain(
    'The machine that runs previews has no disk space left. Once the operator has made room, `/preview deploy` tries again.',
  );
  expect(w.github.checksOf(sha)).toMatchObject([{ status: 'completed', conclusion: 'failure' }]);
  // With what Mayfly keeps free for it, it starts, and sites wake.
  await w.restart();
  expect((await w.visit(pull)).body).toBe('before');
  expect((await w.visit(standing)).body).toBe('still here');
  // Without a byte, what was live still answers, and pulls are still heard of.
  await disk.leave(0);
  expect((await w.visit(pull)).body).toBe('before');
  expect((await w.visit(standing)).body).toBe('still here');
  const other = await w.github.openPull(repo, { files: nodeApp('too') });
  await w.reaches(other, 'failed');
  expect(w.comment(other)).toContain('has no disk space left');
  await w.github.close(other);

  await disk.leave(ROOMY_MB);
  const better = await w.github.push(pull, nodeApp('with room'));
  await w.reaches(pull, 'ready', better);
  expect((await w.visit(pull)).body).toBe('with room');
  await w.reaches(other, 'ended');
  expect(w.github.ourComments(pull)).toHaveLength(1);
});

test('a build that fills the disk is told so, and what it wrote is gone', async () => {
  await using disk = await mountSmallDisk(ROOMY_MB);
  await using w = await createWorld({}, { dataDir: disk.path });
  await disk.leave(560);
  const greedy = {
    ...builtApp('x'),
    'build.js': `require('node:fs').writeFileSync('large', Buffer.alloc(64 * 2 ** 20)); process.exit(1);`,
  };
  const pull = await w.github.openPull(await w.github.createRepository({ name: 'acme/greedy', files: nodeApp('main') }), { files: greedy });
  await w.reaches(pull, 'failed');
  expect(w.comment(pull)).toContain('has no disk space left');
  expect(await readdir(join(disk.path, 'work'))).toEqual([]);
});

test('a launch that would find too little room gets what was only kept, oldest first', async () => {
  await using disk = await mountSmallDisk(ROOMY_MB);
  await using w = await createWorld({}, { dataDir: disk.path });
  const keep = async (name: string, mb: number, usedAt: Date): Promise<string> => {
    const file = join(disk.path, 'dependencies', name);
    await writeFile(file, Buffer.alloc(mb * 2 ** 20));
    await utimes(file, usedAt, usedAt);
    return file;
  };
  const old = await keep('old.tar', 200, new Date('2026-01-01'));
  await mkdir(join(disk.path, 'artefacts', 'unused', 'files'), { recursive: true });
  await disk.leave(400);
  const pull = await w.github.openPull(await w.github.createRepository({ name: 'acme/fits', files: nodeApp('main') }), {
    files: nodeApp('fits'),
  });
  await w.reaches(pull, 'ready');
  expect((await w.visit(pull)).body).toBe('fits');
  expect([existsSync(old), existsSync(join(disk.path, 'artefacts', 'unused'))]).toEqual([false, false]);
  // So does a start, which without a byte could not write what it needs.
  const older = await keep('older.tar', 200, new Date('2025-01-01'));
  await disk.leave(0);
  await w.restart();
  expect(existsSync(older)).toBe(false);
  expect((await w.visit(pull)).body).toBe('fits');
});

test('Mayfly’s own database on the full disk: sites answer, webhooks are not taken for stored, and with room all of it goes on (T-F13)', async () => {
  await using disk = await mountSmallDisk(ROOMY_MB);
  await using w = await createWorld({ DATABASE_URL: '' }, { dataDir: disk.path });
  const repo = await w.github.createRepository({ name: 'acme/embedded', files: nodeApp('main') });
  const pull = await w.github.openPull(repo, { files: nodeApp('before') });
  await w.reaches(pull, 'ready');
  await disk.leave(0);
  // More than fits into the pages that the database has.
  await w.github.comment(pull, 'dev', randomBytes(30_000).toString('hex'));
  const refused = w.github.deliveries.at(-1) ?? expect.fail('nothing was delivered');
  expect(refused).toMatchObject({ event: 'issue_comment', statusCode: 503 });
  expect((await w.visit(pull)).body).toBe('before');
  await disk.leave(ROOMY_MB);
  expect(await w.github.redeliver(refused)).toMatchObject({ statusCode: 202 });
  const sha = await w.github.push(pull, nodeApp('after'));
  await w.reaches(pull, 'ready', sha);
  expect((await w.visit(pull)).body).toBe('after');
  expect(w.github.ourComments(pull)).toHaveLength(1);
});
