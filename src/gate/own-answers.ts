import { discardBody, type Exchange, pathname } from './exchange.ts';
import { ROBOTS } from './headers.ts';
import { type Notice, renderNotice } from './notice.ts';

/** Answers with a page of ours, or its few words for what is not a browser. */
export function answerNotice(exchange: Pick<Exchange, 'request' | 'response'>, notice: Notice): void {
  const { request, response } = exchange;
  const { status, headers, body } = renderNotice(notice, request);
  response.writeHead(status, [...headers, ...ROBOTS, 'Content-Length', String(Buffer.byteLength(body))]);
  response.end(request.method === 'HEAD' ? undefined : body);
  discardBody(request);
}

const ROBOTS_TXT = 'User-agent: *\nDisallow: /\n';

/** True when it was asked for, and is answered: search engines stay out unless the site itself says otherwise. */
export function answerRobots(exchange: Pick<Exchange, 'request' | 'response' | 'path'>): boolean {
  const { request, response } = exchange;
  if (pathname(exchange.path) !== '/robots.txt' || (request.method !== 'GET' && request.method !== 'HEAD')) return false;
  const length = String(Buffer.byteLength(ROBOTS_TXT));
  response.writeHead(200, ['Content-Type', 'text/plain; charset=utf-8', 'Cache-Control', 'no-cache', 'Content-Length', length, ...ROBOTS]);
  response.end(request.method === 'HEAD' ? undefined : ROBOTS_TXT);
  discardBody(request);
  return true;
}
