import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openLaunchLog } from '../../src/provision/log.ts';
import { toLaunchId, toSiteId } from '../../src/site/identity.ts';

let dataDir: string;
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'mayfly-log-'));
});
afterEach(() => rm(dataDir, { recursive: true, force: true }));
const open = (secrets: readonly string[] = []) => openLaunchLog({ dataDir, site: toSiteId('s1'), launch: toLaunchId('l1'), secrets });

test('a log is ours alone to read, and masked before it is kept', async () => {
  const log = await open(['hunter22']);
  for (const chunk of ['password hun', 'ter22\n', 'key gh', `p_${'x1'.repeat(18)}\n`, 'done\n']) log.write(chunk);
  log.hide(['learnt later']);
  log.write('learnt la');
  log.write('ter\nthe end');
  expect(await log.tail()).toBe('password ***\nkey ***\ndone\n***\nthe end');
  await log[Symbol.asyncDispose]();
  expect(await readFile(log.file, 'utf8')).toBe('password ***\nkey ***\ndone\n***\nthe end');
  expect((await stat(log.file)).mode & 0o777).toBe(0o600);
});

test('the tail is so many lines and bytes, without control characters', async () => {
  const log = await open();
  for (let n = 0; n < 500; n += 1) log.write(`\u001b[31mline ${n}\u001b[0m\u0007\n`);
  expect(await log.tail({ lines: 2, maxBytes: 1_000 })).toBe('line 498\nline 499');
  expect(await log.tail({ lines: 500, maxBytes: 12 })).toBe('line 499');
  await log[Symbol.asyncDispose]();
});

test('of an endless log the beginning and the end are kept, ten mebibytes together', async () => {
  const log = await open();
  log.write('the beginning\n');
  const chunk = `${'x'.repeat(99)}\n`.repeat(10_000);
  for (let n = 0; n < 15; n += 1) log.write(chunk);
  log.write('the end\n');
  await log[Symbol.asyncDispose]();
  const text = await readFile(log.file, 'utf8');
  expect(text.length).toBeLessThanOrEqual(10 * 1024 * 1024 + 100);
  expect(text).toMatch(/^the beginning\n[\s\S]*characters left out …[\s\S]*the end\n$/);
});
