import type { Agent } from 'node:http';
import type { Runner } from '../site/ports.ts';
import type { Live, Site } from '../site/site.ts';
import { isOver } from '../site/site-changes.ts';
import { discardBody, type Exchange, isNavigating, pathname } from './exchange.ts';
import { serveFile } from './files.ts';
import { ROBOTS } from './headers.ts';
import type { Log } from './log.ts';
import { type Notice, renderNotice } from './notice.ts';
import { appBroken, appLate, appWaking, methodNotAllowed, notFound, noticeOf, type PullOnForge, wakeFailed } from './pages.ts';
import { forward } from './proxy.ts';

export type ServeOptions = {
  readonly runner: Runner;
  readonly agent: Agent;
  readonly log: Log;
  readonly dataDir: string;
  readonly command: string;
  /** What the site's forge calls its pull, and the page there, for a link. */
  readonly pull: (site: Site) => Promise<PullOnForge>;
  readonly answerMs: number;
  readonly wakePatienceMs: number;
  /** The site as its row has it now. */
  readonly lookAgain: (site: Site) => Promise<Site | undefined>;
};

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

/** What visitors of this site get now. A site that is being removed has nothing to show any more, although it may still run. */
const liveOf = (site: Site): Live | null => (isOver(site) ? null : site.live);

/** Answers a request to a site that exists, or existed. Resolves when the answer is over. */
export async function serveSite(site: Site, exchange: Exchange, options: ServeOptions): Promise<void> {
  const live = liveOf(site);
  if (!live) {
    if (!answerRobots(exchange)) answerNotice(exchange, noticeOf(site, { command: options.command, pull: await options.pull(site) }));
    return;
  }
  if (live.served.kind === 'process') {
    const answered = await serveProcess(live.served.service, exchange, options);
    if (answered !== 'gone') return;
    // A launch or an end may have put another in its place, and its news be on its way to us.
    const now = await options.lookAgain(site);
    if (now && liveOf(now)?.revision !== live.revision) return serveSite(now, exchange, options);
    return answerNotice(exchange, wakeFailed());
  }
  if (exchange.request.method !== 'GET' && exchange.request.method !== 'HEAD') return answerNotice(exchange, methodNotAllowed());
  const found = await serveFile(exchange, { folder: live.served.folder, dataDir: options.dataDir });
  if (!found && !answerRobots(exchange)) answerNotice(exchange, notFound());
}

/** @returns `gone` when the app could not be brought up: then nothing was answered */
async function serveProcess(service: string, exchange: Exchange, options: ServeOptions): Promise<'gone' | undefined> {
  using _visit = options.runner.visit(service);
  const reached = await reach(service, exchange, options);
  if (reached === 'gone' || reached === undefined) return reached;
  const isRobots = pathname(exchange.path) === '/robots.txt';
  const outcome = await forward(exchange, {
    socket: reached.socket,
    agent: options.agent,
    answerMs: options.answerMs,
    decline: isRobots ? 404 : null,
  });
  switch (outcome) {
    case 'answered':
    case 'left':
      break;
    case 'declined':
      if (!answerRobots(exchange)) answerNotice(exchange, notFound());
      break;
    case 'late':
      answerNotice(exchange, appLate());
      break;
    case 'unreachable':
      answerNotice(exchange, appBroken());
      break;
    default:
      return outcome satisfies never;
  }
  return undefined;
}

/** The app's socket; `gone` when it did not come up. Undefined when it is too slow for somebody who looks at an empty page: they were answered. */
async function reach(
  service: string,
  exchange: Exchange,
  options: ServeOptions,
): Promise<{ readonly socket: string } | 'gone' | undefined> {
  const reaching = options.runner.reach(service).catch((cause: unknown) => {
    options.log.warn({ err: cause, service }, 'an app could not be reached');
    return 'gone' as const;
  });
  const isPatient = options.runner.isAwake(service) || !isNavigating(exchange.request);
  const reached = await (isPatient ? reaching : Promise.race([reaching, after(options.wakePatienceMs)]));
  if (exchange.response.destroyed) return undefined;
  if (reached !== 'waking') return reached;
  answerNotice(exchange, appWaking());
  return undefined;
}

const after = (ms: number): Promise<'waking'> => new Promise((resolve) => setTimeout(resolve, ms, 'waking').unref());
