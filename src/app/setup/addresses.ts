import type { GitHubAddresses } from '../../config.ts';

export type Typed<Value> = { readonly value: Value } | { readonly wrong: string };

const LOOPBACK = /^(?:localhost|.+\.localhost|127(?:\.\d{1,3}){3}|\[::1\])$/;

/** Whether only this machine itself comes to this address. */
export const isLoopback = (url: URL): boolean => LOOPBACK.test(url.hostname);

/** A forge's address as somebody typed it: without a protocol https is meant, and plain http is taken on this machine alone. */
export function parseForgeAddress(text: string): Typed<string> {
  const typed = text.trim();
  const url = URL.parse(/^[a-z][a-z0-9+.-]*:\/\//i.test(typed) ? typed : `https://${typed}`);
  if (url === null || !['http:', 'https:'].includes(url.protocol)) return { wrong: 'This is not an address like https://github.com.' };
  if (url.username || url.password) return { wrong: 'The address holds credentials; they have no place in it.' };
  if (url.search || url.hash) return { wrong: 'The address has a query or a fragment; leave it out.' };
  if (url.protocol === 'http:' && !isLoopback(url)) return { wrong: 'The address must start with https://: credentials travel there.' };
  return { value: url.href.replace(/\/+$/, '') };
}

/** https://docs.github.com/enterprise-server/rest/enterprise-admin and https://docs.github.com/enterprise-cloud/data-residency: where the API is. */
export function githubAddresses(serverUrl: string, configured: GitHubAddresses): GitHubAddresses {
  if (serverUrl === configured.serverUrl) return configured;
  const { host, origin } = new URL(serverUrl);
  if (host === 'github.com') return { serverUrl, apiUrl: 'https://api.github.com' };
  if (host.endsWith('.ghe.com')) return { serverUrl, apiUrl: `https://api.${host}` };
  return { serverUrl, apiUrl: `${origin}/api/v3` };
}
