import { createHash } from 'node:crypto';

/** Every stack of a site, on every target, is in this project. */
export const PROJECT = 'mayfly-preview';

/** Whose something on a target is: the Mayfly (two may share a machine) and the site. */
export type Labels = { readonly instance: string; readonly site: string };

/** The first `length` hex digits of SHA-256: names on targets are short, and texts from outside never get into them. */
export const hashed = (text: string, length: number): string => createHash('sha256').update(text).digest('hex').slice(0, length);

/** The stack of a site on a target. ULIDs lose nothing in lower case. */
export const stackName = (target: 'local' | 'gcp', site: string): string => `${target}-${site.toLowerCase()}`;

/** @returns the site's id, or undefined when the stack is none of this target's */
export function siteOfStack(target: 'local' | 'gcp', stack: string): string | undefined {
  const prefix = `${target}-`;
  return stack.startsWith(prefix) ? stack.slice(prefix.length).toUpperCase() : undefined;
}
