import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Visitor } from './visitor.ts';

/** One request and its answer. */
export type Exchange = {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Origin form, with the query. */
  readonly path: string;
  /** Host and port as the visitor wrote them. */
  readonly authority: string;
  readonly visitor: Visitor;
  /** Set when the visitor asked for another protocol; `head` is what came after the request already. */
  readonly upgrade: { readonly protocol: string; readonly socket: Socket; readonly head: Buffer } | null;
};

/** The path without its query. */
export const pathname = (path: string): string => path.split('?', 1)[0] ?? '';

/** Someone who looks at pages: `Accept` names HTML. Scripts and `curl` do not. */
export const isBrowser = (request: IncomingMessage): boolean => /\btext\/html\b/i.test(request.headers.accept ?? '');

/** A browser that goes to a page, and not a part of one: it may be shown a page of ours instead. */
export function isNavigating(request: IncomingMessage): boolean {
  const mode = request.headers['sec-fetch-mode'];
  return request.method === 'GET' && isBrowser(request) && (mode === undefined || mode === 'navigate');
}

/** After this long without an end to it, a body that nobody reads is cut off. */
const LINGER_MS = 5_000;

/**
 * For an answer that does not wait for the request's body: takes the rest in and drops it, so that the visitor gets to read the
 * answer, but not for ever.
 */
export function discardBody(request: IncomingMessage): void {
  if (request.complete) return;
  request.unpipe();
  request.resume();
  const timer = setTimeout(() => request.socket.destroy(), LINGER_MS);
  timer.unref();
  request.once('close', () => clearTimeout(timer));
  request.once('end', () => clearTimeout(timer));
}
