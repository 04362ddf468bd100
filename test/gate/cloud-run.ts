import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import http, { type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import https from 'node:https';
import type { Duplex } from 'node:stream';
import { IdentityError, type IdentityTokens, openIdentityTokens } from '../../src/gate/identity-token.ts';
import type { Log } from '../../src/gate/log.ts';
import type { LOCALHOST } from './localhost-tls.ts';

export const GATE = 'gate@acme-previews.iam.gserviceaccount.com';
const KEY = 'of Google alone';

const encoded = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
const signature = (text: string): string => createHmac('sha256', KEY).update(text).digest('base64url');

/** As the metadata server issues them, but for the algorithm. `exp` in seconds since 1970. */
export function issueToken(aud: string, { email = GATE, exp = Math.floor(Date.now() / 1_000) + 3_600 } = {}): string {
  const text = `${encoded({ alg: 'HS256', typ: 'JWT' })}.${encoded({ aud, email, exp, iss: 'https://accounts.google.com' })}`;
  return `${text}.${signature(text)}`;
}

/** Cloud Run's own pages, as it words them. */
export const googlesPage = (status: number, title: string, line: string): string =>
  `<html><head>\n<meta http-equiv="content-type" content="text/html;charset=utf-8">\n<title>${status} ${title}</title>\n</head>\n<body text=#000000 bgcolor=#ffffff>\n<h1>Error: ${title}</h1>\n<h2>${line}</h2>\n<h2></h2>\n</body></html>\n`;

type Refusal = { readonly status: number; readonly body: string; readonly headers?: Readonly<Record<string, string>> };
const UNAUTHORIZED: Refusal = {
  status: 401,
  body: googlesPage(401, 'Unauthorized', 'Your client does not have permission to the requested URL <code>/</code>.'),
  headers: { 'WWW-Authenticate': 'Bearer error="invalid_token" error_description="The access token could not be verified"' },
};
export const FORBIDDEN: Refusal = {
  status: 403,
  body: googlesPage(403, 'Forbidden', 'Your client does not have permission to get URL <code>/</code> from this server.'),
};
export const NOT_THERE: Refusal = {
  status: 404,
  body: googlesPage(404, 'Page not found', 'The requested URL was not found on this server.'),
};

export interface CloudRun extends AsyncDisposable {
  readonly origin: string;
  /** What it says in the app's place, from now on. */
  refusal: Refusal | null;
  /** The service's only invoker. */
  invoker: string;
  /** Tokens that are refused although they were issued. */
  readonly revoked: Set<string>;
  /** Resolves before the app is asked: an instance that starts. */
  starting: Promise<void>;
  readonly server: http.Server | https.Server;
  readonly asked: () => number;
}

/** A service that lets in nobody but its invoker, as Cloud Run guards it, with an app behind. */
export async function createCloudRun(app: RequestListener, tls: typeof LOCALHOST | null = null): Promise<CloudRun> {
  const server = tls === null ? http.createServer() : https.createServer(tls);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = address !== null && typeof address === 'object' ? address.port : 0;
  const host = tls === null ? `127.0.0.1:${port}` : `localhost:${port}`;
  let asked = 0;
  const run: CloudRun = {
    origin: `${tls === null ? 'http' : 'https'}://${host}`,
    refusal: null,
    invoker: GATE,
    revoked: new Set(),
    starting: Promise.resolve(),
    server,
    asked: () => asked,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      if (server.listening) await once(server, 'close');
    },
  };
  const admit = (request: IncomingMessage): Refusal | undefined => {
    asked++;
    if (request.headers.host !== host) return NOT_THERE;
    const sent = request.headersDistinct['x-serverless-authorization'] ?? request.headersDistinct.authorization ?? [];
    if (sent.length !== 1) return FORBIDDEN;
    const token = /^Bearer (\S+)$/.exec(sent[0] ?? '')?.[1] ?? '';
    const [head = '', claims = '', signed] = token.split('.');
    if (signed !== signature(`${head}.${claims}`) || run.revoked.has(token)) return UNAUTHORIZED;
    const { aud, email, exp } = JSON.parse(Buffer.from(claims, 'base64url').toString());
    if (aud !== run.origin || exp * 1_000 < Date.now()) return UNAUTHORIZED;
    if (email !== run.invoker) return FORBIDDEN;
    // The signature never reaches the app, which could call others with it.
    request.headers['x-serverless-authorization'] = `Bearer ${head}.${claims}.SIGNATURE_REMOVED_BY_GOOGLE`;
    return run.refusal ?? undefined;
  };
  server.on('request', async (request: IncomingMessage, response: ServerResponse) => {
    const refusal = admit(request);
    if (refusal) return refuse(response, refusal);
    await run.starting;
    response.setHeader('Server', 'Google Frontend');
    app(request, response);
  });
  server.on('upgrade', (request: IncomingMessage, socket: Duplex) => {
    if (admit(request)) return void socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
    socket.write('HTTP/1.1 101 Ok\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\nhello ');
    socket.on('error', () => socket.destroy()).pipe(socket);
  });
  return run;
}

function refuse(response: ServerResponse, { status, body, headers }: Refusal): void {
  const type = body.startsWith('<') ? 'text/html; charset=UTF-8' : 'text/plain';
  response.writeHead(status, { 'Content-Type': type, Server: 'Google Frontend', 'X-Cloud-Trace-Context': '0/1;o=1', ...headers });
  response.end(body);
}

/** The gate's identity, from a metadata server that works or does not. */
export function createIdentity(log: Log): { readonly identity: IdentityTokens; fails: boolean; readonly fetched: string[] } {
  const state = { fails: false, fetched: [] as string[] };
  const identity = openIdentityTokens({
    log,
    async fetch(origin) {
      state.fetched.push(origin);
      if (state.fails) throw new IdentityError('no metadata server');
      // Two tokens of the same second would be one.
      return issueToken(origin, { exp: Math.floor(Date.now() / 1_000) + 3_600 + state.fetched.length });
    },
  });
  return Object.assign(state, { identity });
}
