import { Agent, request } from 'node:http';
import { connect, type Socket } from 'node:net';
import autocannon from 'autocannon';
import { quantile, type Sample, timed } from './sample.ts';
import { LARGE_MB } from './servers.ts';

/** Who answers, and for which host. A socket of the machine instead of an address: straight to the app. */
export type Target = { readonly url: URL; readonly host: string; readonly socket?: string };
/** For so long, or until so many were answered. */
type Load = { readonly connections: number } & ({ readonly seconds: number } | { readonly requests: number });

export async function load({ url, host }: Target, { connections, ...until }: Load): Promise<autocannon.Result> {
  const end = 'seconds' in until ? { duration: until.seconds } : { amount: until.requests };
  const result = await autocannon({ url: url.href, connections, ...end, headers: { host } });
  if (result.errors > 0 || result.non2xx > 0)
    throw new Error(`${host}: ${result.errors} errors, ${result.non2xx} answers that are not 2xx`);
  return result;
}

/** Megabytes a second of one large download. */
export async function download({ url, host }: Target): Promise<number> {
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
export async function manySockets(target: Target, count: number, meanwhile: () => Promise<void>): Promise<number> {
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

/** Milliseconds that each of so many requests takes, one after the other on one connection. */
export async function oneAtATime({ url, host, socket }: Target, count: number): Promise<Sample> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const ask = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const outgoing = request(url, { agent, headers: { host }, ...(socket ? { socketPath: socket } : {}) }, (incoming) => {
        incoming.resume();
        incoming.once('end', resolve).once('error', reject);
      });
      outgoing.once('error', reject).end();
    });
  const times: number[] = [];
  for (let n = 0; n < count; n++) times.push(await timed(ask));
  agent.destroy();
  return times;
}

export const p50 = (times: Sample): number => quantile(times, 0.5);
export const p99 = (times: Sample): number => quantile(times, 0.99);
