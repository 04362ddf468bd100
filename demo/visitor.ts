import { request } from 'node:http';

export type Visit = { readonly status: number; readonly body: string };

/**
 * Opens a site as a browser would. Not every resolver knows `*.localhost`, so the connection goes to this machine and the site's name
 * into the `Host` header.
 */
export function visit(address: string): Promise<Visit> {
  const { host, port, pathname } = new URL(address);
  return new Promise((resolve, reject) => {
    const headers = { host, accept: 'text/html' };
    const sent = request({ host: '127.0.0.1', port, path: pathname, headers, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }));
      response.on('error', reject);
    });
    sent.on('error', reject);
    sent.end();
  });
}
