import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

export type FaultProxy = AsyncDisposable & {
  readonly port: number;
  /** Everything that comes from the server from now on comes so much later. */
  delay(ms: number): void;
  /** Ends every connection, now and then every `ms`; null: no longer. */
  cutEvery(ms: number | null): void;
  /** New connections lead to another socket; those that stand stay where they are. */
  leadTo(socket: string): void;
  /** Connections that were made so far, and how often all of them were cut. */
  counts(): { readonly made: number; readonly cuts: number };
};

/** A port of 127.0.0.1 in front of a server's unix socket, which makes the network between them bad. */
export async function openFaultProxy(socket: string): Promise<FaultProxy> {
  const open = new Set<Socket>();
  const own = { to: socket, delayMs: 0, made: 0, cuts: 0 };
  let cutting: NodeJS.Timeout | undefined;
  const cut = (): void => {
    own.cuts += 1;
    for (const one of open) one.destroy();
  };
  const server = createServer((near) => {
    own.made += 1;
    const far = connect(own.to);
    open.add(near);
    const timers = new Set<NodeJS.Timeout>();
    near.on('data', (chunk) => far.write(chunk)).on('error', () => undefined);
    far.on('data', (chunk) => {
      if (own.delayMs === 0 && timers.size === 0) return void near.write(chunk);
      const timer = setTimeout(() => {
        timers.delete(timer);
        near.write(chunk);
      }, own.delayMs);
      timers.add(timer);
      return;
    });
    near.on('close', () => {
      open.delete(near);
      for (const timer of timers) clearTimeout(timer);
      far.destroy();
    });
    // Refused while the server is away: to the client the connection was made and lost.
    far.on('error', () => undefined).on('close', () => near.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    delay(ms) {
      own.delayMs = ms;
    },
    cutEvery(ms) {
      clearInterval(cutting);
      if (ms === null) return;
      cut();
      cutting = setInterval(cut, ms);
    },
    leadTo(other) {
      own.to = other;
    },
    counts: () => ({ made: own.made, cuts: own.cuts }),
    async [Symbol.asyncDispose]() {
      clearInterval(cutting);
      cut();
      server.close();
      await once(server, 'close');
    },
  };
}
