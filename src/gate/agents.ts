import http from 'node:http';
import https from 'node:https';
import type { Socket } from 'node:net';

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
  /** In milliseconds. */
  const heard = new WeakMap<Socket, number>();
  return Object.assign(agent, {
    /** By which a connection is found again: behind an app's socket is that app and nobody else. */
    getName: (options: http.ClientRequestArgs = {}): string => options.socketPath ?? byOrigin(options),
    /**
     * Ends an idle connection before its app does. For how long the app keeps it is taken from the first answer on it, and not read out of
     * the head of each; the timer is set anew each time, since Node takes it away with each answer.
     * @returns whether it is kept, by which Node goes although its types do not say so
     */
    keepSocketAlive(socket: Socket): unknown {
      const ms = heard.get(socket);
      if (ms === undefined) {
        const kept: unknown = hear(socket);
        heard.set(socket, socket.timeout ?? 0);
        return kept;
      }
      socket.unref();
      socket.setTimeout(ms);
      return true;
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
