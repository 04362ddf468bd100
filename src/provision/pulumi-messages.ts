import { z } from 'zod';
import type { GcpPlan } from '../../infra/preview-gcp.ts';
import type { LocalPlan } from '../../infra/preview-local.ts';

/** The project's programs, by name: a child gets plain values, never code. */
export type Program = { readonly name: 'local'; readonly plan: LocalPlan } | { readonly name: 'gcp'; readonly plan: GcpPlan };

/** `backendUrl`: of sessions that bear the epoch of our lease. */
type OnStack = { readonly stack: string; readonly backendUrl: string };
/** `attach`: which providers the engine attaches to, e.g. `mayfly:40123`. */
type WithProgram = OnStack & { readonly program: Program; readonly attach: string };
export type Order =
  /** Makes the stack; one that is there already is what was wanted. */
  | ({ readonly verb: 'init' } & OnStack)
  /** `isNew`: the stack is likely not there yet, so that it is made first; only a guess that saves a look. */
  | ({ readonly verb: 'up'; readonly isNew: boolean } & WithProgram)
  | ({ readonly verb: 'refresh' } & WithProgram)
  /** Also removes the stack. A stack that is not there is removed already. */
  | ({ readonly verb: 'destroy' } & WithProgram)
  /** Removes the stack alone. One that is not there is removed already. */
  | ({ readonly verb: 'forget' } & OnStack)
  | { readonly verb: 'list' };

export type ToChild = { readonly type: 'order'; readonly order: Order } | { readonly type: 'abort' };

/** What was found broken and put right before the order could be carried out. */
export const MENDS = ['lock-broken', 'stack-made-anew', 'state-emptied'] as const;
export type Mend = (typeof MENDS)[number];

const fromChild = z.discriminatedUnion('type', [
  z.object({ type: z.literal('warm') }),
  z.object({ type: z.literal('done'), stacks: z.array(z.string()), mended: z.array(z.enum(MENDS)) }),
  /** `text` is the engine's own, for the log alone. */
  z.object({ type: z.literal('failed'), text: z.string() }),
]);
export type FromChild = z.infer<typeof fromChild>;

/** Throws when a child says something else than it may. */
export const parseFromChild = (message: unknown): FromChild => fromChild.parse(message);
