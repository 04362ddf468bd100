import { z } from 'zod';
import { parseRepositoryId, parseSha, type RepositoryId } from '../../site/identity.ts';

// What payloads of every forge hold.

export const numeric = z.number().int().positive();
export const repositoryId = z.unknown().transform((value, context): RepositoryId => {
  const id = parseRepositoryId(value);
  if (id) return id;
  context.addIssue('not a repository id');
  return z.NEVER;
});
export const sha = z.unknown().transform((value, context) => {
  const id = parseSha(value);
  if (id) return id;
  context.addIssue('not a commit id');
  return z.NEVER;
});
/** A file whose change changes what pulls onto that branch come to. */
export const SETTINGS = '.mayfly.yml';
