import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort } from '../demo/ports.ts';
import type { Pull } from '../test/doubles/github.ts';
import { memoryOf } from './footprint.ts';
import { download, load, manySockets, oneAtATime, p50, p99, type Target } from './load.ts';
import { type BenchMayfly, get, makeFolder, openMayfly, until } from './mayfly.ts';
import { type Bar, below, type Doing, type Measurement, type Row, row, type Unit } from './measurement.ts';
import { inTurn, median, type Sample, timed } from './sample.ts';
import { appFiles, type Behind, LARGE_MB, pageFiles, startCaddy, startNginx } from './servers.ts';

const SIDES = ['ours', 'nginx', 'Caddy'] as const;
type Side = (typeof SIDES)[number];
type Targets = Readonly<Record<Side, Target>>;

type Ground = {
  readonly mayfly: BenchMayfly;
  readonly folder: string;
  readonly appPull: Pull;
  readonly app: Targets;
  readonly files: Targets;
  /** The app without anybody before it. */
  readonly direct: Target;
};

async function openGround(stack: AsyncDisposableStack): Promise<Ground> {
  const mayfly = stack.use(await openMayfly({ MAYFLY_IDLE: '1d' }));
  await mayfly.start();
  const launched = async (name: string, files: Readonly<Record<string, string>>) => {
    const repo = await mayfly.github.createRepository({ name: `bench/${name}`, files });
    const pull = await mayfly.github.openPull(repo, { files: { 'round.txt': name } });
    return { pull, host: new URL((await mayfly.reaches(pull, 'ready')).url).host };
  };
  const app = await launched('app', appFiles);
  const page = await launched('page', pageFiles);
  const sockets = join(mayfly.dataDir, 'run', 's');
  const [name] = (await readdir(sockets)).filter((one) => one.endsWith('.sock'));
  if (name === undefined) throw new Error('the app has no socket');
  const folder = await makeFolder(stack);
  await writeFile(join(folder, 'index.html'), pageFiles['index.html']);
  const behind: Behind = { socket: join(sockets, name), files: folder, folder };
  const [nginx, caddy] = [await startNginx(behind, stack), await startCaddy(behind, stack)];
  const url = new URL(mayfly.gate);
  const plain = (to: URL): Target => ({ url: to, host: to.host });
  return {
    ...{ mayfly, folder, appPull: app.pull, direct: { url: new URL('http://localhost'), host: 'localhost', socket: behind.socket } },
    app: { ours: { url, host: app.host }, nginx: plain(nginx.app), Caddy: plain(caddy.app) },
    files: { ours: { url, host: page.host }, nginx: plain(nginx.files), Caddy: plain(caddy.files) },
  };
}

type Compared = { readonly what: string; readonly unit: Unit; readonly of: (side: Side) => Sample; readonly bar?: Bar };

/** A row beside nginx, which has the bar, and one beside Caddy. */
const besideBoth = ({ what, unit, of, bar }: Compared): readonly Row[] =>
  (['nginx', 'Caddy'] as const).map((name) =>
    row({ what, unit, ours: of('ours') }, { beside: { name, sample: of(name) }, ...(bar && name === 'nginx' ? { bar } : {}) }),
  );

const perSide = <T>(make: (side: Side) => T): Record<Side, T> => ({ ours: make('ours'), nginx: make('nginx'), Caddy: make('Caddy') });

/** One request at a time on one connection that is kept: what each adds to the app's own time, and what a file takes. */
async function latencies({ app, files, direct }: Ground, { rounds, count }: { rounds: number; count: number }): Promise<readonly Row[]> {
  const p99s = new Map<string, number[]>();
  const ask = (name: string, target: Target) => async (): Promise<number> => {
    const times = await oneAtATime(target, count);
    p99s.set(name, [...(p99s.get(name) ?? []), p99(times)]);
    return p50(times);
  };
  const asked = await inTurn(rounds, { direct: ask('direct', direct), ...perSide((side) => ask(side, app[side])) });
  const sent = await inTurn(
    rounds,
    perSide((side) => ask(`${side} file`, files[side])),
  );
  const late = (name: string): Sample => p99s.get(name) ?? [];
  const added = (to: Sample, own: Sample): Sample => to.map((ms, round) => ms - (own[round] ?? Number.NaN));
  return [
    ...besideBoth({
      ...{ what: 'proxied request: added to the app’s own time, p50', unit: 'ms', bar: below(2, 'ms') },
      of: (side) => added(asked(side), asked('direct')),
    }),
    ...besideBoth({
      what: 'proxied request: added to the app’s own time, p99',
      unit: 'ms',
      of: (side) => added(late(side), late('direct')),
    }),
    ...besideBoth({ what: 'file of 20 kB, p50', unit: 'ms', of: sent }),
    ...besideBoth({ what: 'file of 20 kB, p99', unit: 'ms', of: (side) => late(`${side} file`) }),
  ];
}

type Loaded = { readonly rounds: number; readonly seconds: number; readonly unseen: number };
async function throughput({ app, files }: Ground, { rounds, seconds, unseen }: Loaded): Promise<readonly Row[]> {
  const many = async (targets: Targets) => {
    // What runs often is compiled anew by Node, most of it in the first twenty thousand requests: a gate is not started anew each minute.
    for (const target of Object.values(targets)) await load(target, { connections: 50, requests: unseen });
    return inTurn(
      rounds,
      perSide((side) => async () => (await load(targets[side], { connections: 50, seconds })).requests.average),
    );
  };
  const bar = { text: '≥ 0.4 ×', is: (ours: number, other: number) => ours >= 0.4 * other };
  return [
    ...besideBoth({ what: 'proxied requests, 50 at once', unit: '/s', of: await many(app), bar }),
    ...besideBoth({ what: 'files of 20 kB, 50 at once', unit: '/s', of: await many(files) }),
  ];
}

/** What is large or stays: how fast, and what it leaves in memory. */
async function weights({ mayfly, app }: Ground, { rounds, count }: { rounds: number; count: number }): Promise<readonly Row[]> {
  const memory = (): Promise<number> => memoryOf(mayfly.pid);
  // The first fills the pools from which all the others take.
  await download(app.ours);
  const before = await memory();
  const large = await inTurn(
    rounds,
    perSide((side) => () => download(app[side])),
  );
  const afterDownloads = await memory();
  const open: number[] = [];
  const note = async (): Promise<void> => void open.push(await memory());
  const sockets = await inTurn(
    rounds,
    perSide((side) => () => manySockets(app[side], count, side === 'ours' ? note : async () => {})),
  );
  const after = await memory();
  return [
    ...besideBoth({ what: `a download of ${LARGE_MB} MB`, unit: 'MB/s', of: large }),
    ...besideBoth({ what: `${count} WebSockets opened, each with an echo`, unit: 'ms', of: sockets }),
    row(
      { what: `memory added by ${rounds} downloads of ${LARGE_MB} MB`, unit: 'MiB', ours: [afterDownloads - before] },
      { bar: below(50, 'MiB') },
    ),
    row(
      { what: `memory added by ${count} WebSockets, once they are closed`, unit: 'MiB', ours: [after - afterDownloads] },
      { bar: below(50, 'MiB'), parts: { before: afterDownloads, open: median(open), closed: after } },
    ),
  ];
}

/** The app as a person starts it, until it answers. */
async function startByHand(folder: string): Promise<number> {
  await writeFile(join(folder, 'server.js'), appFiles['server.js']);
  const port = await freePort(0);
  const url = new URL(`http://127.0.0.1:${port}`);
  const started = performance.now();
  const child = spawn(process.execPath, ['server.js'], { cwd: folder, env: { PORT: String(port) }, stdio: 'ignore' });
  await until('the app to answer by hand', async () => (await get(url, url.host)).status === 200);
  const ms = performance.now() - started;
  const ended = once(child, 'exit');
  child.kill();
  await ended;
  return ms;
}

async function waking({ mayfly, appPull, app, folder }: Ground, rounds: number): Promise<readonly Row[]> {
  mayfly.github.setPermission(appPull.repository, 'ann', 'write');
  const woken = await inTurn(rounds, {
    ours: async () => {
      const comment = await mayfly.github.comment(appPull, 'ann', '/preview sleep');
      await until('the app to be put to sleep', async () => comment.reactions.some((one) => one.content === '+1'));
      return timed(() => get(app.ours.url, app.ours.host));
    },
    hand: () => startByHand(folder),
  });
  return [
    row(
      { what: 'woken from sleep, until the visitor has the answer', unit: 'ms', ours: woken('ours') },
      {
        beside: { name: 'the app started by hand', sample: woken('hand') },
        bar: { text: '≤ 1 s more', is: (ours, other) => ours < other + 1_000 },
      },
    ),
  ];
}

export const gate: Measurement = {
  title: 'The gate, beside nginx and Caddy before the same app and the same files, each on one processor',
  async run({ scale }: Doing): Promise<readonly Row[]> {
    await using stack = new AsyncDisposableStack();
    const ground = await openGround(stack);
    const isWhole = scale === 'whole';
    const rounds = isWhole ? 3 : 1;
    return [
      ...(await latencies(ground, { rounds, count: isWhole ? 1_000 : 20 })),
      ...(await throughput(ground, { rounds: isWhole ? 5 : 1, seconds: isWhole ? 2 : 1, unseen: isWhole ? 40_000 : 500 })),
      ...(await weights(ground, { rounds, count: isWhole ? 1_000 : 50 })),
      ...(await waking(ground, rounds)),
    ];
  },
};
