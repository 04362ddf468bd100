import {
  ConcurrentUpdateError,
  type LocalWorkspace,
  Stack,
  StackAlreadyExistsError,
  StackNotFoundError,
} from '@pulumi/pulumi/automation/index.js';
import { isLeftByUs, lockedText, locksIn } from './pulumi-lock.ts';
import type { Mend, Order } from './pulumi-messages.ts';

export type StackOrder = Exclude<Order, { verb: 'list' }>;
export type Place = { readonly workspace: LocalWorkspace; readonly signal: AbortSignal };

/** A deployment of nothing: what is really there is found again by its labels. */
const NOTHING = { version: 3, deployment: {} };

export async function ensureStack(name: string, workspace: LocalWorkspace): Promise<void> {
  try {
    await workspace.createStack(name);
  } catch (error) {
    // What was to be made is there.
    if (!(error instanceof StackAlreadyExistsError)) throw error;
  }
}

/**
 * Runs the order, putting right what a dead holder or an accident left behind: each in one way once, then what fails has failed. We
 * hold the stack's lease, so nobody of ours works on it.
 * @returns what was put right
 */
export async function runMending(order: StackOrder, place: Place, run: () => Promise<void>): Promise<readonly Mend[]> {
  const mended: Mend[] = [];
  for (;;) {
    try {
      await run();
      return mended;
    } catch (error) {
      if (place.signal.aborted) throw error;
      // A stack that is not there is removed already.
      if (order.verb === 'destroy' && error instanceof StackNotFoundError) return mended;
      const mend = await findMend(order, place, error);
      if (mend === undefined || mended.includes(mend)) throw error;
      await MEND[mend](order, place);
      mended.push(mend);
    }
  }
}

async function findMend(order: StackOrder, { workspace }: Place, error: unknown): Promise<Mend | undefined> {
  if (error instanceof ConcurrentUpdateError) {
    const locks = locksIn(error.message);
    if (locks.length > 0 && locks.every(isLeftByUs)) return 'lock-broken';
    throw new Error(lockedText(order.stack, locks), { cause: error });
  }
  if (error instanceof StackNotFoundError) return 'stack-made-anew';
  return (await isUnreadable(order.stack, workspace)) ? 'state-emptied' : undefined;
}

const MEND: Readonly<Record<Mend, (order: StackOrder, place: Place) => Promise<void>>> = {
  async 'lock-broken'(order, { workspace, signal }) {
    const stack = await Stack.select(order.stack, workspace);
    await stack.cancel();
    // What was being made when it died stays pending in the state until a refresh clears it; whether it is there, we find out ourselves.
    if (order.verb === 'up') await stack.refresh({ ...QUIET, signal, runProgram: true, clearPendingCreates: true });
  },
  'stack-made-anew': (order, { workspace }) => ensureStack(order.stack, workspace),
  async 'state-emptied'(order, { workspace }) {
    const stack = await Stack.select(order.stack, workspace);
    await stack.importStack(NOTHING);
    // A destroy of nothing would first write the program's provider into the state, and then not remove it.
    if (order.verb === 'destroy') await workspace.removeStack(order.stack, { force: true });
  },
};

export const QUIET = { suppressProgress: true, suppressOutputs: true, color: 'never' } as const;

/**
 * Whether the state is cut off, or encrypted with a passphrase that is not ours. Asked twice, with a question to the backend in between:
 * one that is away for a moment says nothing about the state.
 */
async function isUnreadable(name: string, workspace: LocalWorkspace): Promise<boolean> {
  const stack = await Stack.select(name, workspace);
  const canRead = (): Promise<boolean> => succeeds(stack.exportStack());
  return !(await canRead()) && (await succeeds(workspace.whoAmI())) && !(await canRead());
}

const succeeds = (deed: Promise<unknown>): Promise<boolean> =>
  deed.then(
    () => true,
    // Whatever the reason: that is the question.
    () => false,
  );
