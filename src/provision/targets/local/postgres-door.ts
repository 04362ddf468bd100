import { chmod, rm } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { pipeline } from 'node:stream';
import type { Logger } from 'pino';

const POSTGRES_PORT = 5432;

export interface PostgresDoor extends AsyncDisposable {
  readonly socket: string;
}

/**
 * A unix socket in front of a PostgreSQL that listens on TCP, for sandboxes, which have no network: it leads to that server and to
 * nothing else.
 * @param adminUrl of the server; of it only host and port count
 */
export async function openPostgresDoor(adminUrl: string, socket: string, log: Logger): Promise<PostgresDoor> {
  const { hostname, port } = new URL(adminUrl);
  const server = createServer({ allowHalfOpen: true }, (inside) => {
    const outside = connect({ host: hostname.replace(/^\[|\]$/g, ''), port: Number(port || POSTGRES_PORT), allowHalfOpen: true });
    const ended = (error: NodeJS.ErrnoException | null | undefined): void => {
      if (error && error.code !== 'ERR_STREAM_PREMATURE_CLOSE') log.debug({ err: error }, 'a connection to the sites’ PostgreSQL broke');
    };
    pipeline(inside, outside, ended);
    pipeline(outside, inside, ended);
  });
  await rm(socket, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(socket, resolve);
  });
  // Each site's user connects; who gets in is PostgreSQL's to say.
  await chmod(socket, 0o666);
  return {
    socket,
    async [Symbol.asyncDispose]() {
      server.close();
      await rm(socket, { force: true });
    },
  };
}
