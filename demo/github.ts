import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { getRequestListener } from '@hono/node-server';
import { APP, actorOf, DEVELOPER, type Emulator, REPOSITORY, startEmulator } from './github/emulator.ts';
import { createFront } from './github/front.ts';
import { createGaps, type Gaps } from './github/gaps.ts';
import { createBareRepository, serveGit } from './github/git.ts';
import { type App, polishEvent } from './github/polish.ts';
import { followPushes, type Pushes } from './github/pushes.ts';
import { createSite, type Pages } from './github/site.ts';
import { createWebhooks, type Delivery } from './github/webhooks.ts';

/** A GitHub of our own: the emulator's API with git over HTTP before it, and what it lacks filled in. */
export interface GitHub extends AsyncDisposable {
  readonly url: string;
  readonly repository: string;
  /** Somebody with write access, by her token, which is also the password of a push. */
  readonly developer: { readonly login: string; readonly token: string };
  readonly app: App & { readonly privateKey: string; readonly webhookSecret: string };
  readonly deliveries: readonly Delivery[];
  /** Requests that were answered with an error, oldest first. */
  readonly refusals: readonly string[];
  readonly deployments: () => number;
  readonly reactions: (comment: number) => readonly string[];
  /** Fills the page at a pull's address. */
  showPulls(pages: Pages): void;
}

export type GitHubOptions = { readonly port: number; readonly folder: string; readonly webhookUrl: string };

const listen = (server: Server, port: number): Promise<void> =>
  new Promise((resolve, reject) => server.once('error', reject).listen(port, '127.0.0.1', resolve));

type Exchange = { readonly request: IncomingMessage; readonly response: ServerResponse };

async function handleGit(root: string, pushes: Pushes, { request, response }: Exchange): Promise<void> {
  const actor = actorOf(request.headers.authorization);
  const pushing = request.url?.includes('git-receive-pack') ?? false;
  if (actor === undefined || (pushing && actor !== DEVELOPER.login)) {
    response.writeHead(401, { 'www-authenticate': 'Basic realm="GitHub"' }).end();
    return;
  }
  const served = serveGit(root, request, response);
  if (pushing && request.method === 'POST') pushes.follow(served);
  await served;
}

const gapsFor = (url: string, emulator: Emulator, pushes: Pushes): Gaps =>
  createGaps({
    url,
    app: APP,
    actor: async (c) => {
      const login = actorOf(c.req.header('authorization'));
      return login === undefined ? undefined : emulator.findUser(login);
    },
    resolve: async (ref) => pushes.facts().branches.get(ref) ?? (/^[0-9a-f]{40}$/.test(ref) ? ref : undefined),
  });

const frontFor = (emulator: Emulator, pushes: Pushes, onRefusal: (line: string) => void) =>
  createFront({
    emulator: emulator.url,
    repository: { id: () => emulator.repositoryId, fullName: REPOSITORY },
    facts: pushes.facts,
    ready: pushes.settled,
    onRefusal,
  });

/** Starts it on `port`; `folder` holds its repositories; events are sent to `webhookUrl`. */
export async function startGitHub({ port, folder: root, webhookUrl }: GitHubOptions): Promise<GitHub> {
  const url = `http://127.0.0.1:${port}`;
  const webhookSecret = randomBytes(32).toString('hex');
  const webhooks = createWebhooks({ url: webhookUrl, secret: webhookSecret });
  const emulator = await startEmulator(url);
  const refusals: string[] = [];
  const onFailure = (error: unknown) => refusals.push(`a push was not carried over: ${error}`);
  const folder = await createBareRepository(root, REPOSITORY);
  const pushes = followPushes({ folder, call: emulator.call, send: webhooks.send, onFailure });
  const gaps = gapsFor(url, emulator, pushes);
  let pages: Pages | undefined;
  const site = createSite(
    () => pages,
    (event, payload) => webhooks.send(event, polishEvent(payload, pushes.facts())),
  );
  site.route('/', gaps.routes);
  site.route(
    '/',
    frontFor(emulator, pushes, (line) => refusals.push(line)),
  );
  const listener = getRequestListener(site.fetch);
  const server = createServer((request, response) => {
    const isGit = /^\/[^/]+\/[^/]+\.git\//.test(request.url ?? '');
    void (isGit ? handleGit(root, pushes, { request, response }) : listener(request, response));
  });
  await listen(server, port);
  return {
    ...{ url, repository: REPOSITORY, developer: DEVELOPER, deliveries: webhooks.deliveries, refusals },
    app: { ...APP, privateKey: emulator.privateKey, webhookSecret },
    deployments: () => gaps.deployments().length,
    reactions: gaps.reactions,
    showPulls: (shown) => {
      pages = shown;
    },
    async [Symbol.asyncDispose]() {
      await pushes.settled();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await emulator.close();
    },
  };
}
