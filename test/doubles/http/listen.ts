import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createAdaptorServer } from '@hono/node-server';
import type { Env, Hono } from 'hono';
import { HTTPException } from 'hono/http-exception';

/** Routes behind a free port of 127.0.0.1, until disposed of. */
export async function listen<E extends Env>(app: Hono<E>): Promise<{ readonly port: number } & AsyncDisposable> {
  app.onError((error, c) => {
    if (error instanceof HTTPException) return error.getResponse();
    return c.json({ message: `The double failed: ${error.stack}` }, 500);
  });
  const server = createAdaptorServer({ fetch: app.fetch, hostname: '127.0.0.1' }) as Server;
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
