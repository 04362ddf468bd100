import { lookup } from 'node:dns/promises';
import { chmod, mkdir, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { connect, isIP, type Socket } from 'node:net';
import { dirname } from 'node:path';
import type { Duplex } from 'node:stream';
import ipaddr from 'ipaddr.js';

/** Nothing moved for this long: the connection is given up. */
const IDLE_MS = 120_000;
const CONNECT_MS = 15_000;
/** Of all builds together. Each takes two descriptors of ours, which Mayfly must not run out of because a build opens thousands. */
const MAX_CONNECTIONS = 1_024;
/** What is between two neighbours only; Node refuses to write some of it beside the framing that it chooses itself. */
const HOP_BY_HOP = ['connection', 'keep-alive', 'proxy-authenticate', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade'];

/** Reserved for documentation, so not private: registries may resolve there behind a company's mirror. */
const DOCUMENTATION = ['192.0.2.0/24', '198.51.100.0/24', '203.0.113.0/24', '2001:db8::/32', '3fff::/20'].map((range) =>
  ipaddr.parseCIDR(range),
);

/** A public address that is none: Azure's own service on each of its machines, which hands out their configuration with its secrets. */
const WIRE_SERVER = '168.63.129.16';

/** Whether a build may connect to this address: public ones only. */
export function isReachable(address: string): boolean {
  if (!ipaddr.isValid(address) || address.includes('%') || address === WIRE_SERVER) return false;
  const parsed = ipaddr.parse(address);
  // Everything that is not plain unicast (loopback, private, link-local with the metadata service, carrier-grade NAT, IPv4 dressed as
  // IPv6 …) has a range of its own name.
  return parsed.range() === 'unicast' || DOCUMENTATION.some((range) => range[0].kind() === parsed.kind() && parsed.match(range));
}

/** The only way from a build to a network: an HTTP proxy (CONNECT, and plain requests) on a unix socket. */
export interface Egress extends AsyncDisposable {
  readonly socket: string;
  readonly bytes: { readonly sent: number; readonly received: number };
}

export type EgressOptions = {
  readonly socket: string;
  readonly ports?: readonly number[];
  readonly log: (line: string) => void;
  /** Addresses of a name; the system's resolver unless given. */
  readonly resolve?: (host: string) => Promise<readonly string[]>;
  /** Which addresses are open; `isReachable` unless given. */
  readonly allow?: (address: string) => boolean;
};

const systemResolve = async (host: string): Promise<readonly string[]> =>
  (await lookup(host, { all: true, verbatim: false })).map((found) => found.address);

class Refusal extends Error {
  readonly status: number;
  constructor(status: number, text: string) {
    super(text);
    this.status = status;
  }
}

/**
 * Opens the proxy. A name is resolved once, here, and the connection goes to the address that was examined: a name that changes in
 * between gains nothing. Ports 80 and 443 unless others are given.
 */
export async function openEgress(options: EgressOptions): Promise<Egress> {
  const { socket, log, ports = [80, 443], resolve = systemResolve, allow = isReachable } = options;
  const bytes = { sent: 0, received: 0 };
  const open = new Set<Duplex>();
  const reach = async (host: string, port: number): Promise<Socket> => {
    if (!ports.includes(port)) throw new Refusal(403, `port ${port} is not open to builds`);
    const bare = host.replace(/^\[|\]$/g, '');
    const addresses = isIP(bare) ? [bare] : await resolve(bare);
    const allowed = addresses.filter(allow);
    if (allowed.length === 0 || allowed.length < addresses.length) throw new Refusal(403, `${bare} is not a public address`);
    const far = await connected(allowed, port);
    far.on('close', () => {
      bytes.sent += far.bytesWritten;
      bytes.received += far.bytesRead;
    });
    return far;
  };
  const server = createServer((incoming, answer) => void forward({ incoming, answer, reach, log }));
  server.maxConnections = MAX_CONNECTIONS;
  server.on('connect', (incoming: IncomingMessage, near: Duplex, head: Buffer) => void tunnel({ incoming, near, head, reach, log }));
  server.on('connection', (near: Duplex) => {
    open.add(near);
    near.on('close', () => open.delete(near));
    // The other end of a broken connection is a box that was killed: nothing to tell anybody.
    near.on('error', () => {});
  });
  await mkdir(dirname(socket), { recursive: true });
  await rm(socket, { force: true });
  await new Promise<void>((done, failed) => server.once('error', failed).listen(socket, done));
  // Each box has a user of its own, and all of them may use this.
  await chmod(socket, 0o666);
  return {
    socket,
    bytes,
    async [Symbol.asyncDispose]() {
      for (const near of open) near.destroy();
      await new Promise<void>((done) => server.close(() => done()));
      await rm(socket, { force: true });
    },
  };
}

async function connected(addresses: readonly string[], port: number): Promise<Socket> {
  let last: unknown = new Refusal(502, 'no address');
  for (const host of addresses) {
    try {
      return await new Promise<Socket>((resolve, reject) => {
        const far = connect({ host, port, allowHalfOpen: true, noDelay: true });
        far.setTimeout(CONNECT_MS, () => far.destroy(new Refusal(504, `${host} did not answer`)));
        far.once('error', reject);
        far.once('connect', () => {
          far.off('error', reject);
          far.on('error', () => {});
          far.setTimeout(IDLE_MS, () => far.destroy());
          resolve(far);
        });
      });
    } catch (error) {
      // The next address may answer.
      last = error;
    }
  }
  throw last;
}

type Reach = (host: string, port: number) => Promise<Socket>;
type Way = { readonly incoming: IncomingMessage; readonly reach: Reach; readonly log: (line: string) => void };

async function tunnel({ incoming, near, head, reach, log }: Way & { readonly near: Duplex; readonly head: Buffer }): Promise<void> {
  const target = incoming.url ?? '';
  try {
    const [, host = '', port = ''] = /^(\[[^\]]+\]|[^:]+):(\d{1,5})$/.exec(target) ?? [];
    if (host === '') throw new Refusal(400, 'not a host and a port');
    const far = await reach(host, Number(port));
    if (near.destroyed) return void far.destroy();
    near.write('HTTP/1.1 200 Connection established\r\n\r\n');
    if (head.length > 0) far.write(head);
    near.pipe(far);
    far.pipe(near);
    near.on('close', () => far.destroy());
    far.on('close', () => near.destroy());
  } catch (error) {
    const { status, text } = refusalOf(error);
    log(`network: ${target} refused: ${text}`);
    near.end(`HTTP/1.1 ${status} Refused\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n${text}\n`);
  }
}

/** A plain request in absolute form, `GET http://host/path`. */
async function forward({ incoming, answer, reach, log }: Way & { readonly answer: ServerResponse }): Promise<void> {
  try {
    const url = URL.parse(incoming.url ?? '');
    if (url?.protocol !== 'http:') throw new Refusal(400, 'only CONNECT and http:// addresses');
    const far = await reach(url.hostname, Number(url.port || 80));
    const { 'proxy-authorization': _, trailer: __, upgrade: ___, ...headers } = incoming.headers;
    delete headers['proxy-connection'];
    const onward = request({
      createConnection: () => far,
      method: incoming.method ?? 'GET',
      path: `${url.pathname}${url.search}`,
      headers: { ...headers, host: url.host, connection: 'close' },
    });
    onward.on('response', (response) => passBack(response, answer));
    onward.on('upgrade', () => {
      far.destroy();
      answer.destroy();
    });
    onward.on('error', () => answer.destroy());
    answer.on('close', () => onward.destroy());
    // Written here, where it is caught: what Node's parser took of the build's headers, its writer may refuse.
    onward.flushHeaders();
    incoming.pipe(onward);
  } catch (error) {
    const { status, text } = refusalOf(error);
    log(`network: ${incoming.url ?? ''} refused: ${text}`);
    answer.writeHead(status, { 'content-type': 'text/plain', connection: 'close' }).end(`${text}\n`);
  }
}

/** The far server is whoever a build likes: nothing that it answers may throw where nobody catches. */
function passBack(response: IncomingMessage, answer: ServerResponse): void {
  const headers = Object.entries(response.headers).filter(([name]) => !HOP_BY_HOP.includes(name));
  try {
    answer.writeHead(response.statusCode ?? 502, Object.fromEntries(headers));
  } catch {
    // What Node's parser took, its writer refuses: a status below 100. That is no HTTP.
    answer.destroy();
    response.destroy();
    return;
  }
  response.pipe(answer);
  // Cut off: whoever reads has to notice that this is not all of it.
  response.once('close', () => {
    if (!response.complete) answer.destroy();
  });
}

function refusalOf(error: unknown): { readonly status: number; readonly text: string } {
  if (error instanceof Refusal) return { status: error.status, text: error.message };
  return { status: 502, text: error instanceof Error && 'code' in error ? String(error.code) : 'could not be reached' };
}
