import http from 'node:http';
import https from 'node:https';
import type { Duplex } from 'node:stream';

/** The connections to apps. */
export interface Agents extends Disposable {
  /** `kept`: one that is idle, and stays for the requests to come; `new`: one for this request alone. */
  readonly of: (protocol: 'http:' | 'https:', connection: 'kept' | 'new') => http.Agent | false;
}

/** With fewer kept than a busy site has requests at once, most of them would be closed and opened again for each. */
const KEPT = { keepAlive: true, maxFreeSockets: 256, timeout: 30_000 };

/** Node's agent, without what it does anew for each request though it never changes: a sixth of the gate's time. */
function createPlainAgent(): http.Agent {
  const agent = new http.Agent(KEPT);
  const byOrigin = agent.getName.bind(agent);
  const hear = agent.keepSocketAlive.bind(agent);
  const heard = new WeakSet<Duplex>();
  return Object.assign(agent, {
    /** By which a connection is found again: behind an app's socket is that app and nobody else. */
    getName: (options: http.ClientRequestArgs = {}): string => options.socketPath ?? byOrigin(options),
    /**
     * For how long an app keeps an idle connection it says with each answer, and the same each time: once heard, the connection has its timer.
     * @returns whether it is kept, by which Node goes although its types do not say so
     */
    keepSocketAlive(socket: Duplex): unknown {
      if (heard.has(socket)) return true;
      heard.add(socket);
      return hear(socket);
    },
  });
}

export function openAgents(): Agents {
  const plain = createPlainAgent();
  const tls = new https.Agent(KEPT);
  // Keeps no connection but the TLS sessions: a new connection then costs one round trip less.
  const resuming = new https.Agent({ keepAlive: false, maxCachedSessions: 1_000 });
  const all = [plain, tls, resuming];
  return {
    of(protocol, connection) {
      if (protocol === 'https:') return connection === 'kept' ? tls : resuming;
      return connection === 'kept' ? plain : false;
    },
    [Symbol.dispose]: () => all.forEach((agent) => void agent.destroy()),
  };
}
