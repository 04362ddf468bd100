import type { Visitor } from './visitor.ts';

/** What is between two neighbours only (RFC 9110 §7.6.1). Framing is rewritten by whoever sends. */
const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);
/** Said by us alone, whatever came. */
const OURS_TO_APP = new Set([
  'host',
  'forwarded',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-port',
  'x-forwarded-proto',
  'x-forwarded-ssl',
  'x-forwarded-scheme',
  'x-real-ip',
  'x-robots-tag',
  'x-serverless-authorization',
]);
const OURS_TO_VISITOR = new Set(['x-robots-tag']);
/** Said by Google's front end of itself, and not of us. */
const OF_ANOTHER_HOST = new Set([...OURS_TO_VISITOR, 'alt-svc']);
/** RFC 9110 §6.5.1: a trailer must not change framing, routing or what was decided already. */
const NOT_IN_TRAILERS = new Set(['content-length', 'content-encoding', 'content-type', 'content-range', 'set-cookie', 'authorization']);

export const ROBOTS = ['X-Robots-Tag', 'noindex, nofollow'] as const;

/** Name and value, again and again, as node:http has raw headers: order, case and repetition survive. */
type Raw = readonly string[];

/** `key` is the name in lower case. */
type Field = { readonly name: string; readonly key: string; readonly value: string };

function toFields(raw: Raw): readonly Field[] {
  const fields: Field[] = [];
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const [name, value] = [raw[index], raw[index + 1]];
    if (name !== undefined && value !== undefined) fields.push({ name, key: name.toLowerCase(), value });
  }
  return fields;
}

/** The names that this message's `Connection` declares to be for the neighbour only. `Content-Length` stays: it frames the body. */
function nominated(fields: readonly Field[]): Set<string> {
  const names = new Set<string>();
  for (const { key, value } of fields) {
    if (key !== 'connection') continue;
    for (const item of value.split(',')) names.add(item.trim().toLowerCase());
  }
  names.delete('content-length');
  return names;
}

function passed(fields: readonly Field[], ours: ReadonlySet<string>): string[] {
  const named = nominated(fields);
  const kept: string[] = [];
  for (const { name, key, value } of fields) {
    if (!HOP_BY_HOP.has(key) && !ours.has(key) && !named.has(key)) kept.push(name, value);
  }
  return kept;
}

/** RFC 7239 §6: an IPv6 address in brackets and quotes. */
const node = (address: string): string => (address.includes(':') ? `"[${address}]"` : address);

/** How the body, if any, is framed towards the app. */
export type Body = 'none' | 'empty' | 'chunked' | 'sized';

export type SaidToApp = {
  readonly authority: string;
  readonly visitor: Visitor;
  readonly body: Body;
  /** The protocol that is asked for, when the connection is to be handed over. */
  readonly upgrade: string | null;
  /** An app elsewhere is known there by another name, and asks for proof of who we are; null for one on this machine. */
  readonly elsewhere: { readonly host: string; readonly token: string } | null;
};

/** The request's headers as the app gets them. `Authorization` is the visitor's: Cloud Run reads ours where we say it. */
export function toAppHeaders(raw: Raw, said: SaidToApp): string[] {
  const { authority, visitor, elsewhere } = said;
  const fields = toFields(raw);
  const headers = ['Host', elsewhere?.host ?? authority, ...passed(fields, OURS_TO_APP)];
  if (elsewhere !== null) headers.push('X-Serverless-Authorization', `Bearer ${elsewhere.token}`);
  const { proto } = visitor;
  const forwarded = visitor.chain.map((address, index) =>
    index === 0 ? `for=${node(address)};host="${authority.replace(/["\\]/g, '')}";proto=${proto}` : `for=${node(address)}`,
  );
  headers.push('X-Forwarded-For', visitor.chain.join(', '), 'X-Forwarded-Proto', proto, 'X-Forwarded-Host', authority);
  headers.push('X-Forwarded-Port', visitor.port, 'X-Real-IP', visitor.address, 'Forwarded', forwarded.join(', '));
  // A trailer may be the point of the answer (gRPC-web and the like); no other TE survives a hop.
  if (fields.some(({ key, value }) => key === 'te' && /\btrailers\b/i.test(value))) headers.push('TE', 'trailers');
  if (said.body === 'chunked') headers.push('Transfer-Encoding', 'chunked');
  if (said.body === 'empty') headers.push('Content-Length', '0');
  if (said.upgrade !== null) headers.push('Connection', 'Upgrade', 'Upgrade', said.upgrade);
  return headers;
}

/** An app that does not look at `X-Forwarded-Host` takes `from` for its address; visitors know it as `to`. Both are origins. */
export type Moved = { readonly from: string; readonly to: string };

/** The app's headers as the visitor gets them, with our word to search engines instead of the app's. */
export function toVisitorHeaders(raw: Raw, moved: Moved | null): string[] {
  if (moved === null) return [...passed(toFields(raw), OURS_TO_VISITOR), ...ROBOTS];
  const headers = passed(toFields(raw), OF_ANOTHER_HOST);
  for (let index = 0; index + 1 < headers.length; index += 2) {
    const [name, value] = [headers[index], headers[index + 1]];
    if (name !== undefined && value !== undefined) headers[index + 1] = toVisitorValue(name.toLowerCase(), value, moved);
  }
  return [...headers, ...ROBOTS];
}

function toVisitorValue(name: string, value: string, { from, to }: Moved): string {
  const { host, hostname } = new URL(from);
  switch (name) {
    case 'location':
    case 'content-location': {
      // Behind Google's front end an app may take itself for http.
      const url = /^https?:/i.test(value) ? URL.parse(value) : null;
      return url?.host === host ? `${to}${url.pathname}${url.search}${url.hash}` : value;
    }
    case 'access-control-allow-origin':
      return URL.parse(value)?.host === host ? to : value;
    case 'set-cookie':
      return value.replace(/;\s*domain=\s*\.?([^;\s]*)/i, (all, domain: string) => (domain.toLowerCase() === hostname ? '' : all));
    default:
      return value;
  }
}

/** What of a trailer section may be passed on. */
export function toTrailers(raw: Raw): [string, string][] {
  const kept: [string, string][] = [];
  for (const { name, key, value } of toFields(raw)) {
    if (!HOP_BY_HOP.has(key) && !OURS_TO_APP.has(key) && !NOT_IN_TRAILERS.has(key)) kept.push([name, value]);
  }
  return kept;
}
