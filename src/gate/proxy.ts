import http, { type ClientRequest, type IncomingMessage } from 'node:http';
import https from 'node:https';
import type { Agents } from './agents.ts';
import type { Verdict } from './cloud-run.ts';
import { discardBody, type Exchange } from './exchange.ts';
import { type Body, type Moved, toAppHeaders, toTrailers } from './headers.ts';
import { passBack, passEarlyAnswers, readVerdict } from './pass-back.ts';
import { joinConnections } from './tunnel.ts';

/** Behind which an app answers: the path of a unix socket, or an origin elsewhere that wants to know who we are. */
export type Door = { readonly socket: string } | { readonly origin: string; readonly token: string };

export type App = {
  readonly door: Door;
  readonly agents: Agents;
  /** How long it may take until its answer begins, in milliseconds. */
  readonly answerMs: number;
  /** After so long without an answer, or never, the visitor is not kept waiting; the app is, and `woke` is called when it answers. */
  readonly patienceMs: number | null;
  readonly woke: () => void;
  /** The largest body that may be sent, in bytes. */
  readonly maxBytes: number;
  /** An answer with this status is not passed on but reported as `declined`; nothing was sent then. */
  readonly decline: number | null;
};

/**
 * `answered`: the visitor has the app's answer, or as much of it as came. Otherwise nothing was sent: `declined` (see `App`),
 * `unreachable` (no connection, or it broke before the answer), `late`, `waking` (see `patienceMs`), `left` (the visitor went away
 * first), or what was said by others in the app's place.
 */
export type Outcome = 'answered' | 'declined' | 'unreachable' | 'late' | 'waking' | 'left' | Verdict;

/** RFC 9110 §9.2.2: to send one of these twice does no harm. */
const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'TRACE']);

/**
 * Passes a request on and the answer back, both as streams. Resolves when the exchange is over, or when it is clear that the app has
 * no answer.
 */
export async function forward(exchange: Exchange, app: App): Promise<Outcome> {
  const body = toBody(exchange.request);
  if (Number(exchange.request.headers['content-length'] ?? 0) > app.maxBytes) return 'too-large';
  const first = await attempt(exchange, { app, body, connection: body === 'none' || body === 'empty' ? 'kept' : 'new' });
  // The app may close an idle connection in the moment we use it: that is no failure of the app.
  const again = first === 'stale' && IDEMPOTENT.has(exchange.request.method ?? '');
  const last = again ? await attempt(exchange, { app, body, connection: 'new' }) : first;
  return last === 'stale' ? 'unreachable' : last;
}

/** Whether the same may be asked once more after it was refused: nothing of a body is gone, and to repeat it does no harm. */
export const isRepeatable = ({ request }: Exchange): boolean => IDEMPOTENT.has(request.method ?? '') && toBody(request) === 'none';

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
  let over: Promise<unknown> = Promise.resolve();
  const end = (as: Outcome) => {
    if (outcome === 'unreachable') outcome = as;
    if (as !== 'answered') outgoing.destroy();
  };
  const left = () => end('left');
  exchange.response.on('close', left);
  limitTime(outgoing, app, {
    late: () => end('late'),
    waking() {
      outcome = 'waking';
      exchange.response.off('close', left);
      resolve('waking');
    },
  });
  outgoing.on('response', (incoming) => {
    if (outcome !== 'waking') {
      over = takeAnswer(incoming, exchange, app).then(end);
      return;
    }
    // Nobody waits for this one any more; that the app answers is what counts.
    app.woke();
    outgoing.destroy();
  });
  outgoing.on('upgrade', (incoming, socket, head) => {
    outcome = 'answered';
    app.woke();
    if (exchange.upgrade) over = joinConnections({ ...exchange.upgrade, answer: incoming }, { socket, head });
    else socket.destroy();
  });
  // What it means is told by `outcome`; once the answer has begun, its own stream ends it.
  outgoing.on('error', () => {
    if (outcome === 'unreachable' && outgoing.reusedSocket) outcome = 'stale';
  });
  outgoing.on('close', async () => {
    exchange.response.off('close', left);
    await over;
    if (outcome === 'answered') discardBody(exchange.request);
    resolve(outcome);
  });
  passEarlyAnswers(outgoing, exchange);
  sendBody(exchange.request, outgoing, { body, maxBytes: app.maxBytes, tooLarge: () => end('too-large') });
  return promise;
}

/** Passes the answer back, unless it is declined or said by others in the app's place. */
async function takeAnswer(incoming: IncomingMessage, exchange: Exchange, app: App): Promise<Outcome> {
  if (incoming.statusCode === app.decline) return 'declined';
  const read = 'origin' in app.door ? await readVerdict(incoming, exchange) : undefined;
  if (read === 'broken') return 'unreachable';
  if (read !== undefined && 'verdict' in read) return read.verdict;
  app.woke();
  return passBack(incoming, exchange, { moved: movedOf(exchange, app), body: read?.body ?? null }) ? 'answered' : 'unreachable';
}

/** From the end of the request on: a large upload may take its time. The answer may have begun by then. */
function limitTime(outgoing: ClientRequest, app: App, tell: { readonly late: () => void; readonly waking: () => void }): void {
  let isOver = false;
  const timers: NodeJS.Timeout[] = [];
  outgoing.on('finish', () => {
    if (isOver) return;
    timers.push(setTimeout(tell.late, app.answerMs));
    // The visitor gets a page of ours meanwhile; the request stays, since it is what wakes the app.
    if (app.patienceMs !== null) timers.push(setTimeout(tell.waking, app.patienceMs));
  });
  const stop = () => {
    isOver = true;
    for (const timer of timers) clearTimeout(timer);
  };
  for (const event of ['response', 'upgrade', 'close']) outgoing.on(event, stop);
}

/** What an app elsewhere calls itself, and what visitors call it. */
const movedOf = ({ visitor, authority }: Exchange, { door }: App): Moved | null =>
  'origin' in door ? { from: door.origin, to: `${visitor.proto}://${authority}` } : null;

function open(exchange: Exchange, { app, body, connection }: Attempt): ClientRequest | undefined {
  const { request, path, upgrade } = exchange;
  const { door, agents } = app;
  const said = { ...exchange, body, upgrade: upgrade?.protocol ?? null };
  const common = { method: request.method ?? 'GET', path };
  try {
    if ('socket' in door) {
      const headers = toAppHeaders(request.rawHeaders, { ...said, elsewhere: null });
      return http.request({ ...common, socketPath: door.socket, headers, agent: agents.of('http:', connection) });
    }
    const { protocol, hostname, port, host } = new URL(door.origin);
    const headers = toAppHeaders(request.rawHeaders, { ...said, elsewhere: { host, token: door.token } });
    const to = { ...common, hostname, port, headers };
    if (protocol === 'https:') return https.request({ ...to, servername: hostname, agent: agents.of('https:', connection) });
    return http.request({ ...to, agent: agents.of('http:', connection) });
  } catch {
    // What Node's parser took, its writer may still refuse (characters in the path): no app could have answered that.
    return undefined;
  }
}

type Sending = { readonly body: Body; readonly maxBytes: number; readonly tooLarge: () => void };

function sendBody(request: IncomingMessage, outgoing: ClientRequest, { body, maxBytes, tooLarge }: Sending): void {
  if (body === 'none' || body === 'empty') {
    outgoing.end();
    return;
  }
  let sent = 0;
  if (maxBytes !== Number.POSITIVE_INFINITY) {
    request.on('data', (chunk: Buffer) => {
      sent += chunk.length;
      if (sent > maxBytes) tooLarge();
    });
  }
  request.pipe(outgoing, { end: false });
  request.once('end', () => {
    const trailers = toTrailers(request.rawTrailers);
    if (body === 'chunked' && trailers.length > 0) outgoing.addTrailers(trailers);
    outgoing.end();
  });
}
