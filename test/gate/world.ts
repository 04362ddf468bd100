import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import http, { type IncomingHttpHeaders, type RequestListener, type RequestOptions } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Gate, type GateOptions, openGate } from '../../src/gate/gate.ts';
import { parseRepositoryId, parseSha, toForgeId, toLaunchId, toSiteId } from '../../src/site/identity.ts';
import type { Runner } from '../../src/site/ports.ts';
import { Fault } from '../../src/site/problem.ts';
import { FRESH, type Live, type Served, type Site } from '../../src/site/site.ts';
import type { SiteChanged } from '../../src/store/store.ts';

export const LABEL = 'pr-7-shop-abcdefgh';
export const HOST = `${LABEL}.preview.test`;

function certain<Value>(value: Value | undefined): Value {
  if (value === undefined) throw new Error('a value of the test itself is invalid');
  return value;
}

const at = new Date('2026-03-01T12:00:00Z');
const sha = certain(parseSha('3f2a9c1'.padEnd(40, '0')));
const repository = certain(parseRepositoryId(42));
const base = {
  id: toSiteId('01JSITE'),
  pull: { forge: toForgeId('github'), repository, number: 7 },
  host: LABEL,
  head: { sha, branch: 'b', base: 'main', title: 't', commitTitle: 'c', author: 'ann', repository, trust: 'trusted', draft: false },
  observation: 1,
  live: null,
  region: 'local',
  terms: { ttlMs: 1_000, maxTtlMs: 2_000 },
  clockStart: at,
  endsAt: at,
  pushedAt: at,
  createdAt: at,
  ...FRESH,
  version: 1,
} as const satisfies Partial<Site>;
export const launch = toLaunchId('01JLAUNCH');

type Own<Each> = Each extends Site ? Omit<Each, keyof typeof base> & { readonly live?: Live } : never;

/** A site in that state; whatever else it has is of no interest to the gate. */
export const siteAs = (state: Own<Exclude<Site, { status: 'ready' }>>): Site => ({ ...base, ...state });

export const liveAs = (served: Served): Live => ({ sha, revision: launch, url: `http://${HOST}`, since: at, served, idleMs: 60_000 });

export const readyAs = (served: Served): Site => ({ ...base, status: 'ready', launch, live: liveAs(served) });

/** A runner of one app at a known socket: a control of what the supervisor would say, with real sockets behind it. */
export function createRunner(socket: string) {
  const state = { awake: true, fails: false, gone: '', visits: 0, woken: Promise.withResolvers<void>() };
  const runner: Runner = {
    async reach(service) {
      if (state.fails || service === state.gone) throw new Fault('wake-failed');
      if (!state.awake) await state.woken.promise;
      return { socket };
    },
    visit() {
      state.visits++;
      return { [Symbol.dispose]: () => void state.visits-- };
    },
    isAwake: () => state.awake,
  };
  return { runner, state };
}

export type Answer = {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly trailers: NodeJS.Dict<string>;
  readonly body: string;
  readonly rawHeaders: readonly string[];
};

export interface World extends AsyncDisposable {
  readonly gate: Gate;
  readonly folder: string;
  readonly runner: ReturnType<typeof createRunner>['state'];
  readonly app: http.Server;
  /** How often the store was asked. */
  readonly lookups: readonly string[];
  readonly warnings: readonly string[];
  put(site: Site | undefined): void;
  /** The row is another now, and the news of it is still on its way. */
  putUnheard(site: Site): void;
  changed(change: SiteChanged | 'resync'): void;
  ask(path: string, options?: RequestOptions & { readonly send?: string }): Promise<Answer>;
}

/** A gate before one site, which is an app that answers by `listener`. */
export async function createWorld(listener: RequestListener, options: Partial<GateOptions> = {}): Promise<World> {
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'gate-'));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const socket = join(folder, 'app.sock');
  const app = http.createServer(listener);
  app.listen(socket);
  await once(app, 'listening');
  stack.defer(async () => {
    app.closeAllConnections();
    app.close();
    if (app.listening) await once(app, 'close');
  });
  const { runner, state } = createRunner(socket);
  let site: Site | undefined = readyAs({ kind: 'process', service: 'site/one' });
  const lookups: string[] = [];
  const warnings: string[] = [];
  const listeners = new Set<(change: SiteChanged | 'resync') => void>();
  const gate = stack.use(
    await openGate({
      port: 0,
      previewUrl: new URL('http://preview.test'),
      trustedProxies: [],
      dataDir: folder,
      command: '/preview',
      runner,
      pull: async () => ({ word: 'pull request', url: 'https://github.com/acme/shop/pull/7' }),
      log: { warn: (_, message) => warnings.push(message), error: (_, message) => warnings.push(message) },
      routes: {
        async find(label) {
          lookups.push(label);
          return label === LABEL ? site : undefined;
        },
        onChange(tell) {
          listeners.add(tell);
          return { [Symbol.dispose]: () => listeners.delete(tell) };
        },
      },
      ...options,
    }),
  );
  const changed = (change: SiteChanged | 'resync') => {
    for (const tell of listeners) tell(change);
  };
  const owned = stack.move();
  return {
    gate,
    folder,
    runner: state,
    app,
    lookups,
    warnings,
    changed,
    put(next) {
      site = next;
      changed('resync');
    },
    putUnheard(next) {
      site = next;
    },
    ask: (path, { send, ...rest } = {}) => ask(gate.port, { path, ...rest, headers: { host: HOST, ...rest.headers } }, send),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function ask(port: number, options: RequestOptions, send: string | undefined): Promise<Answer> {
  const request = http.request({ port, host: '127.0.0.1', agent: false, ...options });
  request.end(send);
  const [response]: http.IncomingMessage[] = await once(request, 'response');
  if (!response) throw new Error('no response');
  let body = '';
  for await (const chunk of response) body += chunk;
  const { headers, trailers, rawHeaders } = response;
  return { status: response.statusCode ?? 0, headers, trailers, body, rawHeaders };
}

/** Sends bytes as they are and returns all that comes back until the connection closes. */
export async function raw(world: World, bytes: string): Promise<string> {
  const socket = connect(world.gate.port, '127.0.0.1');
  socket.setEncoding('latin1').write(bytes);
  let text = '';
  for await (const chunk of socket) text += chunk;
  return text;
}
