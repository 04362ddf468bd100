import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Runner } from '../site/ports.ts';
import type { Site } from '../site/site.ts';
import { type AccessLog, openAccessLog } from './access-log.ts';
import { openAgents } from './agents.ts';
import type { Exchange } from './exchange.ts';
import { siteLabel, toRequestTarget } from './host.ts';
import type { IdentityTokens } from './identity-token.ts';
import type { Log } from './log.ts';
import { answerNotice, answerRobots } from './own-answers.ts';
import { malformed, overloaded, type PullOnForge, unknownHost } from './pages.ts';
import { createRecently } from './recently.ts';
import { openRoutes, type RoutesOptions, TooManyLookups } from './routes.ts';
import { type ServeOptions, serveSite } from './serve.ts';
import { listenAsGate } from './server.ts';
import { openUsageMeter, type UsageOptions } from './usage-meter.ts';
import { toTrustedProxies, toVisitor } from './visitor.ts';

/** What is counted: one call for each answer that is over. */
export type GateMetrics = { answered(answer: { readonly status: number; readonly ms: number }): void };

export type GateOptions = {
  /** 0 for any free port. */
  readonly port: number;
  /** Base under which every site has a host of its own, e.g. `http://preview.localhost:8080`. */
  readonly previewUrl: URL;
  readonly trustedProxies: readonly string[];
  readonly dataDir: string;
  /** The word that commands start with, for the pages. */
  readonly command: string;
  readonly routes: RoutesOptions;
  /** Of the processes on this machine; null where there are none. */
  readonly runner: Runner | null;
  /** For sites that run elsewhere and let in nobody but this gate; null where there are none. */
  readonly identity?: IdentityTokens | null;
  /** Adds what sites elsewhere were used to what is known of that. */
  readonly saveUsage?: UsageOptions['save'];
  /** What the site's forge calls its pull, and the page there; null when it is not known any more. */
  readonly pull: (site: Site) => Promise<PullOnForge>;
  readonly log: Log;
  readonly metrics?: GateMetrics;
  readonly times?: Partial<typeof TIMES>;
};

/** In milliseconds. */
const TIMES = {
  /** Until the app begins to answer a request that it has in full. */
  answer: 120_000,
  /** That somebody may look at an empty page before one says that the app is waking. */
  wakePatience: 1_000,
  /** For which a service elsewhere that answered is taken to be awake: Cloud Run keeps an idle instance for up to 15 minutes. */
  awake: 10 * 60_000,
  /** Without a byte in either direction in the middle of a message. */
  stall: 120_000,
  /** For the head of a request. */
  head: 15_000,
  /** For what is in flight when we stop. */
  stop: 10_000,
};

const MAX_AWAKE = 5_000;

export interface Gate extends AsyncDisposable {
  readonly port: number;
}

/** Opens the one way in to every site. Disposing of it finishes what is in flight, within a limit, and closes the rest. */
export async function openGate(options: GateOptions): Promise<Gate> {
  const times = { ...TIMES, ...options.times };
  await using stack = new AsyncDisposableStack();
  const accessLog = stack.use(openAccessLog(options));
  const routes = stack.use(openRoutes(options.routes));
  const serve: ServeOptions = {
    ...options,
    identity: options.identity ?? null,
    usage: stack.use(openUsageMeter({ save: options.saveUsage ?? (async () => undefined), log: options.log })),
    awake: createRecently(MAX_AWAKE, times.awake),
    agents: stack.use(openAgents()),
    answerMs: times.answer,
    wakePatienceMs: times.wakePatience,
    lookAgain: (site) => routes.lookupAnew(site.host),
  };
  const trusted = toTrustedProxies(options.trustedProxies);
  const previewHost = options.previewUrl.hostname.toLowerCase();

  async function handle(request: IncomingMessage, response: ServerResponse, upgrade: Exchange['upgrade']): Promise<void> {
    const started = performance.now();
    const sentBefore = request.socket.bytesWritten;
    const target = isWellFramed(request) ? toRequestTarget(request) : undefined;
    if (!target) return answerNotice({ request, response }, malformed());
    const visitor = toVisitor(request, { trusted, preview: options.previewUrl, authority: target.authority });
    const exchange: Exchange = { request, response, upgrade, visitor, ...target };
    const label = siteLabel(target.authority, previewHost);
    const site = label === undefined ? undefined : await routes.lookup(label);
    response.on('close', () => {
      const ms = Math.round(performance.now() - started);
      options.metrics?.answered({ status: response.statusCode, ms });
      if (site && site.status !== 'ended') record(accessLog, { site, exchange, ms, bytes: request.socket.bytesWritten - sentBefore });
    });
    if (site) return serveSite(site, exchange, serve);
    if (!answerRobots(exchange)) answerNotice(exchange, unknownHost());
  }

  const server = await listenAsGate({ port: options.port, times }, async (request, response, upgrade) => {
    try {
      await handle(request, response, upgrade);
    } catch (cause) {
      // The database is away, or a bug: the visitor gets a page either way, the operator the cause.
      if (!(cause instanceof TooManyLookups)) options.log.error({ err: cause }, 'a request to the gate failed');
      if (response.headersSent) response.destroy();
      else answerNotice({ request, response }, overloaded());
    }
  });
  stack.use(server);
  const owned = stack.move();
  return { port: server.port, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** Only framing that everybody reads in the same way: no coding but `chunked`, never together with a length (RFC 9112 §6.1). */
function isWellFramed({ headers }: IncomingMessage): boolean {
  const coding = headers['transfer-encoding'];
  return coding === undefined || (coding.toLowerCase() === 'chunked' && headers['content-length'] === undefined);
}

type Recorded = { readonly site: Site; readonly exchange: Exchange; readonly ms: number; readonly bytes: number };

function record(accessLog: AccessLog, { site, exchange, ms, bytes }: Recorded): void {
  const { request, response, visitor, path, upgrade } = exchange;
  accessLog.add(site.id, {
    at: new Date(),
    address: visitor.address,
    method: request.method ?? '',
    path,
    status: upgrade && !response.headersSent ? 101 : response.statusCode,
    bytes,
    ms,
    agent: request.headers['user-agent'] ?? '',
  });
}
