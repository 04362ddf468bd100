import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { ROBOTS } from './headers.ts';

/** How long one direction may outlive the other: a visitor who is gone looks like one who has said all. */
const HALF_MS = 30_000;

type End = { readonly socket: Duplex; readonly head: Buffer };

/**
 * Passes the app's `101` on and joins both connections. An end of one direction is passed on as such; when either connection is gone,
 * so is the other. Resolves when both are closed.
 */
export async function joinConnections(visitor: End & { readonly answer: IncomingMessage }, app: End): Promise<void> {
  visitor.socket.write(toHead(visitor.answer), 'latin1');
  // What arrived together with the request or the answer belongs to the new protocol already.
  if (app.head.length > 0) visitor.socket.write(app.head);
  if (visitor.head.length > 0) app.socket.write(visitor.head);
  const both = [visitor.socket, app.socket];
  let timer: NodeJS.Timeout | undefined;
  for (const socket of both) {
    socket.once('end', () => {
      timer ??= setTimeout(() => both.forEach((each) => void each.destroy()), HALF_MS);
    });
  }
  await Promise.all([bind(visitor.socket, app.socket), bind(app.socket, visitor.socket)]);
  clearTimeout(timer);
}

function bind(from: Duplex, to: Duplex): Promise<void> {
  from.pipe(to);
  // A reset is how browsers and apps often part: there is nobody left to tell.
  from.on('error', () => from.destroy());
  return new Promise((resolve) => {
    const closed = () => {
      // What was read from it still goes out.
      if (!to.writableEnded) to.end();
      if (!from.readableEnded) to.destroy();
      resolve();
    };
    if (from.closed) closed();
    else from.once('close', closed);
  });
}

function toHead(answer: IncomingMessage): string {
  const lines = [`HTTP/1.1 101 ${answer.statusMessage ?? ''}`];
  const raw = answer.rawHeaders;
  for (let index = 0; index + 1 < raw.length; index += 2) {
    if (raw[index]?.toLowerCase() !== ROBOTS[0].toLowerCase()) lines.push(`${raw[index]}: ${raw[index + 1]}`);
  }
  return `${[...lines, ROBOTS.join(': ')].join('\r\n')}\r\n\r\n`;
}
