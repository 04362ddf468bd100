// The program of a warmed child process: the automation API and our programs are loaded before there is anything to do, then one order
// at a time is carried out. Inline programs install process-wide handlers, which is why this is never the process that serves the web.
import { rm } from 'node:fs/promises';
import { flushCompileCache } from 'node:module';
import {
  ConcurrentUpdateError,
  LocalWorkspace,
  type LocalWorkspaceOptions,
  PulumiCommand,
  type PulumiFn,
  Stack,
  StackAlreadyExistsError,
  StackNotFoundError,
} from '@pulumi/pulumi/automation/index.js';
import { PROJECT } from '../../infra/labels.ts';
import { previewLocal } from '../../infra/preview-local.ts';
import { isLeftByUs, lockedText, locksIn } from './pulumi-lock.ts';
import type { FromChild, Order, Program, ToChild } from './pulumi-messages.ts';

type StackOrder = Exclude<Order, { verb: 'list' | 'init' }>;

const tell = (message: FromChild): void => void process.send?.(message);
const programOf = ({ plan }: Program): PulumiFn => previewLocal(plan);
const QUIET = { suppressProgress: true, suppressOutputs: true, color: 'never' } as const;

/**
 * The automation API asks the CLI for outputs and history after each operation (measured: 0.2 + 0.4 + 0.4 s beside 0.5 s of work), and
 * selects the stack before it (0.2 s). Nothing here reads them, and every command names its stack, so they are answered without asking.
 */
function withoutAfterthoughts(command: PulumiCommand): PulumiCommand {
  const spared: Readonly<Record<string, string>> = { output: '{}', history: '[]', select: '' };
  return new Proxy(command, {
    get(target, key) {
      const member: unknown = Reflect.get(target, key);
      if (key !== 'run' || typeof member !== 'function') return member;
      return (args: readonly string[], ...rest: unknown[]): unknown => {
        const stdout = args[0] === 'stack' ? spared[args[1] ?? ''] : undefined;
        // The API has no option for it, and a site that ended leaves nothing.
        const whole = args[0] === 'stack' && args[1] === 'rm' ? [...args, '--remove-backups'] : args;
        return stdout === undefined ? member.call(target, whole, ...rest) : Promise.resolve({ stdout, stderr: '', code: 0 });
      };
    },
  });
}

async function carryOut(order: Order, given: { command: PulumiCommand; signal: AbortSignal }): Promise<readonly string[]> {
  const options: LocalWorkspaceOptions = {
    pulumiCommand: given.command,
    secretsProvider: 'passphrase',
    projectSettings: { name: PROJECT, runtime: 'nodejs' },
    ...(order.verb === 'list' || order.verb === 'init'
      ? {}
      : { envVars: { PULUMI_DEBUG_PROVIDERS: order.attach }, program: programOf(order.program) }),
  };
  // Without a working folder of our own choice it gets a fresh one, and leaves it behind.
  const workspace = await LocalWorkspace.create(options);
  try {
    if (order.verb === 'list') return (await workspace.listStacks()).map(({ name }) => name);
    if (order.verb === 'init') await ensureStack(order.stack, workspace);
    else await onStack(order, { workspace, signal: given.signal });
    return [];
  } finally {
    await rm(workspace.workDir, { recursive: true, force: true });
  }
}

type Place = { readonly workspace: LocalWorkspace; readonly signal: AbortSignal };

async function onStack(order: StackOrder, place: Place): Promise<void> {
  const { workspace } = place;
  try {
    if (order.verb === 'up' && order.isNew) await ensureStack(order.stack, workspace);
    await run(order, place);
  } catch (error) {
    if (error instanceof ConcurrentUpdateError && !place.signal.aborted) {
      const locks = locksIn(error.message);
      if (locks.length === 0 || !locks.every(isLeftByUs)) throw new Error(lockedText(order.stack, locks), { cause: error });
      await (await Stack.select(order.stack, workspace)).cancel();
      return run(order, place);
    }
    if (!(error instanceof StackNotFoundError)) throw error;
    if (order.verb !== 'up') return;
    await ensureStack(order.stack, workspace);
    await run(order, place);
  }
}

async function ensureStack(name: string, workspace: LocalWorkspace): Promise<void> {
  try {
    await workspace.createStack(name);
  } catch (error) {
    // What was to be made is there.
    if (!(error instanceof StackAlreadyExistsError)) throw error;
  }
}

async function run(order: StackOrder, { workspace, signal }: Place): Promise<void> {
  const stack = await Stack.select(order.stack, workspace);
  switch (order.verb) {
    case 'up':
      await stack.up({ ...QUIET, signal });
      return;
    case 'refresh':
      await stack.refresh({ ...QUIET, signal, runProgram: true, clearPendingCreates: true });
      return;
    case 'destroy':
      // The program runs for its provider's sake: the one in the state was configured with a token that opens nothing any more.
      await stack.destroy({ ...QUIET, signal, runProgram: true, continueOnError: true });
      // By force: the program of a stack that never had anything leaves its own two entries behind, the stack and the provider. Whatever
      // else could not be destroyed has thrown.
      await workspace.removeStack(stack.name, { force: true });
      return;
    default:
      return order satisfies never;
  }
}

async function main(root: string): Promise<void> {
  const command = withoutAfterthoughts(await PulumiCommand.get({ root }));
  const running: { abort: AbortController | null } = { abort: null };
  process.on('disconnect', () => process.exit(1));
  process.on('message', (message: ToChild) => {
    if (message.type === 'abort') return running.abort?.abort();
    const abort = new AbortController();
    running.abort = abort;
    carryOut(message.order, { command, signal: abort.signal }).then(
      (stacks) => tell({ type: 'done', stacks: [...stacks] }),
      (error: unknown) => tell({ type: 'failed', text: error instanceof Error ? error.message : String(error) }),
    );
  });
  tell({ type: 'warm' });
  // A child is killed in the end, so it does not wait for its end.
  flushCompileCache();
}

await main(process.argv[2] ?? '');
