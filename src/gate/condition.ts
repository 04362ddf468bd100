import type { IncomingHttpHeaders } from 'node:http';

/** What the file is now. `etag` is strong, in quotes. */
export type Version = { readonly etag: string; readonly modified: Date };

const seconds = (date: Date): number => Math.floor(date.getTime() / 1_000);

/** @returns seconds since 1970, or undefined when it is no date */
function toSeconds(header: string | undefined): number | undefined {
  const ms = Date.parse(header ?? '');
  return Number.isNaN(ms) ? undefined : Math.floor(ms / 1_000);
}

const tags = (header: string): string[] => header.match(/(?:W\/)?"[^"]*"/g) ?? [];

/** Evaluates the conditions of a GET or HEAD in the order of RFC 9110 §13.2.2. */
export function evaluate(headers: IncomingHttpHeaders, now: Version): 'send' | 'not-modified' | 'failed' {
  const match = headers['if-match'];
  if (match !== undefined) {
    if (match.trim() !== '*' && !tags(match).includes(now.etag)) return 'failed';
  } else {
    const unmodified = toSeconds(headers['if-unmodified-since']);
    if (unmodified !== undefined && seconds(now.modified) > unmodified) return 'failed';
  }
  const noneMatch = headers['if-none-match'];
  if (noneMatch !== undefined) {
    const isKnown = noneMatch.trim() === '*' || tags(noneMatch).some((tag) => tag.replace(/^W\//, '') === now.etag);
    return isKnown ? 'not-modified' : 'send';
  }
  const since = toSeconds(headers['if-modified-since']);
  return since !== undefined && seconds(now.modified) <= since ? 'not-modified' : 'send';
}

/** Whether the parts that are asked for are parts of what the visitor has (RFC 9110 §13.1.5: strong comparison only). */
export function isSameForRange(header: string | undefined, now: Version): boolean {
  if (header === undefined) return true;
  if (header.includes('"')) return header.trim() === now.etag;
  return toSeconds(header) === seconds(now.modified);
}
