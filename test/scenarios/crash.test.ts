import { once } from 'node:events';
import { mkdir, readdir } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ChildWorld, createChildWorld } from '../child.ts';
import { expectClosed, expectConverged, expectGone, pullOpener } from '../converged.ts';
import type { Files } from '../doubles/github.ts';
import { until } from '../world.ts';
import { builtApp, nodeApp, slowBuild } from './apps.ts';

/** A build that takes three seconds, long enough to be met in the middle. */
const unhurried = (text: string): Files => ({
  ...builtApp(text),
  'build.js': `setTimeout(() => require('node:fs').writeFileSync('page.txt', ${JSON.stringify(text)}), 3_000);`,
});
const isPack = ({ path }: { readonly path: string }): boolean => path.endsWith('/git-upload-pack');
/** Control groups that a Mayfly of this process id made, on either version of them. */
const groupsOf = async (pid: number): Promise<readonly string[]> => {
  // Which of these folders there are depends on the version.
  const names = await Promise.all(['', 'memory', 'pids', 'cpu'].map((part) => readdir(join('/sys/fs/cgroup', part)).catch(() => [])));
  return names.flat().filter((name) => name.startsWith(`mayfly-${pid}-`));
};

describe('Mayfly is killed', () => {
  let w: ChildWorld;
  let open: ReturnType<typeof pullOpener>;
  beforeAll(async () => {
    w = await createChildWorld('given');
    await w.start();
    open = pullOpener(w, 'crash');
  });
  afterAll(() => w[Symbol.asyncDispose]());

  /** Killed as it stands, and started again: nothing of the killed one is left by then. */
  const crash = async (): Promise<void> => {
    const { pid } = w;
    const { had } = await w.end('SIGKILL');
    await w.allDie(had);
    await w.start();
    expect(await groupsOf(pid)).toEqual([]);
  };
  test('while it fetches: the next start fetches again', async () => {
    w.github.fail({ match: isPack, answer: 'hang' });
    const pull = await open(nodeApp('fetched'));
    await until('the fetch', () => w.github.requests.some(isPack));
    await crash();
    await expectConverged(w, pull, 'fetched');
    await expectClosed(w, pull);
  });

  test('while it builds: the next start builds again', async () => {
    const pull = await open(unhurried('built'));
    await until('the build', async () => (await w.descendants()).some(({ command }) => command.includes('build.js')));
    await crash();
    await expectConverged(w, pull, 'built');
    await expectClosed(w, pull);
  });

  test('while Pulumi is in `up`: the stack is not stuck', async () => {
    const pull = await open(nodeApp('up'));
    await w.reaches(pull, 'deploying');
    await crash();
    await expectConverged(w, pull, 'up');
    await expectClosed(w, pull);
  });

  test('right after ready: the site is there again, asleep until its first visitor', async () => {
    const pull = await open(nodeApp('still here'));
    await w.reaches(pull, 'ready');
    await crash();
    await expectConverged(w, pull, 'still here');
    await expectClosed(w, pull);
  });

  test('while a site ends: it ends', async () => {
    const pull = await open(nodeApp('brief'));
    await w.reaches(pull, 'ready');
    await w.github.close(pull);
    await w.reaches(pull, 'ending');
    await crash();
    await expectGone(w, pull);
  });

  test('T-A10: between the answer and the work, and while pulls open, close and move: all of it is caught up with', async () => {
    const [closes, moves] = [await open(nodeApp('closes')), await open(nodeApp('moves'))];
    await Promise.all([w.reaches(closes, 'ready'), w.reaches(moves, 'ready')]);
    const answered = await open(nodeApp('answered')); // the webhook was answered; hardly anything was done yet
    const { had } = await w.end('SIGKILL');
    w.github.sendWebhooksTo(null);
    await w.github.close(closes);
    const sha = await w.github.push(moves, nodeApp('moved'));
    // In a repository that Mayfly has surely heard of: of another it hears with the first delivery that it handles.
    moves.repository.nextNumber += 10;
    const missed = await w.github.openPull(moves.repository, { files: nodeApp('missed') });
    await w.start();
    expect(await w.alive(had)).toEqual([]);
    await expectConverged(w, answered, 'answered');
    await w.reaches(moves, 'ready', sha);
    expect((await w.visit(moves)).body).toBe('moved');
    await until('the missed pull', () => w.github.ourComment(missed)?.body.includes('### 🟢 Preview is ready'));
    for (const pull of [answered, moves, missed]) await w.github.close(pull);
    for (const pull of [closes, answered, moves]) await w.reaches(pull, 'ended');
    await until('nothing to be left', async () => (await readdir(join(w.dataDir, 'run', 's'))).length === 0);
  });
});

describe('starting where one cannot', () => {
  let w: ChildWorld;
  beforeAll(async () => {
    w = await createChildWorld('embedded');
    await w.start();
  });
  afterAll(() => w[Symbol.asyncDispose]());

  test('a data dir in use: the second start is refused and says by whom', async () => {
    const refused = await w.tryStart({});
    expect(refused.code).not.toBe(0);
    expect(refused.errors).toContain(`is in use by process ${w.pid}; stop it, or set MAYFLY_DATA_DIR to another folder`);
    expect(refused.errors).not.toContain('    at ');
  });

  test.each(['PORT', 'MAYFLY_GATE_PORT'])('%s in use: a clear message, and nothing is left behind', async (name) => {
    const other = createServer().listen(0);
    await once(other, 'listening');
    const address = other.address();
    const port = typeof address === 'object' && address ? String(address.port) : '';
    const dataDir = join(w.dataDir, 'run', name.toLowerCase());
    await mkdir(dataDir, { mode: 0o711 });
    const refused = await w.tryStart({ [name]: port, MAYFLY_DATA_DIR: dataDir });
    other.close();
    expect(await w.naming(dataDir)).toEqual([]);
    expect(refused.code).not.toBe(0);
    expect(refused.errors).toContain(name);
    expect(refused.errors).toContain(`${port} is in use`);
    expect(refused.errors).not.toContain('    at ');
  });

  test('bad settings: all of them are named with an example, and the exit is 78', async () => {
    const refused = await w.tryStart({ MAYFLY_TTL: 'soon', PORT: 'eighty', WEBHOOK_SECRET: 'development' });
    expect(refused.code).toBe(78);
    for (const name of ['MAYFLY_TTL', 'PORT', 'WEBHOOK_SECRET']) expect(refused.errors).toContain(name);
    expect(refused.errors).not.toContain('    at ');
  });

  test('T-F03: builds, sites, the engine and embedded PostgreSQL die with a Mayfly that is killed, and its data is there again', async () => {
    const open = pullOpener(w, 'embedded');
    const pull = await open(nodeApp('kept'));
    await w.reaches(pull, 'ready');
    await open(slowBuild('never'));
    const running = async (text: string) => (await w.descendants()).some(({ command }) => command.includes(text));
    await until('a build', () => running('build.js'));
    const { had } = await w.end('SIGKILL');
    for (const one of ['postgres', 'server.js', 'build.js', 'pulumi-child.ts'])
      expect(had.filter(({ command }) => command.includes(one))).not.toEqual([]);
    await w.allDie(had);
    await w.start();
    expect((await w.visit(pull)).body).toBe('kept');
    expect(w.github.ourComments(pull)).toHaveLength(1);
  });
});
