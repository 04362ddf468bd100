import { z } from 'zod';
import type { LocalPlan } from '../../infra/preview-local.ts';

/** The project's programs, by name: a child gets plain values, never code. */
export type Program = { readonly name: 'local'; readonly plan: LocalPlan };

/** Which providers the engine attaches to, e.g. `mayfly:40123`. */
type Attached = { readonly attach: string };
export type Order =
  /** Makes the stack; one that is there already is what was wanted. */
  | { readonly verb: 'init'; readonly stack: string }
  /** `isNew`: the stack is likely not there yet, so that it is made first; only a guess that saves a look. */
  | ({ readonly verb: 'up'; readonly stack: string; readonly program: Program; readonly isNew: boolean } & Attached)
  | ({ readonly verb: 'refresh'; readonly stack: string; readonly program: Program } & Attached)
  /** Also removes the stack. A stack that is not there is removed already. */
  | ({ readonly verb: 'destroy'; readonly stack: string; readonly program: Program } & Attached)
  | { readonly verb: 'list' };

export type ToChild = { readonly type: 'order'; readonly order: Order } | { readonly type: 'abort' };

const fromChild = z.discriminatedUnion('type', [
  z.object({ type: z.literal('warm') }),
  z.object({ type: z.literal('done'), stacks: z.array(z.string()) }),
  /** `text` is the engine's own, for the log alone. */
  z.object({ type: z.literal('failed'), text: z.string() }),
]);
export type FromChild = z.infer<typeof fromChild>;

/** Throws when a child says something else than it may. */
export const parseFromChild = (message: unknown): FromChild => fromChild.parse(message);
