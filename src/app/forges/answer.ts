import type { z } from 'zod';
import { Fault } from '../../site/problem.ts';

export const STRANGE = { cause: 'an answer of an unknown shape' };

/** What a forge answered, in the shape that we know, or Fault `forge-unreachable`: an error page of a proxy has none. */
export function strict<T>(schema: z.ZodType<T>, data: unknown): T {
  const parsed = schema.safeParse(data);
  if (!parsed.success) throw new Fault('forge-unreachable', { details: STRANGE, cause: parsed.error });
  return parsed.data;
}

/** `missing` when the repository is there and what was asked for in it is not. */
export type Answer<T> = { readonly kind: 'found'; readonly data: T } | { readonly kind: 'missing' };
