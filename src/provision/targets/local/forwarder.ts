import { once } from 'node:events';
import { chmod, rm } from 'node:fs/promises';
import { connect, createServer } from 'node:net';

/**
 * A unix socket that leads to one TCP server and nowhere else: sites have no network, and their PostgreSQL may be on another machine.
 * Whoever can open it still has to sign in there.
 */
export async function openForwarder(path: string, to: { readonly host: string; readonly port: number }): Promise<AsyncDisposable> {
  await rm(path, { force: true });
  const open = new Set<Disposable>();
  const server = createServer({ allowHalfOpen: true }, (inner) => {
    const outer = connect({ ...to, allowHalfOpen: true });
    const both: Disposable = {
      [Symbol.dispose]() {
        open.delete(both);
        inner.destroy();
        outer.destroy();
      },
    };
    open.add(both);
    for (const side of [inner, outer]) {
      // Either end's trouble is the end of both; the app sees a closed connection, as it would without us.
      side.on('error', () => both[Symbol.dispose]());
      side.on('close', () => both[Symbol.dispose]());
    }
    inner.pipe(outer);
    outer.pipe(inner);
  });
  server.listen(path);
  await once(server, 'listening');
  // Sites run as users of their own.
  await chmod(path, 0o666);
  return {
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close');
      server.close();
      for (const both of [...open]) both[Symbol.dispose]();
      await closed;
    },
  };
}
