import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import type { Files, Pull, Repo } from '../doubles/github.ts';
import { createWorld, until, type World } from '../world.ts';
import { nodeApp } from './apps.ts';

const HOSTILE: Files = {
  'package.json': JSON.stringify({ name: 'hostile', private: true, scripts: { start: 'node server.js' } }),
  'server.js': readFileSync(new URL('../hostile-app.js', import.meta.url), 'utf8'),
};
const MIB = 1_048_576;

describe('T-F28: an app that tries everything against Mayfly and its neighbour', () => {
  let w: World;
  let repo: Repo;
  let hostile: Pull;
  let neighbour: Pull;
  beforeAll(async () => {
    w = await createWorld();
    repo = await w.github.createRepository({ name: 'street/houses', files: nodeApp('main') });
    hostile = await w.github.openPull(repo, { files: HOSTILE });
    neighbour = await w.github.openPull(repo, { files: nodeApp('the neighbour') });
    await Promise.all([w.reaches(hostile, 'ready'), w.reaches(neighbour, 'ready')]);
  });
  afterAll(() => w[Symbol.asyncDispose]());

  /** Asks the neighbour over and over while `work` goes on. @returns what came of the work, and every answer that was not the neighbour's own */
  async function whileNeighbourAnswers<T>(work: () => Promise<T>): Promise<{ readonly result: T; readonly strange: readonly unknown[] }> {
    const strange: unknown[] = [];
    let over = false;
    const asking = (async () => {
      while (!over) {
        const { status, body } = await w.visit(neighbour);
        if (status !== 200 || body !== 'the neighbour') strange.push({ status, body });
      }
    })();
    try {
      return { result: await work(), strange };
    } finally {
      over = true;
      await asking;
    }
  }
  const logSizes = async (): Promise<readonly number[]> => {
    const log = join(w.dataDir, 'logs', (await w.siteOf(hostile))?.id ?? '', 'app.log');
    return [log, `${log}.1`].map((path) => statSync(path, { throwIfNoEntry: false })?.size ?? 0);
  };
  const portOf = (url: string): number => Number(new URL(url).port);

  test('reading, signalling, writing, becoming root, devices, links, sockets, the network: all of it is refused', async () => {
    const other = await w.siteOf(neighbour);
    const states = await w.mayfly.target?.survey();
    const run = join(w.dataDir, 'run');
    const sockets = readdirSync(run, { recursive: true, withFileTypes: true }).flatMap((one) =>
      one.isSocket() ? [join(one.parentPath, one.name)] : [],
    );
    // They are there outside, so that there is something to be refused.
    expect(sockets.length).toBeGreaterThan(0);
    expect(states?.some(({ site }) => site === other?.id)).toBe(true);
    const folders = [
      '',
      'secret-key',
      'pulumi/passphrase',
      'logs',
      'sources',
      'artefacts',
      'dependencies',
      'seeds',
      'work',
      'run',
      'toolbox',
    ];
    const targets = {
      paths: [
        ...folders.map((name) => join(w.dataDir, name)),
        `/proc/${process.pid}/environ`,
        '/etc/shadow',
        '/root',
        '/home',
        process.cwd(),
      ],
      pids: [process.pid, process.ppid],
      ports: [
        ...[w.mayfly.webUrl, w.mayfly.gateUrl, w.github.url, w.github.serverUrl, inject('postgresUrl'), w.database.url].map(portOf),
      ].flatMap((port) => [
        ['127.0.0.1', port],
        ['::1', port],
      ]),
      sockets,
      hosts: ['metadata.google.internal', 'example.com'],
    };
    const metadata = ['169.254.169.254', '::ffff:169.254.169.254', 'fd00:ec2::254', '100.100.100.200', '10.0.0.1', '1.1.1.1'];
    const at = JSON.stringify({ ...targets, ports: [...targets.ports, ...metadata.map((host) => [host, 80])] });
    const { result, strange } = await whileNeighbourAnswers(() => w.visit(hostile, `/try?at=${encodeURIComponent(at)}`));
    expect(JSON.parse(result.body)).toEqual({
      read: [],
      readByLink: [],
      signalled: [],
      wrote: [],
      ran: [],
      connected: [],
      sockets: [],
      resolved: [],
      blockDevices: [],
      environment: [],
    });
    expect(strange).toEqual([]);
  });

  test.each([
    ['log', (hogged: string) => hogged === 'written'],
    ['disk', (hogged: string) => Number(hogged) <= 2 * 1_024 + 16],
    ['memory', (hogged: string) => Number(hogged) !== 0],
    ['processes', (hogged: string) => Number(hogged) < 256],
  ] as const)('filling %s: it is bounded, the neighbour answers, and another pull is launched meanwhile', async (what, isBounded) => {
    const { result, strange } = await whileNeighbourAnswers(async () => {
      const hog = w.visit(hostile, `/hog?what=${what}`);
      const pull = await w.github.openPull(repo, { files: nodeApp(`launched beside ${what}`) });
      await w.reaches(pull, 'ready');
      expect((await w.visit(pull)).body).toBe(`launched beside ${what}`);
      await w.github.close(pull);
      await w.reaches(pull, 'ended');
      return hog;
    });
    expect(strange).toEqual([]);
    // What the app was killed by a limit in the middle of has no answer; it is started again, and nobody else notices.
    if (result.status === 200) expect(isBounded(JSON.parse(result.body).hogged.trim()), result.body).toBe(true);
    else expect([502, 503, 504]).toContain(result.status);
    await until('it to be up again', async () => (await w.visit(hostile)).body === 'the hostile one');
    if (what === 'log') expect((await logSizes()).filter((size) => size > 4 * MIB && size < 5 * MIB + 1_024)).toHaveLength(1);
  });
});
