import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { createGitLab, type GitLab, type Options } from '../gitlab.ts';

/** A receiver of webhooks that answers `status`. */
export async function openReceiver(status: number) {
  const received: { readonly headers: IncomingHttpHeaders; readonly body: string }[] = [];
  const server = createServer(async (request, response) => {
    received.push({ headers: request.headers, body: (await buffer(request)).toString() });
    response.writeHead(receiver.status).end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const receiver = {
    url: `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}/hook`,
    status,
    received,
    [Symbol.asyncDispose]: async () => void (await new Promise((resolve) => server.close(resolve))),
  };
  return receiver;
}

export type Asking = { readonly body?: object; readonly token?: string; readonly headers?: Record<string, string> };
/** What the API answers: status, body and headers. */
export async function ask(gitlab: GitLab, method: string, path: string, { body, token = gitlab.token, headers = {} }: Asking = {}) {
  const sent = { 'private-token': token, ...(body ? { 'content-type': 'application/json' } : {}), ...headers };
  const init = { method, headers: sent, redirect: 'manual' as const, ...(body ? { body: JSON.stringify(body) } : {}) };
  const response = await fetch(`${gitlab.url}/api/v4${path}`, init);
  const text = await response.text();
  const json = response.headers.get('content-type')?.includes('json') ? JSON.parse(text) : text;
  return { status: response.status, json, headers: response.headers };
}

export async function openShop(options: Options = {}) {
  const gitlab = await createGitLab(options);
  const repo = await gitlab.createRepository({ name: 'acme/shop' });
  const pull = await gitlab.openPull(repo);
  const project = `/projects/${repo.id}`;
  return {
    gitlab,
    repo,
    pull,
    project,
    notes: `${project}/merge_requests/${pull.number}/notes`,
    [Symbol.asyncDispose]: () => gitlab[Symbol.asyncDispose](),
  };
}
