import type { ClientRequest, IncomingMessage } from 'node:http';
import { MAX_PAGE_BYTES, maybeGoogles, type Verdict, verdictOf } from './cloud-run.ts';
import type { Exchange } from './exchange.ts';
import { type Moved, toTrailers, toVisitorHeaders } from './headers.ts';

/**
 * Whose answer this is. Undefined: the app's, with all of its body still to be read; `body`: the app's, and that is all of it; `broken`:
 * it ended before that could be told.
 */
export async function readVerdict(
  incoming: IncomingMessage,
  { request }: Exchange,
): Promise<{ readonly verdict: Verdict } | { readonly body: Buffer } | 'broken' | undefined> {
  // Without a body one cannot tell; whoever asks with HEAD sees the status.
  if (request.method === 'HEAD' || !maybeGoogles(incoming)) return undefined;
  let body = Buffer.alloc(0);
  try {
    for await (const chunk of incoming.iterator({ destroyOnReturn: false })) {
      body = Buffer.concat([body, chunk]);
      if (body.length <= MAX_PAGE_BYTES) continue;
      incoming.unshift(body);
      return undefined;
    }
  } catch {
    // The connection broke, which `attempt` hears of as well.
    return 'broken';
  }
  const verdict = verdictOf(incoming.statusCode ?? 0, body.toString('utf8'));
  return verdict === undefined ? { body } : { verdict };
}

/**
 * @param body all of the answer's body, if it was read already
 * @returns false when the answer's head cannot be written, so that nothing was sent
 */
export function passBack(
  incoming: IncomingMessage,
  { response }: Exchange,
  { moved, body }: { readonly moved: Moved | null; readonly body: Buffer | null },
): boolean {
  try {
    response.writeHead(incoming.statusCode ?? 502, incoming.statusMessage, toVisitorHeaders(incoming.rawHeaders, moved));
  } catch {
    // A status below 100 or control characters in the reason: not HTTP.
    return false;
  }
  if (body !== null) {
    response.end(body);
    return true;
  }
  // As `pipe` would, which for one small answer costs a tenth of the gate's time.
  incoming.on('data', (chunk: Buffer) => {
    if (response.write(chunk)) return;
    incoming.pause();
    response.once('drain', () => incoming.resume());
  });
  incoming.on('end', () => {
    const trailers = toTrailers(incoming.rawTrailers);
    if (trailers.length > 0 && response.chunkedEncoding) response.addTrailers(trailers);
    response.end();
  });
  // Cut off: the visitor has to notice that this is not all of it.
  incoming.on('error', () => response.destroy());
  incoming.on('close', () => {
    if (!incoming.complete) response.destroy();
  });
  // Node holds the head back until the body begins, which for server-sent events may be minutes later.
  setImmediate(() => {
    if (!response.writableEnded && !response.destroyed) response.flushHeaders();
  });
  return true;
}

/** 100 when the app wants the body; 102 and 103 as they come. HTTP/1.0 knows none of them. */
export function passEarlyAnswers(outgoing: ClientRequest, { request, response }: Exchange): void {
  if (request.httpVersion !== '1.1') return;
  const isEarly = () => !response.headersSent && !response.destroyed;
  if (request.headers.expect !== undefined) {
    outgoing.on('continue', () => {
      if (isEarly()) response.writeContinue();
    });
  }
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
