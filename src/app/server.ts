import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { getRequestListener, type HttpBindings } from '@hono/node-server';
import { Hono } from 'hono';
import { routePath } from 'hono/route';
import type { Logger } from 'pino';
import { problem } from './api.ts';
import type { Metrics } from './metrics.ts';
import type { Webhooks } from './webhooks.ts';

export type ServerParts = {
  /** 0: any that is free. */
  readonly port: number;
  readonly webhooks: Webhooks;
  /** Routes under `/api/v1`. */
  readonly api: Hono<{ Bindings: HttpBindings }>;
  /** Routes under `/setup`. */
  readonly setup: Hono<{ Bindings: HttpBindings }>;
  readonly metrics: Metrics;
  /** What a request that is let in needs. Each within 2 s; one that throws is not ready. */
  readonly ready: Readonly<Record<string, () => Promise<boolean>>>;
  /** Those that are connected now. None is no reason to be sent nobody: how else would somebody connect one? */
  readonly forges: () => readonly string[];
  readonly log: Logger;
  /** How long headers, and then a whole request, may take to arrive; 10 s and 15 s when absent. */
  readonly patience?: Patience;
};
export type Patience = { readonly headersMs: number; readonly requestMs: number };

export interface ControlPlane extends AsyncDisposable {
  readonly port: number;
}

const PATIENCE: Patience = { headersMs: 10_000, requestMs: 15_000 };
const MAX_CONNECTIONS = 4_000;
/** How long requests in flight may take when we stop. */
const STOP_MS = 10_000;
const READY_MS = 2_000;

const SECURITY_HEADERS = {
  'X-Content-Type-Options': 'nosniff',
  'Content-Security-Policy': "default-src 'none'; frame-ancestors 'none'",
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Cache-Control': 'no-store',
  'X-Robots-Tag': 'noindex, nofollow',
} as const;

/** Opens the control plane's port. Disposing stops taking requests, and waits for those in flight. */
export async function openServer(parts: ServerParts): Promise<ControlPlane> {
  const app = createApp(parts);
  const listener = getRequestListener((request, env) => app.fetch(request, env), { overrideGlobalObjects: false });
  const { headersMs, requestMs } = parts.patience ?? PATIENCE;
  // Who is too slow is looked for ten times as often as that: Node's own 30 s would let them stay for as long.
  const options = { headersTimeout: headersMs, requestTimeout: requestMs, connectionsCheckingInterval: Math.ceil(headersMs / 10) };
  const server = createServer(options, (incoming, outgoing) => {
    for (const [name, value] of Object.entries(SECURITY_HEADERS)) outgoing.setHeader(name, value);
    measure(parts.metrics, incoming, outgoing);
    if (!parts.webhooks.handle(incoming, outgoing)) void listener(incoming, outgoing);
  });
  server.maxConnections = MAX_CONNECTIONS;
  await listen(server, parts.port);
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('The control plane has no port');
  return {
    port: address.port,
    async [Symbol.asyncDispose]() {
      await stop(server);
      await parts.webhooks[Symbol.asyncDispose]();
    },
  };
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

/** Connections that fall idle while others are still being answered are closed as they do. */
async function stop(server: Server): Promise<void> {
  const idle = setInterval(() => server.closeIdleConnections(), 50);
  const late = setTimeout(() => server.closeAllConnections(), STOP_MS);
  try {
    await new Promise<void>((resolve) => server.close(() => resolve()));
  } finally {
    clearInterval(idle);
    clearTimeout(late);
  }
}

function measure(metrics: Metrics, incoming: IncomingMessage, outgoing: ServerResponse): void {
  const start = performance.now();
  outgoing.once('finish', () => {
    const route = ROUTES.get(incoming) ?? (incoming.url?.startsWith('/api/') ? '/api/:forge/webhooks' : 'other');
    metrics.answered({
      route,
      method: METHODS.has(incoming.method ?? '') ? (incoming.method ?? '') : 'other',
      status: outgoing.statusCode,
      ms: performance.now() - start,
    });
  });
}

const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'DELETE']);
/** The pattern that took a request, for its label. */
const ROUTES = new WeakMap<IncomingMessage, string>();

function createApp({ api, setup, metrics, ready, forges, log }: ServerParts): Hono<{ Bindings: HttpBindings }> {
  const app = new Hono<{ Bindings: HttpBindings }>();
  app.use(async (c, next) => {
    await next();
    const route = routePath(c, -1);
    ROUTES.set(c.env.incoming, route === '/*' ? 'other' : route);
  });
  app.get('/healthz', (c) => c.json({ status: 'ok' }));
  app.get('/readyz', async (c) => {
    const names = Object.keys(ready);
    const checks = await Promise.all(names.map(async (name) => [name, await isReady(ready[name])] as const));
    const allReady = checks.every(([, isUp]) => isUp);
    const told = Object.fromEntries(checks.map(([name, isUp]) => [name, isUp ? 'reachable' : 'unreachable']));
    return c.json({ status: allReady ? 'ready' : 'not ready', ...told, forges: forges() }, allReady ? 200 : 503);
  });
  app.get('/metrics', async (c) => c.body(await metrics.text(), 200, { 'Content-Type': metrics.contentType }));
  app.get('/', (c) =>
    forges().length === 0
      ? c.redirect('/setup')
      : c.text('Mayfly: preview sites for pull and merge requests. It is running; every site is linked from its request.\n'),
  );
  app.route('/api/v1', api);
  app.route('/setup', setup);
  app.notFound((c) => problem(c, 'not-found'));
  app.onError(async (error, c) => {
    // Told whole in the log, and as one neutral sentence outside: of a bug, or of a database that is away.
    log.error({ err: error, method: c.req.method, path: c.req.path }, 'a request failed');
    const isUp = (await Promise.all(Object.values(ready).map(isReady))).every((up) => up);
    return problem(c, isUp ? 'unexpected' : 'unavailable');
  });
  return app;
}

async function isReady(check: (() => Promise<boolean>) | undefined): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(resolve, READY_MS, false);
  });
  try {
    return (await Promise.race([check?.(), late])) === true;
  } catch {
    // Whatever the reason: what throws is not reachable.
    return false;
  } finally {
    clearTimeout(timer);
  }
}
