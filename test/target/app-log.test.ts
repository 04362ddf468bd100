import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openAppLog } from '../../src/provision/targets/local/app-log.ts';

const MIB = 1024 * 1024;
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mayfly-app-log-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function write(path: string, chunks: readonly Buffer[]): Promise<void> {
  await using log = await openAppLog(path);
  for (const chunk of chunks) log.write(chunk);
}

test('T-F28: a log without end stops at its size and says so', async () => {
  const path = join(folder, 'endless', 'app.log');
  await write(path, Array<Buffer>(40).fill(Buffer.alloc(MIB, 'x')));
  expect((await stat(path)).size).toBeLessThan(5 * MIB + 200);
  expect((await readFile(path, 'utf8')).slice(-200)).toContain('[mayfly] the log is full');
});

test('the next start keeps the full log beside the new one, and only that one', async () => {
  const path = join(folder, 'again', 'app.log');
  for (const letter of ['a', 'b', 'c']) await write(path, [Buffer.alloc(3 * MIB, letter)]);
  expect((await readFile(path, 'utf8'))[0]).toBe('c');
  expect((await readFile(`${path}.1`, 'utf8'))[0]).toBe('b');
});

test('what was written is there, in order', async () => {
  const path = join(folder, 'plain', 'app.log');
  await write(path, [Buffer.from('one\n'), Buffer.from('two\n')]);
  await write(path, [Buffer.from('three\n')]);
  expect(await readFile(path, 'utf8')).toBe('one\ntwo\nthree\n');
});
