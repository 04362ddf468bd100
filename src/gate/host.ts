import type { IncomingMessage } from 'node:http';

/** Where a request wants to go: the authority as the visitor wrote it, and the path with its query in origin form. */
export type RequestTarget = { readonly authority: string; readonly path: string };

/** RFC 1123 §2.1, in lower case; our own names have no other letters, and punycode has none either. */
const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const ABSOLUTE = /^https?:\/\/([^/?#]*)([^#]*)$/i;

/**
 * Reads the request line and `Host`. An absolute-form target overrules `Host` (RFC 9112 §3.2.2).
 * @returns undefined when the request is malformed: several `Host`s, user information in the target, a target of another form
 */
export function toRequestTarget(request: Pick<IncomingMessage, 'url' | 'headersDistinct' | 'method'>): RequestTarget | undefined {
  const hosts = request.headersDistinct.host ?? [];
  if (hosts.length > 1) return undefined;
  const url = request.url ?? '';
  const host = hosts[0]?.trim() ?? '';
  if (url.startsWith('/') || (url === '*' && request.method === 'OPTIONS')) return { authority: host, path: url };
  const [, authority, rest = ''] = ABSOLUTE.exec(url) ?? [];
  if (authority === undefined || authority.includes('@')) return undefined;
  return { authority, path: rest.startsWith('/') ? rest : `/${rest}` };
}

/**
 * The label of the site that `authority` names: exactly one label below the preview host, whatever the port, the case or a trailing
 * dot.
 * @param previewHost lower case, without port
 */
export function siteLabel(authority: string, previewHost: string): string | undefined {
  const name = authority
    .replace(/:[0-9]*$/, '')
    .replace(/\.$/, '')
    .toLowerCase();
  const suffix = `.${previewHost}`;
  if (!name.endsWith(suffix)) return undefined;
  const label = name.slice(0, -suffix.length);
  return LABEL.test(label) ? label : undefined;
}
