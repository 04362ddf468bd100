import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort } from '../demo/ports.ts';
import { get, until } from './mayfly.ts';

/** Of the download that the app answers `/large` with, in units of 2²⁰ bytes. */
export const LARGE_MB = 100;

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
export const appFiles = {
  'package.json': JSON.stringify({ name: 'gate', private: true, scripts: { start: 'node server.js' } }),
  'server.js': APP,
};
export const pageFiles = { 'index.html': `<!doctype html><title>page</title>${'x'.repeat(20_000)}` };

/** A program that serves until the measurement is over; resolves when it answers. */
async function serve(program: string, args: readonly string[], answers: URL, stack: AsyncDisposableStack): Promise<void> {
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', program, ...args], { stdio: 'ignore' });
  stack.defer(async () => {
    const ended = once(child, 'exit');
    if (child.kill()) await ended;
  });
  await until(`${program} to answer`, async () => (await get(answers, answers.host)).status === 200);
}

/** What both stand before: the app's socket, and a folder of files; `folder` is for their own. */
export type Behind = { readonly socket: string; readonly files: string; readonly folder: string };

/** Where a server answers for the app, and for the files. */
export type Doors = { readonly app: URL; readonly files: URL };

export async function startNginx({ socket, files, folder }: Behind, stack: AsyncDisposableStack): Promise<Doors> {
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

export async function startCaddy({ socket, files, folder }: Behind, stack: AsyncDisposableStack): Promise<Doors> {
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
