import http from 'node:http';
import https from 'node:https';

/** The connections to apps. */
export interface Agents extends Disposable {
  /** `kept`: one that is idle, and stays for the requests to come; `new`: one for this request alone. */
  readonly of: (protocol: 'http:' | 'https:', connection: 'kept' | 'new') => http.Agent | false;
}

/** With fewer kept than a busy site has requests at once, most of them would be closed and opened again for each. */
const KEPT = { keepAlive: true, maxFreeSockets: 256, timeout: 30_000 };

export function openAgents(): Agents {
  const plain = new http.Agent(KEPT);
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
