import http, { type Agent, type ClientRequest, type IncomingMessage } from 'node:http';
import { discardBody, type Exchange } from './exchange.ts';
import { type Body, toAppHeaders, toTrailers, toVisitorHeaders } from './headers.ts';
import { joinConnections } from './tunnel.ts';

export type App = {
  /** Path of the unix socket behind which it answers. */
  readonly socket: string;
  /** Keeps idle connections for the requests to come. */
  readonly agent: Agent;
  /** How long it may take until its answer begins, in milliseconds. */
  readonly answerMs: number;
  /** An answer with this status is not passed on but reported as `declined`; nothing was sent then. */
  readonly decline: number | null;
};

/**
 * `answered`: the visitor has the app's answer, or as much of it as came. Otherwise nothing was sent: `declined` (see `App`),
 * `unreachable` (no connection, or it broke before the answer), `late`, `left` (the visitor went away first).
 */
export type Outcome = 'answered' | 'declined' | 'unreachable' | 'late' | 'left';

/** RFC 9110 §9.2.2: to send one of these twice does no harm. */
const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'TRACE']);

/**
 * Passes a request on and the answer back, both as streams. Resolves when the exchange is over, or when it is clear that the app has
 * no answer.
 */
export async function forward(exchange: Exchange, app: App): Promise<Outcome> {
  const body = toBody(exchange.request);
  const first = await attempt(exchange, { app, body, connection: body === 'none' || body === 'empty' ? 'kept' : 'new' });
  // The app may close an idle connection in the moment we use it: that is no failure of the app.
  const again = first === 'stale' && IDEMPOTENT.has(exchange.request.method ?? '');
  const last = again ? await attempt(exchange, { app, body, connection: 'new' }) : first;
  return last === 'stale' ? 'unreachable' : last;
}

function toBody(request: IncomingMessage): Body {
  if (request.headers['transfer-encoding'] !== undefined) return 'chunked';
  if (request.headers['content-length'] !== undefined) return request.headers['content-length'] === '0' ? 'none' : 'sized';
  return request.method === 'POST' || request.method === 'PUT' || request.method === 'PATCH' ? 'empty' : 'none';
}

/** A request with a body goes over a connection of its own: it could not be repeated if a kept one turned out to be dead. */
type Attempt = { readonly app: App; readonly body: Body; readonly connection: 'kept' | 'new' };

function attempt(exchange: Exchange, { app, body, connection }: Attempt): Promise<Outcome | 'stale'> {
  const outgoing = open(exchange, { app, body, connection });
  if (!outgoing) return Promise.resolve('unreachable');
  const { promise, resolve } = Promise.withResolvers<Outcome | 'stale'>();
  let outcome: Outcome | 'stale' = 'unreachable';
  let over = Promise.resolve();
  const end = (as: Outcome) => {
    if (outcome === 'unreachable') outcome = as;
    outgoing.destroy();
  };
  const left = () => end('left');
  exchange.response.once('close', left);
  // From the end of the request on: a large upload may take its time.
  outgoing.once('finish', () => {
    const late = setTimeout(() => end('late'), app.answerMs);
    for (const event of ['response', 'upgrade', 'close']) outgoing.once(event, () => clearTimeout(late));
  });
  outgoing.once('response', (incoming) => {
    if (incoming.statusCode === app.decline) end('declined');
    else if (passBack(incoming, exchange)) outcome = 'answered';
    else outgoing.destroy();
  });
  outgoing.once('upgrade', (incoming, socket, head) => {
    outcome = 'answered';
    if (exchange.upgrade) over = joinConnections({ ...exchange.upgrade, answer: incoming }, { socket, head });
    else socket.destroy();
  });
  // What it means is told by `outcome`; once the answer has begun, its own stream ends it.
  outgoing.on('error', () => {
    if (outcome === 'unreachable' && outgoing.reusedSocket) outcome = 'stale';
  });
  outgoing.once('close', () => {
    exchange.response.off('close', left);
    if (outcome === 'answered') discardBody(exchange.request);
    resolve(over.then(() => outcome));
  });
  passEarlyAnswers(outgoing, exchange);
  sendBody(exchange.request, outgoing, body);
  return promise;
}

function open(exchange: Exchange, { app, body, connection }: Attempt): ClientRequest | undefined {
  const { request, path, upgrade } = exchange;
  try {
    return http.request({
      socketPath: app.socket,
      method: request.method ?? 'GET',
      path,
      headers: toAppHeaders(request.rawHeaders, { ...exchange, body, upgrade: upgrade?.protocol ?? null }),
      agent: connection === 'kept' ? app.agent : false,
    });
  } catch {
    // What Node's parser took, its writer may still refuse (characters in the path): no app could have answered that.
    return undefined;
  }
}

function sendBody(request: IncomingMessage, outgoing: ClientRequest, body: Body): void {
  if (body === 'none' || body === 'empty') {
    outgoing.end();
    return;
  }
  request.pipe(outgoing, { end: false });
  request.once('end', () => {
    const trailers = toTrailers(request.rawTrailers);
    if (body === 'chunked' && trailers.length > 0) outgoing.addTrailers(trailers);
    outgoing.end();
  });
}

/** @returns false when the answer's head cannot be written, so that nothing was sent */
function passBack(incoming: IncomingMessage, { response }: Exchange): boolean {
  try {
    response.writeHead(incoming.statusCode ?? 502, incoming.statusMessage, toVisitorHeaders(incoming.rawHeaders));
  } catch {
    // A status below 100 or control characters in the reason: not HTTP.
    return false;
  }
  incoming.pipe(response, { end: false });
  incoming.once('end', () => {
    const trailers = toTrailers(incoming.rawTrailers);
    if (trailers.length > 0 && response.chunkedEncoding) response.addTrailers(trailers);
    response.end();
  });
  // Cut off: the visitor has to notice that this is not all of it.
  incoming.on('error', () => response.destroy());
  incoming.once('close', () => {
    if (!incoming.complete) response.destroy();
  });
  // Node holds the head back until the body begins, which for server-sent events may be minutes later.
  setImmediate(() => {
    if (!response.writableEnded && !response.destroyed) response.flushHeaders();
  });
  return true;
}

/** 100 when the app wants the body; 102 and 103 as they come. HTTP/1.0 knows none of them. */
function passEarlyAnswers(outgoing: ClientRequest, { request, response }: Exchange): void {
  if (request.httpVersion !== '1.1') return;
  const isEarly = () => !response.headersSent && !response.destroyed;
  outgoing.on('continue', () => {
    if (isEarly() && request.headers.expect !== undefined) response.writeContinue();
  });
  outgoing.on('information', (early) => {
    if (!isEarly()) return;
    if (early.statusCode === 102) response.writeProcessing();
    if (early.statusCode !== 103 || early.headers.link === undefined) return;
    try {
      response.writeEarlyHints({ link: early.headers.link });
    } catch {
      // A link that Node finds malformed: a hint is no loss.
    }
  });
}
