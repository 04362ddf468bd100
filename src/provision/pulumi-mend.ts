import {
  ConcurrentUpdateError,
  type LocalWorkspace,
  Stack,
  StackAlreadyExistsError,
  StackNotFoundError,
} from '@pulumi/pulumi/automation/index.js';
import { isLeftByUs, lockedText, locksIn } from './pulumi-lock.ts';
import { MENDS, type Mend, type Order } from './pulumi-messages.ts';

export type StackOrder = Exclude<Order, { verb: 'list' }>;
export type Place = {
  readonly workspace: LocalWorkspace;
  readonly signal: AbortSignal;
  /** What is asked of the CLI about a stack to see whether its state can be read. */
  readonly look: readonly string[];
};

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
 * hold the stack's lease, so nobody of ours works on it. `run` is told what was put right so far.
 * @returns what was put right
 */
export async function runMending(
  order: StackOrder,
  place: Place,
  run: (mended: readonly Mend[]) => Promise<void>,
): Promise<readonly Mend[]> {
  const mended: Mend[] = [];
  let next: Mend | undefined;
  for (let round = 1; ; round += 1) {
    try {
      if (next !== undefined) {
        await MEND[next](order, place);
        mended.push(next);
      }
      await run(mended);
      return mended;
    } catch (error) {
      if (place.signal.aborted) throw error;
      // A stack that is not there is removed already.
      if ((order.verb === 'destroy' || order.verb === 'forget') && error instanceof StackNotFoundError) return mended;
      // Mending may itself need another one first: a state that is cut off is emptied only once its lock is broken.
      next = await findMend(order, place, error);
      if (next === undefined || mended.includes(next) || round > MENDS.length * 2) throw error;
    }
  }
}

async function findMend(order: StackOrder, place: Place, error: unknown): Promise<Mend | undefined> {
  if (error instanceof ConcurrentUpdateError) {
    const locks = locksIn(error.message);
    if (locks.length > 0 && locks.every(isLeftByUs)) return 'lock-broken';
    throw new Error(lockedText(order.stack, locks), { cause: error });
  }
  if (error instanceof StackNotFoundError) return 'stack-made-anew';
  return (await isUnreadable(order.stack, place)) ? 'state-emptied' : undefined;
}

const MEND: Readonly<Record<Mend, (order: StackOrder, place: Place) => Promise<void>>> = {
  async 'lock-broken'(order, { workspace }) {
    const stack = await Stack.select(order.stack, workspace);
    await stack.cancel();
  },
  'stack-made-anew': (order, { workspace }) => ensureStack(order.stack, workspace),
  async 'state-emptied'(order, { workspace }) {
    const stack = await Stack.select(order.stack, workspace);
    await stack.importStack(NOTHING);
    // A destroy of nothing would first write the program's provider into the state, and then not remove it.
    if (order.verb === 'destroy') await workspace.removeStack(order.stack, { force: true });
  },
};

/**
 * Whether the state is cut off, encrypted with a passphrase that is not ours, or of parts that do not fit together. Asked twice, with a
 * question to the backend in between: one that is away for a moment says nothing about the state.
 */
async function isUnreadable(name: string, { workspace, look }: Place): Promise<boolean> {
  const command = workspace.pulumiCommand;
  const run: unknown = Reflect.get(command, 'run');
  const ask = async (): Promise<void> => {
    if (typeof run === 'function') await run.call(command, [...look, '--stack', name], workspace.workDir, workspace.envVars);
  };
  const canRead = (): Promise<boolean> => succeeds(ask());
  return !(await canRead()) && (await succeeds(workspace.whoAmI())) && !(await canRead());
}

const succeeds = (deed: Promise<unknown>): Promise<boolean> =>
  deed.then(
    () => true,
    // Whatever the reason: that is the question.
    () => false,
  );
