import { createServer } from 'node:net';

function tryListen(port: number): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on('error', (error: NodeJS.ErrnoException) => (error.code === 'EADDRINUSE' ? resolve(undefined) : reject(error)));
    server.listen(port, () => {
      const address = server.address();
      const taken = typeof address === 'object' && address !== null ? address.port : undefined;
      server.close(() => resolve(taken));
    });
  });
}

/** The port that was asked for, or a free one when somebody has it. */
export async function freePort(wanted: number): Promise<number> {
  const port = (await tryListen(wanted)) ?? (await tryListen(0));
  if (port === undefined) throw new Error('no free port on this machine');
  return port;
}
