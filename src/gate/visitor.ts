import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import ipaddr from 'ipaddr.js';

export type Visitor = {
  /** The visitor's own address, as far as trusted proxies vouch for it. */
  readonly address: string;
  readonly proto: 'http' | 'https';
  /** The visitor and then every trusted proxy on the way, up to the one that connected to us. */
  readonly chain: readonly string[];
  readonly port: string;
};

/** Of an address as `toVisitor` reads them. */
export type TrustedProxies = (address: string) => boolean;

/** @param cidrs as the settings have them: `10.0.0.0/8`, `::1/128`, or a bare address */
export function toTrustedProxies(cidrs: readonly string[]): TrustedProxies {
  const ranges = cidrs.map((text) => {
    if (text.includes('/')) return ipaddr.parseCIDR(text);
    const address = ipaddr.process(text);
    return [address, address.kind() === 'ipv4' ? 32 : 128] as const;
  });
  if (ranges.length === 0) return () => false;
  return (text) => {
    const address = ipaddr.process(text);
    return ranges.some(([range, bits]) => range.kind() === address.kind() && address.match(range, bits));
  };
}

/** `::ffff:10.0.0.1` and `10.0.0.1` are one address; what is no address at all is undefined. */
function toAddress(text: string | undefined): string | undefined {
  // To find out that nothing is no address would take ipaddr.js longer than all the rest.
  if (!text) return undefined;
  const bare = text
    .trim()
    .replace(/^\[([^\]]*)\](?::[0-9]+)?$/, '$1')
    .replace(/^([0-9.]+):[0-9]+$/, '$1');
  return ipaddr.isValid(bare) ? ipaddr.process(bare).toString() : undefined;
}

/** Of connections: parsed for the first request on each. */
const peers = new WeakMap<object, string>();

function peerOf(socket: Pick<Socket, 'remoteAddress'>): string {
  const known = peers.get(socket);
  if (known !== undefined) return known;
  const peer = toAddress(socket.remoteAddress) ?? '0.0.0.0';
  peers.set(socket, peer);
  return peer;
}

const listed = (values: readonly string[] | undefined): string[] =>
  (values ?? []).flatMap((value) => value.split(',')).map((item) => item.trim());

/**
 * Who asks, and how they reached us. `X-Forwarded-For`, `-Proto` and `-Port` count only when a trusted proxy sent them; the chain is
 * followed from our side and ends at the first address that nobody trusted vouches for, so that a visitor cannot invent the rest.
 * @param preview the address that people use; its scheme holds when no trusted proxy says otherwise
 */
export function toVisitor(
  request: Pick<IncomingMessage, 'headersDistinct'> & { readonly socket: Pick<Socket, 'remoteAddress'> },
  ask: { readonly trusted: TrustedProxies; readonly preview: URL; readonly authority: string },
): Visitor {
  const peer = peerOf(request.socket);
  const chain = [peer];
  const headers = request.headersDistinct;
  const claimed = listed(headers['x-forwarded-for']);
  let nearest = peer;
  let hops = 0;
  while (ask.trusted(nearest)) {
    hops += 1;
    const before = toAddress(claimed.pop());
    if (before === undefined) break;
    chain.unshift(before);
    nearest = before;
  }
  const said = hops > 0 ? { proto: nth(headers['x-forwarded-proto'], hops), port: nth(headers['x-forwarded-port'], hops) } : {};
  const proto = said.proto === 'https' || said.proto === 'http' ? said.proto : ask.preview.protocol === 'https:' ? 'https' : 'http';
  const port = said.port && /^[0-9]{1,5}$/.test(said.port) ? said.port : /:([0-9]{1,5})$/.exec(ask.authority)?.[1];
  return { address: nearest, proto, chain, port: port ?? (proto === 'https' ? '443' : '80') };
}

/** Each proxy may have added a value on the right: the one said by the outermost trusted proxy, or the first if there are fewer. */
function nth(values: readonly string[] | undefined, hops: number): string | undefined {
  const all = listed(values);
  return all.at(-Math.min(hops, all.length))?.toLowerCase();
}
