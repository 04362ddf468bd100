import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import autocannon from 'autocannon';
import { freePort } from '../demo/ports.ts';
import { memoryOf } from './footprint.ts';
import { type BenchMayfly, get, makeFolder, openMayfly, until } from './mayfly.ts';
import { type Doing, type Measurement, type Row, row } from './measurement.ts';
import { inTurn, timed } from './sample.ts';

const SIDES = ['ours', 'nginx', 'caddy'] as const;
type Side = (typeof SIDES)[number];
/** Where each of them listens, and under which host it serves the app, and the files. */
type Doors = Readonly<Record<Side, { readonly app: URL; readonly files: URL }>>;
const LARGE_MB = 100;
const SOCKETS = 1_000;

/** Answers in a moment, sends as much as is asked for, and echoes what comes after an upgrade. */
const APP = `
const { createServer } = require('node:http');
const chunk = Buffer.alloc(1 << 20, 'x');
const server = createServer((request, response) => {
  if (request.url !== '/large') return response.end('hello');
  response.setHeader('content-length', ${LARGE_MB} * chunk.length);
  let left = ${LARGE_MB};
  const more = () => {
    while (left > 0) {
      left -= 1;
      if (!response.write(chunk)) return response.once('drain', more);
    }
    response.end();
  };
  more();
});
server.on('upgrade', (request, socket) => {
  socket.write('HTTP/1.1 101 Switching Protocols\\r\\nconnection: upgrade\\r\\nupgrade: echo\\r\\n\\r\\n');
  socket.on('error', () => socket.destroy());
  socket.pipe(socket);
});
server.listen(process.env.PORT);
`;
const appFiles = {
  'package.json': JSON.stringify({ name: 'gate', private: true, scripts: { start: 'node server.js' } }),
  'server.js': APP,
};
const pageFiles = { 'index.html': `<!doctype html><title>page</title>${'x'.repeat(20_000)}` };

/** A program that serves until the measurement is over; resolves when it answers. */
async function serve(program: string, args: readonly string[], answers: URL, stack: AsyncDisposableStack): Promise<void> {
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', program, ...args], { stdio: 'ignore' });
  stack.defer(async () => {
    const ended = once(child, 'exit');
    if (child.kill()) await ended;
  });
  await until(`${program} to answer`, async () => (await get(answers, answers.host)).status === 200);
}

type Behind = { readonly socket: string; readonly files: string; readonly folder: string };

async function startNginx({ socket, files, folder }: Behind, stack: AsyncDisposableStack): Promise<Doors['nginx']> {
  const [app, page] = [await freePort(0), await freePort(0)];
  const config = `
daemon off; user root; worker_processes 1; pid ${folder}/nginx.pid; error_log ${folder}/nginx.log;
events { worker_connections 4096; }
http {
  access_log off; client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/proxy; fastcgi_temp_path ${folder}/f; uwsgi_temp_path ${folder}/u; scgi_temp_path ${folder}/s;
  map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
  upstream app { server unix:${socket}; keepalive 64; }
  server { listen 127.0.0.1:${app}; location / { proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Host $host; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade; } }
  server { listen 127.0.0.1:${page}; root ${files}; }
}`;
  await writeFile(join(folder, 'nginx.conf'), config);
  const doors = { app: new URL(`http://127.0.0.1:${app}`), files: new URL(`http://127.0.0.1:${page}`) };
  await serve('nginx', ['-c', join(folder, 'nginx.conf')], doors.files, stack);
  return doors;
}

async function startCaddy({ socket, files, folder }: Behind, stack: AsyncDisposableStack): Promise<Doors['caddy']> {
  const [app, page] = [await freePort(0), await freePort(0)];
  const config = `
{
  admin off
  auto_https off
  storage file_system ${folder}/caddy
}
http://127.0.0.1:${app} {
  reverse_proxy unix/${socket}
}
http://127.0.0.1:${page} {
  root * ${files}
  file_server
}
`;
  await writeFile(join(folder, 'Caddyfile'), config);
  const doors = { app: new URL(`http://127.0.0.1:${app}`), files: new URL(`http://127.0.0.1:${page}`) };
  // Processors for one, as the others have.
  await serve('env', ['GOMAXPROCS=1', 'caddy', 'run', '--config', join(folder, 'Caddyfile'), '--adapter', 'caddyfile'], doors.files, stack);
  return doors;
}

type Target = { readonly url: URL; readonly host: string };
type Load = { readonly connections: number; readonly seconds: number };

async function load({ url, host }: Target, { connections, seconds }: Load): Promise<autocannon.Result> {
  const result = await autocannon({ url: url.href, connections, duration: seconds, headers: { host } });
  if (result.errors > 0 || result.non2xx > 0)
    throw new Error(`${host}: ${result.errors} errors, ${result.non2xx} answers that are not 2xx`);
  return result;
}

/** Megabytes a second of one large download. */
async function download({ url, host }: Target): Promise<number> {
  const ms = await timed(
    () =>
      new Promise<void>((resolve, reject) => {
        const outgoing = request(new URL('/large', url), { headers: { host } }, (incoming) => {
          incoming.resume();
          incoming.once('end', resolve).once('error', reject);
        });
        outgoing.once('error', reject).end();
      }),
  );
  return (LARGE_MB * 1.048576) / (ms / 1_000);
}

function openEcho({ url, host }: Target): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(url.port), url.hostname);
    socket.once('error', reject);
    socket.write(`GET / HTTP/1.1\r\nhost: ${host}\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n`);
    socket.once('data', (head) => (head.toString().startsWith('HTTP/1.1 101') ? resolve(socket) : reject(new Error(head.toString()))));
  });
}

const echo = (socket: Socket): Promise<void> =>
  new Promise((resolve, reject) => {
    socket.once('data', () => resolve()).once('error', reject);
    socket.write('ping');
  });

/** Milliseconds to open so many connections that stay, and to hear an echo on each. */
async function manySockets(target: Target, count: number, meanwhile: () => Promise<void>): Promise<number> {
  const sockets: Socket[] = [];
  const ms = await timed(async () => {
    for (let n = 0; n < count; n += 50)
      sockets.push(...(await Promise.all(Array.from({ length: Math.min(50, count - n) }, () => openEcho(target)))));
    await Promise.all(sockets.map(echo));
  });
  await meanwhile();
  for (const socket of sockets) socket.destroy();
  return ms;
}

type Ground = {
  readonly mayfly: BenchMayfly;
  readonly app: Readonly<Record<Side, Target>>;
  readonly files: Readonly<Record<Side, Target>>;
  readonly direct: string;
};

async function openGround(stack: AsyncDisposableStack): Promise<Ground> {
  const mayfly = stack.use(await openMayfly({ MAYFLY_IDLE: '1d' }));
  await mayfly.start();
  const launched = async (name: string, files: Readonly<Record<string, string>>) => {
    const repo = await mayfly.github.createRepository({ name: `bench/${name}`, files });
    const site = await mayfly.reaches(await mayfly.github.openPull(repo, { files: { 'round.txt': name } }), 'ready');
    return { host: new URL(site.url).host };
  };
  const app = await launched('app', appFiles);
  const page = await launched('page', pageFiles);
  const sockets = join(mayfly.dataDir, 'run', 's');
  const [socket] = (await readdir(sockets)).filter((name) => name.endsWith('.sock'));
  if (socket === undefined) throw new Error('the app has no socket');
  const folder = await makeFolder(stack);
  await writeFile(join(folder, 'index.html'), pageFiles['index.html']);
  const behind: Behind = { socket: join(sockets, socket), files: folder, folder };
  const [nginx, caddy] = [await startNginx(behind, stack), await startCaddy(behind, stack)];
  const gate = new URL(mayfly.gate);
  const plain = (url: URL): Target => ({ url, host: url.host });
  return {
    mayfly,
    direct: behind.socket,
    app: { ours: { url: gate, ...app }, nginx: plain(nginx.app), caddy: plain(caddy.app) },
    files: { ours: { url: gate, ...page }, nginx: plain(nginx.files), caddy: plain(caddy.files) },
  };
}

const perSide = <T>(make: (side: Side) => T): Record<Side, T> => ({ ours: make('ours'), nginx: make('nginx'), caddy: make('caddy') });

export const gate: Measurement = {
  title: 'The gate, beside nginx and Caddy before the same app and the same files, each on one processor',
  async run({ scale, say }: Doing): Promise<readonly Row[]> {
    await using stack = new AsyncDisposableStack();
    const { mayfly, app, files, direct } = await openGround(stack);
    const rounds = scale === 'whole' ? 3 : 1;
    const seconds = scale === 'whole' ? 3 : 1;
    const rows: Row[] = [];
    const straight = async (): Promise<number> => {
      const result = await autocannon({ url: 'http://localhost', socketPath: direct, connections: 1, duration: seconds });
      return 1_000 / result.requests.average;
    };
    const alone = await inTurn(rounds, {
      direct: straight,
      ...perSide((side) => async () => 1_000 / (await load(app[side], { connections: 1, seconds })).requests.average),
    });
    const added = (side: Side) => alone(side).map((ms, round) => ms - (alone('direct')[round] ?? Number.NaN));
    rows.push(
      row(
        { what: 'proxied request, one at a time: added to the app’s own time', unit: 'ms', ours: added('ours') },
        { beside: { name: 'nginx', sample: added('nginx') }, bar: { text: '< 2 ms', is: (ours) => ours < 2 } },
      ),
    );
    const together = { connections: 50, seconds };
    const proxied = await inTurn(
      rounds,
      perSide((side) => async () => (await load(app[side], together)).requests.average),
    );
    const aim = { text: '≥ 0.4 × nginx', is: (ours: number, other: number) => ours >= 0.4 * other };
    rows.push(
      row(
        { what: 'proxied requests, 50 at once', unit: '/s', ours: proxied('ours') },
        { beside: { name: 'nginx', sample: proxied('nginx') }, bar: aim },
      ),
    );
    rows.push(
      row(
        { what: 'proxied requests, 50 at once', unit: '/s', ours: proxied('ours') },
        { beside: { name: 'Caddy', sample: proxied('caddy') } },
      ),
    );
    const sent = await inTurn(
      rounds,
      perSide((side) => async () => (await load(files[side], together)).requests.average),
    );
    rows.push(
      row({ what: 'a file of 20 kB, 50 at once', unit: '/s', ours: sent('ours') }, { beside: { name: 'nginx', sample: sent('nginx') } }),
    );
    rows.push(
      row({ what: 'a file of 20 kB, 50 at once', unit: '/s', ours: sent('ours') }, { beside: { name: 'Caddy', sample: sent('caddy') } }),
    );
    const before = await memoryOf(mayfly.pid);
    const large = await inTurn(
      rounds,
      perSide((side) => () => download(app[side])),
    );
    rows.push(
      row(
        { what: `a download of ${LARGE_MB} MB`, unit: 'MB/s', ours: large('ours') },
        { beside: { name: 'nginx', sample: large('nginx') } },
      ),
    );
    const afterDownloads = await memoryOf(mayfly.pid);
    const count = scale === 'whole' ? SOCKETS : 50;
    let withSockets = 0;
    const note = async (): Promise<void> => {
      withSockets = await memoryOf(mayfly.pid);
    };
    const sockets = await inTurn(
      rounds,
      perSide((side) => () => manySockets(app[side], count, side === 'ours' ? note : async () => {})),
    );
    rows.push(
      row(
        { what: `${count} WebSockets opened, each with an echo`, unit: 'ms', ours: sockets('ours') },
        { beside: { name: 'nginx', sample: sockets('nginx') } },
      ),
    );
    say(
      `memory: ${before.toFixed(0)} MiB before the downloads, ${afterDownloads.toFixed(0)} after, ${withSockets.toFixed(0)} with ${count} WebSockets open`,
    );
    rows.push(row({ what: `memory per open WebSocket`, unit: 'MiB', ours: [(withSockets - afterDownloads) / count] }));
    return rows;
  },
};
