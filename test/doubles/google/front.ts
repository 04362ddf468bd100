import { request as ask, createServer, type IncomingMessage, type RequestOptions, type ServerResponse } from 'node:http';
import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { type GoogleCloud, regionOf } from './cloud.ts';
import { listen } from './http.ts';
import type { RunService } from './run-types.ts';
import type { Tokens } from './tokens.ts';

/** A visit to an instance, which stays while it lasts. */
export type Visit = Disposable & { readonly socket: string };
export type FrontOptions = {
  readonly cloud: GoogleCloud;
  readonly tokens: Tokens;
  /** The service as it is now; undefined once it is gone. */
  readonly service: () => RunService | undefined;
  /** Wakes the revision that serves. Undefined where none ever was ready; rejects where none starts. */
  readonly visit: () => Promise<Visit | undefined>;
};

/** https://cloud.google.com/run/quotas: over HTTP/1. */
const MAX_BYTES = 32 * 1024 * 1024;

type Refusal = { readonly status: number; readonly headers?: Readonly<Record<string, string>>; readonly body: string };
const page = (status: number, title: string, text: string): Refusal => ({
  status,
  headers: { 'content-type': 'text/html; charset=UTF-8', server: 'Google Frontend' },
  body: `<html><head>\n<meta http-equiv="content-type" content="text/html;charset=utf-8">\n<title>${status} ${title}</title>\n</head>\n<body text=#000000 bgcolor=#ffffff>\n<h1>Error: ${title}</h1>\n<h2>${text}</h2>\n<h2></h2>\n</body></html>\n`,
});
const NOT_FOUND = page(404, 'Page not found', 'The requested URL was not found on this server.');
const TOO_LARGE = page(413, 'Request Entity Too Large', 'Your client issued a request that was too large.');
const UNAVAILABLE: Refusal = {
  status: 503,
  headers: { 'content-type': 'text/plain', server: 'Google Frontend' },
  body: 'Service Unavailable',
};
const TIMEOUT: Refusal = { status: 504, headers: { 'content-type': 'text/plain' }, body: 'upstream request timeout' };

/**
 * A service's own address. Whoever comes needs an identity token of an account that may invoke the service, made out to this address; what
 * is refused is refused as Cloud Run does. @returns its origin
 */
export async function openFront(options: FrontOptions): Promise<AsyncDisposable & { readonly origin: string }> {
  const server = createServer((request, response) => void serve(options, origin, request, response));
  server.on('upgrade', (request, socket, head) => void tunnel(options, origin, { request, socket, head }));
  const origin = await listen(server);
  return {
    origin,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Why a request is not let in; undefined when it is. */
function refusal({ cloud, tokens, service }: FrontOptions, origin: string, { headers }: IncomingMessage): Refusal | undefined {
  const own = service();
  // Google tells services apart by this alone.
  if (!own || headers.host !== new URL(origin).host) return NOT_FOUND;
  if (cloud.faults.isDown(regionOf(own.name))) return UNAVAILABLE;
  if (own.ingress !== undefined && own.ingress !== 'INGRESS_TRAFFIC_ALL' && own.ingress !== 'INGRESS_TRAFFIC_UNSPECIFIED') return NOT_FOUND;
  const invokers = (cloud.policies.get(own.name)?.bindings ?? [])
    .filter(({ role }) => role === 'roles/run.invoker')
    .flatMap(({ members }) => members);
  if (own.invokerIamDisabled === true || invokers.includes('allUsers')) return undefined;
  const forbidden = page(403, 'Forbidden', 'Your client does not have permission to get URL <code>/</code> from this server.');
  const given = headers['x-serverless-authorization'] ?? headers.authorization;
  const token = /^Bearer (.+)$/i.exec(String(given ?? ''))?.[1];
  if (token === undefined) return forbidden;
  const identity = tokens.verified(token);
  if (!identity || !own.urls.includes(identity.audience)) {
    const challenge = 'Bearer error="invalid_token" error_description="The access token could not be verified"';
    const refused = page(401, 'Unauthorized', 'Your client does not have permission to the requested URL <code>/</code>.');
    return { ...refused, headers: { ...refused.headers, 'www-authenticate': challenge } };
  }
  return invokers.includes(`serviceAccount:${identity.email}`) ? undefined : forbidden;
}

/** What the container sees: the token without its signature, and where the request came from. */
function forwarded({ headers, socket }: IncomingMessage): Record<string, string | string[]> {
  const passed: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(headers)) if (value !== undefined) passed[name] = value;
  const name = headers['x-serverless-authorization'] === undefined ? 'authorization' : 'x-serverless-authorization';
  const given = headers[name];
  if (typeof given === 'string') passed[name] = given.replace(/\.[^.]*$/, '.SIGNATURE_REMOVED_BY_GOOGLE');
  const before = headers['x-forwarded-for'];
  passed['x-forwarded-for'] = [...(before === undefined ? [] : [String(before)]), socket.remoteAddress ?? '127.0.0.1'].join(',');
  passed['x-forwarded-proto'] = 'https';
  passed['x-cloud-trace-context'] = '0123456789abcdef0123456789abcdef/1;o=1';
  return passed;
}

const refuse = (response: ServerResponse, { status, headers = {}, body }: Refusal): void => {
  if (response.headersSent) return void response.destroy();
  response.writeHead(status, { ...headers, connection: 'close' }).end(body);
};

async function serve(options: FrontOptions, origin: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const refused = refusal(options, origin, request);
  if (refused) return refuse(response, refused);
  if (Number(request.headers['content-length'] ?? 0) > MAX_BYTES) return refuse(response, TOO_LARGE);
  const visit = await options.visit().catch(() => 'failed' as const);
  if (visit === 'failed') return refuse(response, UNAVAILABLE);
  if (!visit) return refuse(response, NOT_FOUND);
  response.once('close', () => visit[Symbol.dispose]());
  const limit = setTimeout(() => refuse(response, TIMEOUT), timeoutMs(options.service())).unref();
  response.once('close', () => clearTimeout(limit));
  const outgoing = ask(wayIn(visit, request));
  let sent = 0;
  request.on('data', (chunk: Buffer) => {
    sent += chunk.length;
    if (sent <= MAX_BYTES) return;
    outgoing.destroy();
    refuse(response, TOO_LARGE);
  });
  request.pipe(outgoing);
  outgoing.on('error', () => refuse(response, UNAVAILABLE));
  outgoing.on('response', (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.statusMessage, { ...answer.headers, server: 'Google Frontend' });
    answer.pipe(response);
    answer.on('error', () => response.destroy());
  });
  response.once('close', () => outgoing.destroy());
}

const wayIn = ({ socket }: Visit, request: IncomingMessage): RequestOptions => ({
  socketPath: socket,
  method: request.method,
  path: request.url,
  headers: forwarded(request),
  agent: false,
});

function timeoutMs(service: RunService | undefined): number {
  const seconds = Number(/^(\d+)s$/.exec(service?.template.timeout ?? '300s')?.[1] ?? 300);
  return seconds * 1000;
}

type Upgrade = { readonly request: IncomingMessage; readonly socket: Duplex; readonly head: Buffer };

/** WebSockets, which end with the service's time limit as well. */
async function tunnel(options: FrontOptions, origin: string, { request, socket, head }: Upgrade): Promise<void> {
  const end = ({ status, body }: Refusal): void =>
    void socket.end(`HTTP/1.1 ${status} Refused\r\nconnection: close\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
  const refused = refusal(options, origin, request);
  if (refused) return end(refused);
  const visit = await options.visit().catch(() => undefined);
  if (!visit) return end(UNAVAILABLE);
  const inside = connect(visit.socket);
  const limit = setTimeout(() => socket.destroy(), timeoutMs(options.service())).unref();
  const over = (): void => {
    clearTimeout(limit);
    visit[Symbol.dispose]();
    inside.destroy();
    socket.destroy();
  };
  inside.once('error', over).once('close', over);
  socket.once('error', over).once('close', over);
  const headers = Object.entries(forwarded(request)).flatMap(([name, value]) => [value].flat().map((one) => `${name}: ${one}\r\n`));
  inside.write(`${request.method} ${request.url} HTTP/1.1\r\n${headers.join('')}\r\n`);
  inside.write(head);
  inside.pipe(socket);
  socket.pipe(inside);
}
