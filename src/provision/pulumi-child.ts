// The program of a warmed child process: the automation API and our programs are loaded before there is anything to do, then one order
// at a time is carried out. Inline programs install process-wide handlers, which is why this is never the process that serves the web.
import { rm } from 'node:fs/promises';
import { flushCompileCache } from 'node:module';
import { LocalWorkspace, type LocalWorkspaceOptions, PulumiCommand, type PulumiFn, Stack } from '@pulumi/pulumi/automation/index.js';
import { PROJECT } from '../../infra/labels.ts';
import { previewLocal } from '../../infra/preview-local.ts';
import { ensureStack, type Place, runMending, type StackOrder } from './pulumi-mend.ts';
import type { FromChild, Mend, Order, Program, ToChild } from './pulumi-messages.ts';

const tell = (message: FromChild): void => void process.send?.(message);
const PASSPHRASE = 'passphrase';
/** As the engine reads a state: it decrypts its secrets and looks whether its parts fit together. */
const READ = ['stack'] as const;
/** The secrets stay encrypted: a key service that is away, or refuses us today, says nothing about the state. */
const READ_SEALED = ['stack', 'export'] as const;
const QUIET = { suppressProgress: true, suppressOutputs: true, color: 'never' } as const;

function programOf(program: Program): PulumiFn {
  switch (program.name) {
    case 'local':
      return previewLocal(program.plan);
    case 'gcp':
      return async () => {
        // Loaded only where it is wanted: 10 to 30 ms that a machine with local sites is spared.
        const { previewGcp } = await import('../../infra/preview-gcp.ts');
        return previewGcp(program.plan)();
      };
    default:
      return program satisfies never;
  }
}

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

type Done = { readonly stacks: readonly string[]; readonly mended: readonly Mend[] };

type Given = { readonly command: PulumiCommand; readonly secretsProvider: string; readonly signal: AbortSignal };

async function carryOut(order: Order, given: Given): Promise<Done> {
  const options: LocalWorkspaceOptions = {
    pulumiCommand: given.command,
    secretsProvider: given.secretsProvider,
    projectSettings: { name: PROJECT, runtime: 'nodejs' },
    ...(order.verb === 'list' ? {} : { envVars: variables(order) }),
    ...('program' in order ? { program: programOf(order.program) } : {}),
  };
  // Without a working folder of our own choice it gets a fresh one, and leaves it behind.
  const workspace = await LocalWorkspace.create(options);
  try {
    if (order.verb === 'list') return { stacks: (await workspace.listStacks()).map(({ name }) => name), mended: [] };
    const place = { workspace, signal: given.signal, look: given.secretsProvider === PASSPHRASE ? READ : READ_SEALED };
    return { stacks: [], mended: await runMending(order, place, (mended) => run(order, place, mended)) };
  } finally {
    await rm(workspace.workDir, { recursive: true, force: true });
  }
}

const variables = (order: StackOrder): Record<string, string> => ({
  PULUMI_BACKEND_URL: order.backendUrl,
  ...('attach' in order ? { PULUMI_DEBUG_PROVIDERS: order.attach } : {}),
});

async function run(order: StackOrder, { workspace, signal }: Place, mended: readonly Mend[]): Promise<void> {
  if (order.verb === 'init' || (order.verb === 'up' && order.isNew)) await ensureStack(order.stack, workspace);
  if (order.verb === 'init') return;
  const stack = await Stack.select(order.stack, workspace);
  switch (order.verb) {
    case 'up':
      // What was being made when somebody died over it stays pending until a refresh clears it; whether it is there, it finds out.
      if (mended.includes('lock-broken') && !mended.includes('state-emptied')) await refresh(stack, signal);
      await stack.up({ ...QUIET, signal });
      return;
    case 'refresh':
      return refresh(stack, signal);
    case 'destroy':
      // The program runs for its provider's sake: the one in the state was configured with a token that opens nothing any more. It ends at
      // what cannot be removed: going on, it takes providers out of the state that what is left there still needs (measured), which the
      // engine then refuses to read.
      await stack.destroy({ ...QUIET, signal, runProgram: true });
      // By force: the program of a stack that never had anything leaves its own two entries behind, the stack and the provider. Whatever
      // else could not be destroyed has thrown.
      await workspace.removeStack(stack.name, { force: true });
      return;
    case 'forget':
      await workspace.removeStack(stack.name, { force: true });
      return;
    default:
      return order satisfies never;
  }
}

const refresh = async (stack: Stack, signal: AbortSignal): Promise<void> =>
  void (await stack.refresh({ ...QUIET, signal, runProgram: true, clearPendingCreates: true }));

async function main(root: string, secretsProvider = PASSPHRASE): Promise<void> {
  const command = withoutAfterthoughts(await PulumiCommand.get({ root }));
  const running: { abort: AbortController | null } = { abort: null };
  process.on('disconnect', () => process.exit(1));
  process.on('message', (message: ToChild) => {
    if (message.type === 'abort') return running.abort?.abort();
    const abort = new AbortController();
    running.abort = abort;
    carryOut(message.order, { command, secretsProvider, signal: abort.signal }).then(
      ({ stacks, mended }) => tell({ type: 'done', stacks: [...stacks], mended: [...mended] }),
      (error: unknown) => tell({ type: 'failed', text: error instanceof Error ? error.message : String(error) }),
    );
  });
  tell({ type: 'warm' });
  // A child is killed in the end, so it does not wait for its end.
  flushCompileCache();
}

await main(process.argv[2] ?? '', process.argv[3]);
