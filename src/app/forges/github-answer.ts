import type { z } from 'zod';
import { Fault } from '../../site/problem.ts';

export const STRANGE = { cause: 'an answer of an unknown shape' };

/** What GitHub answered, in the shape that we know, or Fault `forge-unreachable`: an error page of a proxy has none. */
export function strict<T>(schema: z.ZodType<T>, data: unknown): T {
  const parsed = schema.safeParse(data);
  if (!parsed.success) throw new Fault('forge-unreachable', { details: STRANGE, cause: parsed.error });
  return parsed.data;
}
