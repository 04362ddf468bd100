// Runs inside every box that has doors, so it is one small file of plain JavaScript without dependencies.
//
//   node relay.mjs '<doors as JSON>' '<command>'
//
// A door { direction: 'inward', port, fd }: connections accepted on the inherited listening socket `fd` reach the port on loopback. The
// socket's name stays outside, so nothing in the box can put another one in its place. A door { direction: 'outward', port, path }:
// connections to 127.0.0.1:port reach the unix socket `path`. The command is started once every door is open, and its exit is ours.
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { createConnection, createServer } from 'node:net';
import { constants } from 'node:os';

/** The box's, where it has processes of its own. */
const INIT = 1;
const [doorsText = '[]', command = 'true'] = process.argv.slice(2);
const doors = JSON.parse(doorsText);

/** Joins two sockets both ways: `pipe` waits for the slower side, and an end on one side is an end on the other, not a cut. */
function join(near, connect) {
  const far = connect();
  near.pipe(far);
  far.pipe(near);
  near.on('error', () => far.destroy());
  far.on('error', () => near.destroy());
  near.on('close', () => far.destroySoon());
  far.on('close', () => near.destroySoon());
}

/** An app that listens on `localhost` may mean either address: the second is tried when nobody is at the first. */
const LOOPBACK = [
  { address: '127.0.0.1', family: 4 },
  { address: '::1', family: 6 },
];
const loopback = { host: 'localhost', autoSelectFamily: true, lookup: (_name, _options, found) => found(null, LOOPBACK) };

const opened = doors.map((door) => {
  const target = door.direction === 'inward' ? { ...loopback, port: door.port } : { path: door.path };
  const place = door.direction === 'inward' ? { fd: door.fd } : { host: '127.0.0.1', port: door.port };
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (near) =>
    join(near, () => createConnection({ ...target, allowHalfOpen: true, noDelay: true })),
  );
  return new Promise((resolve, reject) => server.on('error', reject).listen(place, resolve));
});

// A stop is for the app: it may still answer what is under way, and needs its doors until it exits.
let isStopping = false;
const stop = () => {
  isStopping = true;
};
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, stop);

await Promise.all(opened);
const child = spawn('/bin/sh', ['-c', command], { stdio: ['ignore', 'inherit', 'inherit'] });
child.on('error', () => process.exit(127));
child.on('exit', (code, signal) => {
  const end = () => process.exit(code ?? 128 + (constants.signals[signal] ?? 0));
  // Our exit ends everything in the box. The shell is the first to go when it is told to; what it started may still be at it.
  if (isStopping && process.ppid === INIT) whenAlone(end);
  else end();
});

/** Calls `then` once nobody else is in the box but its init; whoever stops us does not wait for ever. */
function whenAlone(then) {
  const others = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && Number(name) !== INIT && Number(name) !== process.pid);
  if (others.length === 0) then();
  else setTimeout(() => whenAlone(then), 10);
}
