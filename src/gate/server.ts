import { once } from 'node:events';
import http, { type IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Exchange } from './exchange.ts';
import { ROBOTS } from './headers.ts';

type Handle = (request: IncomingMessage, response: ServerResponse, upgrade: Exchange['upgrade']) => Promise<void>;
type Times = { readonly stall: number; readonly head: number; readonly stop: number };

/** Longer than the 60 s after which common load balancers close an idle connection: theirs to close, not ours. */
const KEEP_ALIVE_MS = 65_000;

/** node:http, set up to face strangers. */
export async function listenAsGate(
  options: { readonly port: number; readonly times: Times },
  handle: Handle,
): Promise<AsyncDisposable & { readonly port: number }> {
  const { times } = options;
  const upgraded = new Set<Socket>();
  const server = http.createServer({
    headersTimeout: times.head,
    // A large upload may take longer than any fixed time; one that stalls is ended by `watchStall`.
    requestTimeout: 0,
    connectionsCheckingInterval: Math.min(5_000, times.head),
    keepAliveTimeout: KEEP_ALIVE_MS,
    shouldUpgradeCallback: mayUpgrade,
  });
  server.timeout = times.stall;
  const closeIdle = () => {
    if (!server.listening) setImmediate(() => server.closeIdleConnections());
  };
  const plain = (request: IncomingMessage, response: ServerResponse) => {
    watchStall(request, response, times.stall);
    response.on('close', closeIdle);
    void handle(request, response, null);
  };
  server.on('request', plain);
  // The app says whether it wants the body.
  server.on('checkContinue', plain);
  server.on('upgrade', (request: IncomingMessage, _socket: unknown, head: Buffer) => {
    const { socket } = request;
    upgraded.add(socket);
    socket.once('close', () => upgraded.delete(socket));
    void handle(request, answerOn(request), { protocol: request.headers.upgrade ?? '', socket, head });
  });
  server.on('connect', (_request, socket) => socket.end(refusal(405)));
  server.on('clientError', onClientError);
  server.listen(options.port);
  await once(server, 'listening');
  return { port: portOf(server.address()), [Symbol.asyncDispose]: () => stop(server, upgraded, times.stop) };
}

const portOf = (address: string | AddressInfo | null): number => (address !== null && typeof address === 'object' ? address.port : 0);

/** A connection is handed over only where nothing else could be in it: a GET without a body. `h2c` is answered as HTTP/1.1. */
function mayUpgrade({ method, headers }: IncomingMessage): boolean {
  const hasBody = headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0';
  return method === 'GET' && !hasBody && headers.upgrade !== undefined && !/\bh2c?\b/i.test(headers.upgrade);
}

/** An answer on a connection that Node has handed over, for whoever has to refuse. */
function answerOn(request: IncomingMessage): ServerResponse {
  const { socket } = request;
  const response = new ServerResponse(request);
  response.shouldKeepAlive = false;
  socket.setTimeout(0);
  socket.setKeepAlive(true, 30_000);
  socket.on('error', () => socket.destroy());
  response.assignSocket(socket);
  socket.on('drain', () => response.emit('drain'));
  response.once('finish', () => socket.end());
  return response;
}

/** Ends a connection on which the visitor neither sends what was promised nor takes what is sent. Silence of the app is no stall. */
function watchStall(request: IncomingMessage, response: ServerResponse, ms: number): void {
  response.on('timeout', (socket: Socket) => {
    if (!request.complete || socket.writableLength > 0) socket.destroy();
    else socket.setTimeout(ms);
  });
}

const REASONS: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  405: 'Method Not Allowed',
  408: 'Request Timeout',
  413: 'Payload Too Large',
  431: 'Request Header Fields Too Large',
};

const refusal = (status: number): string =>
  `HTTP/1.1 ${status} ${REASONS[status]}\r\nConnection: close\r\nContent-Length: 0\r\n${ROBOTS.join(': ')}\r\n\r\n`;

function onClientError(error: NodeJS.ErrnoException, socket: import('node:stream').Duplex): void {
  const status = error.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 408 : error.code === 'HPE_HEADER_OVERFLOW' ? 431 : 400;
  // Something of an answer may be under way already: then only closing is left.
  const isSilent = 'bytesWritten' in socket && socket.bytesWritten === 0;
  if (socket.writable && error.code !== 'ECONNRESET' && isSilent) socket.end(refusal(status));
  else socket.destroy();
}

async function stop(server: http.Server, upgraded: ReadonlySet<Socket>, ms: number): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  for (const socket of upgraded) socket.destroySoon();
  const timer = setTimeout(() => {
    server.closeAllConnections();
    for (const socket of upgraded) socket.destroy();
  }, ms);
  await closed;
  clearTimeout(timer);
}
