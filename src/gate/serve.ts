import type { Runner } from '../site/ports.ts';
import type { Live, Site } from '../site/site.ts';
import { isOver } from '../site/site-changes.ts';
import { type Exchange, isNavigating, pathname } from './exchange.ts';
import { serveFile } from './files.ts';
import { answerNotice, answerRobots } from './own-answers.ts';
import { appBroken, appLate, appWaking, methodNotAllowed, notFound, noticeOf, type PullOnForge, serviceGone, wakeFailed } from './pages.ts';
import { forward } from './proxy.ts';
import { type RemoteOptions, serveRemote } from './serve-remote.ts';

export type ServeOptions = RemoteOptions & {
  /** Null where nothing runs on this machine. */
  readonly runner: Runner | null;
  readonly dataDir: string;
  readonly command: string;
  /** What the site's forge calls its pull, and the page there, for a link. */
  readonly pull: (site: Site) => Promise<PullOnForge>;
  /** The site as its row has it now. */
  readonly lookAgain: (site: Site) => Promise<Site | undefined>;
};

/** What visitors of this site get now. A site that is being removed has nothing to show any more, although it may still run. */
const liveOf = (site: Site): Live | null => (isOver(site) ? null : site.live);

/** Answers a request to a site that exists, or existed. Resolves when the answer is over. */
export async function serveSite(site: Site, exchange: Exchange, options: ServeOptions): Promise<void> {
  const live = liveOf(site);
  if (!live) {
    if (!answerRobots(exchange)) answerNotice(exchange, noticeOf(site, { command: options.command, pull: await options.pull(site) }));
    return;
  }
  const { served } = live;
  if (served.kind === 'static') return serveStatic(served.folder, exchange, options);
  const answered =
    served.kind === 'remote'
      ? await serveRemote({ id: site.id, origin: served.origin }, exchange, options)
      : await serveProcess(served.service, exchange, options);
  if (answered !== 'gone') return;
  // A launch or an end may have put another in its place, and its news be on its way to us.
  const now = await options.lookAgain(site);
  if (now && liveOf(now)?.revision !== live.revision) return serveSite(now, exchange, options);
  answerNotice(exchange, served.kind === 'remote' ? serviceGone() : wakeFailed());
}

async function serveStatic(folder: string, exchange: Exchange, options: ServeOptions): Promise<void> {
  if (exchange.request.method !== 'GET' && exchange.request.method !== 'HEAD') return answerNotice(exchange, methodNotAllowed());
  const found = await serveFile(exchange, { folder, dataDir: options.dataDir });
  if (!found && !answerRobots(exchange)) answerNotice(exchange, notFound());
}

/** @returns `gone` when the app could not be brought up: then nothing was answered */
async function serveProcess(service: string, exchange: Exchange, options: ServeOptions): Promise<'gone' | undefined> {
  const { runner } = options;
  if (runner === null) return 'gone';
  using _visit = runner.visit(service);
  const reached = await reach(service, exchange, { runner, log: options.log, wakePatienceMs: options.wakePatienceMs });
  if (reached === 'gone' || reached === undefined) return reached;
  const outcome = await forward(exchange, {
    door: reached,
    agents: options.agents,
    answerMs: options.answerMs,
    patienceMs: null,
    woke: () => undefined,
    maxBytes: Number.POSITIVE_INFINITY,
    decline: pathname(exchange.path) === '/robots.txt' ? 404 : null,
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
      // Nobody else speaks behind a socket of ours.
      answerNotice(exchange, appBroken());
  }
  return undefined;
}

/** The app's socket; `gone` when it did not come up. Undefined when it is too slow for somebody who looks at an empty page: they were answered. */
async function reach(
  service: string,
  exchange: Exchange,
  options: Pick<ServeOptions, 'log' | 'wakePatienceMs'> & { readonly runner: Runner },
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
