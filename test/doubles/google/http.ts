import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { type Answer, type Api, type Asked, errorBody, Lost, Refused, send, unknownTo } from './asked.ts';
import type { GoogleCloud } from './cloud.ts';
import type { Tokens } from './tokens.ts';

/** A request that came, for tests that look at what was asked. */
export type Seen = { readonly at: number; readonly method: string; readonly path: string; readonly query: string; status: number };

export type HttpOptions = {
  readonly cloud: GoogleCloud;
  readonly tokens: Tokens;
  readonly metadata: (asked: Asked) => Answer | undefined;
  readonly apis: readonly Api[];
};

/** All of Google's APIs, and the metadata server, behind one address. */
export async function serveGoogle(options: HttpOptions): Promise<AsyncDisposable & { readonly url: string; readonly seen: Seen[] }> {
  const seen: Seen[] = [];
  const server = createServer(async (request, response) => {
    const asked = await askedOf(request);
    const entry: Seen = { at: Date.now(), method: asked.method, path: asked.path, query: asked.query.toString(), status: 0 };
    seen.push(entry);
    try {
      const answer = await paced(options.cloud, asked, () => answered(options, asked));
      entry.status = answer.status;
      send(response, answer);
    } catch (error) {
      if (error instanceof Lost) return void request.socket.destroy();
      // A mistake in a stand-in must not look like Google's.
      options.cloud.unknown.push(`${asked.method} ${asked.path}: ${error instanceof Error ? error.stack : error}`);
      send(response, { status: 500, body: errorBody('INTERNAL', 'Internal error encountered.') });
    }
  });
  const url = await listen(server);
  return {
    url,
    seen,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const isUpload = ({ method, path }: Asked): boolean => method === 'POST' && path.startsWith('/upload/');

/** The metadata server is on the machine itself. */
function paced<T>({ pacer }: GoogleCloud, asked: Asked, deed: () => Promise<T>): Promise<T> {
  if (asked.path.startsWith('/computeMetadata/')) return deed();
  return pacer.during(`${asked.method} ${asked.path}`, isUpload(asked) ? pacer.pace.upload : pacer.pace.call, deed);
}

async function askedOf(request: IncomingMessage): Promise<Asked> {
  const [path = '', query = ''] = (request.url ?? '').split('?', 2);
  const { method = 'GET', headers } = request;
  return { method, path, query: new URLSearchParams(query), headers, body: await buffer(request), request };
}

async function answered({ cloud, tokens, metadata, apis }: HttpOptions, asked: Asked): Promise<Answer> {
  try {
    const fact = metadata(asked);
    if (fact) return fact;
    const account = isSession(asked) ? '' : caller(tokens, asked);
    for (const api of apis) {
      const answer = api(asked, account);
      if (answer) return await answer;
    }
    throw unknownTo(cloud, `${asked.method} ${asked.path}`);
  } catch (error) {
    if (error instanceof Refused) return error.answer;
    throw error;
  }
}

/** The address of an upload that has begun lets go on with it, whoever has it: https://cloud.google.com/storage/docs/resumable-uploads. */
const isSession = ({ method, path, query }: Asked): boolean => method === 'PUT' && path.startsWith('/upload/') && query.has('upload_id');

const SIGN_IN =
  'Expected OAuth 2 access token, login cookie or other valid authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project.';

/** Whose access token came with it. */
function caller(tokens: Tokens, asked: Asked): string {
  const token = /^Bearer (.+)$/.exec(asked.headers.authorization ?? '')?.[1];
  if (token === undefined) {
    const body = errorBody('UNAUTHENTICATED', `Request is missing required authentication credential. ${SIGN_IN}`);
    throw new Refused({ status: 401, headers: { 'www-authenticate': 'Bearer realm="https://accounts.google.com/"' }, body });
  }
  const whose = tokens.whose(token);
  if (typeof whose === 'object') return whose.email;
  const body = errorBody('UNAUTHENTICATED', `Request had invalid authentication credentials. ${SIGN_IN}`);
  const challenge = 'Bearer realm="https://accounts.google.com/", error="invalid_token"';
  throw new Refused({ status: 401, headers: { 'www-authenticate': challenge }, body });
}

/** Lets it listen on a free port of this machine. @returns its origin */
export async function listen(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  return `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`;
}
