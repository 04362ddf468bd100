import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openAppLog, openHearing, readAppLog } from '../../src/provision/targets/local/app-log.ts';

const MIB = 1024 * 1024;
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mayfly-app-log-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function write(path: string, chunks: readonly string[]): Promise<void> {
  await using log = await openAppLog(path);
  for (const chunk of chunks) log.write(chunk);
}

test('T-F28: a log without end stops at its size and says so', async () => {
  const path = join(folder, 'endless', 'app.log');
  await write(path, Array<string>(40).fill('x'.repeat(MIB)));
  expect((await stat(path)).size).toBeLessThan(5 * MIB + 200);
  expect((await readFile(path, 'utf8')).slice(-200)).toContain('[mayfly] the log is full');
});

test('the next start keeps the full log beside the new one, and only that one', async () => {
  const path = join(folder, 'again', 'app.log');
  for (const letter of ['a', 'b', 'c']) await write(path, [letter.repeat(3 * MIB)]);
  expect((await readFile(path, 'utf8'))[0]).toBe('c');
  expect((await readFile(`${path}.1`, 'utf8'))[0]).toBe('b');
});

test('what was written is there, in order', async () => {
  const path = join(folder, 'plain', 'app.log');
  await write(path, ['one\n', 'two\n']);
  await write(path, ['three\n']);
  expect(await readFile(path, 'utf8')).toBe('one\ntwo\nthree\n');
});

const TOKEN = 'hunter2/hunter2?"hunter2"';
/** Ways in which an app may come to print a value. */
const PRINTED: Readonly<Record<string, string>> = {
  plain: TOKEN,
  'in base64': Buffer.from(TOKEN).toString('base64'),
  'in base64, behind a name': Buffer.from(`ada:${TOKEN}`).toString('base64'),
  'URL-encoded': encodeURIComponent(TOKEN),
  'over two lines': `${TOKEN.slice(0, 9)}\n${TOKEN.slice(9)}`,
  'JSON-escaped': JSON.stringify({ token: TOKEN }),
  'with a colour in its middle': `${TOKEN.slice(0, 9)}\u001b[31m${TOKEN.slice(9)}\u001b[0m`,
  'with a mark that nobody sees in its middle': `${TOKEN.slice(0, 9)}\u200b${TOKEN.slice(9)}`,
};

test.each(Object.entries(PRINTED))(
  'T-C04: a secret that an app prints %s is shown to nobody, whoever asks and when',
  async (how, printed) => {
    const path = join(folder, `said ${how}`, 'app.log');
    const told: string[] = [];
    const hearing = await openHearing(path, { secrets: [TOKEN], also: (text) => void told.push(text) });
    const bytes = Buffer.from(`before é\n${printed}\nafter`);
    // In small pieces, as a pipe may bring them.
    for (let at = 0; at < bytes.length; at += 5) hearing.hear(bytes.subarray(at, at + 5));
    await hearing.end();
    const shown = await readAppLog(path, { lines: 200, secrets: [TOKEN] });
    expect(shown).toContain('before é');
    expect(shown).toContain('after');
    for (const form of [TOKEN, 'hunter2', encodeURIComponent(TOKEN), Buffer.from(TOKEN).toString('base64').slice(0, -4)])
      expect(shown.replace(/\s/g, '')).not.toContain(form);
    // Not even the file has it: the app's next start may know another secret, and its next reader none.
    for (const text of [await readFile(path, 'utf8'), told.join('')])
      expect(text.replace(/\s|\u001b\[\d+m|\u200b/g, '')).not.toContain('hunter2');
  },
);

test('a log that nobody listens to any more costs nothing once it is full', async () => {
  const path = join(folder, 'alone', 'app.log');
  let told = 0;
  const also = (text: string): void => {
    told += text.length;
  };
  const hearing = await openHearing(path, { secrets: [TOKEN], also });
  const piece = Buffer.from(`${'x'.repeat(MIB - 1)}\n`);
  for (let n = 0; n < 8; n++) hearing.hear(piece);
  expect(told).toBe(8 * MIB);
  hearing.logAlone();
  for (let n = 0; n < 100; n++) hearing.hear(piece);
  expect(told).toBe(8 * MIB);
  await hearing.end();
});
