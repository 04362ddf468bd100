import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { LocalWorkspace, type OutputMap, PulumiCommand, Stack, StackNotFoundError } from '@pulumi/pulumi/automation/index.js';
import pulumiPackage from '@pulumi/pulumi/package.json' with { type: 'json' };
import { z } from 'zod';
import { KEPT_TYPE } from '../../infra/platform/ground.ts';
import { PLATFORM_PROJECT } from '../../infra/platform/names.ts';
import type { Kept, PlatformOutputs } from '../../infra/platform/plan.ts';
import { platform } from '../../infra/platform.ts';
import { type PlatformSettings, toPlan } from './settings.ts';

/** How many resources there are to each verb of Pulumi's: `create`, `update`, `delete`, `replace`, `same`. */
export type Changes = Readonly<Record<string, number>>;

export type Changed = { readonly changes: Changes; readonly outputs: PlatformOutputs };

/** `unknown`: what was being made when an `up` was killed, as `DatabaseInstance NAME`. Whether it is there nobody but Google knows. */
export type Destroyed = { readonly changes: Changes; readonly unknown: readonly string[] };

/** The stack of one platform. It throws what the engine says, as it says it. */
export interface PlatformStack extends AsyncDisposable {
  /** Makes the stack as well, if it is not there. */
  up(settings: PlatformSettings): Promise<Changed>;
  preview(settings: PlatformSettings): Promise<Changes>;
  /** Removes what the state knows, then the state. Null: there is none. */
  destroy(): Promise<Destroyed | null>;
  outputs(): Promise<PlatformOutputs | null>;
}

export type StackPlace = {
  readonly project: string;
  readonly instance: string;
  /** Where the engine's own report goes. */
  readonly say: (text: string) => void;
  readonly color: 'always' | 'never';
  /** Aborted: the engine ends what it has begun, writes it down and begins nothing more. */
  readonly signal: AbortSignal;
  /** `passphrase`, or the address of a key. */
  readonly secretsProvider: string;
};

/** What is made once: the same twice only by accident. */
const makeKept = (): Kept => ({
  generation: randomBytes(4).toString('hex'),
  databasePassword: randomBytes(24).toString('hex'),
  previewPassword: randomBytes(24).toString('hex'),
  secretKey: randomBytes(32).toString('base64'),
});

const keptShape = z.strictObject({
  generation: z.string(),
  databasePassword: z.string(),
  previewPassword: z.string(),
  secretKey: z.string(),
});
const stateShape = z.object({
  resources: z
    .array(z.object({ type: z.string(), inputs: z.object({ json: z.object({ plaintext: z.string() }).optional() }).optional() }))
    .optional(),
});

/** The environment of this process, with the credentials in it, is that of the engine. */
async function openWorkspace(secretsProvider: string): Promise<LocalWorkspace> {
  return LocalWorkspace.create({
    pulumiCommand: await PulumiCommand.get({ root: join(homedir(), '.pulumi/versions', pulumiPackage.version) }),
    secretsProvider,
    projectSettings: { name: PLATFORM_PROJECT, runtime: 'nodejs' },
    // The salt is read from the state: each time there is a fresh working folder without the stack's settings file.
    envVars: { PULUMI_SKIP_UPDATE_CHECK: 'true', PULUMI_FALLBACK_TO_STATE_SECRETS_MANAGER: 'true' },
  });
}

export async function openPlatformStack({ project, instance, say, color, signal, secretsProvider }: StackPlace): Promise<PlatformStack> {
  const name = `${project}-${instance}`;
  const workspace = await openWorkspace(secretsProvider);
  const find = (): Promise<Stack | null> => Stack.select(name, workspace).catch(notThere);
  const planOf = async (stack: Stack, settings: PlatformSettings) => toPlan(settings, (await recall(stack)) ?? makeKept());
  const shown = { onOutput: say, color, signal } as const;
  return {
    async up(settings) {
      const stack = await Stack.createOrSelect(name, workspace);
      const plan = await planOf(stack, settings);
      signal.throwIfAborted();
      const done = await stack.up({ ...shown, program: platform(plan), suppressOutputs: true });
      return { changes: done.summary.resourceChanges ?? {}, outputs: toOutputs(done.outputs) };
    },
    async preview(settings) {
      const found = await find();
      const stack = found ?? (await Stack.createOrSelect(name, workspace));
      try {
        const plan = await planOf(stack, settings);
        const { changeSummary } = await stack.preview({ ...shown, program: platform(plan), suppressOutputs: true });
        return Object.fromEntries(Object.entries(changeSummary));
      } finally {
        // Who only looks leaves nothing behind.
        if (found === null) await workspace.removeStack(name);
      }
    },
    async destroy() {
      const stack = await find();
      if (stack === null) return null;
      const unknown = await interruptedIn(stack);
      signal.throwIfAborted();
      const { summary } = await stack.destroy({ ...shown, continueOnError: true });
      await workspace.removeStack(name);
      return { changes: summary.resourceChanges ?? {}, unknown };
    },
    async outputs() {
      const outputs = await (await find())?.outputs();
      return outputs === undefined || !('platform' in outputs) ? null : toOutputs(outputs);
    },
    [Symbol.asyncDispose]: () => rm(workspace.workDir, { recursive: true, force: true }),
  };
}

const notThere = (error: unknown): null => {
  if (error instanceof StackNotFoundError) return null;
  throw error;
};

/** What an earlier `up` made once, however far it got. */
async function recall(stack: Stack): Promise<Kept | null> {
  const { deployment } = await stack.exportStack();
  const { resources = [] } = stateShape.parse(deployment ?? {});
  const found = resources.find(({ type }) => type === KEPT_TYPE)?.inputs?.json;
  // A secret's plain text is JSON, and what is in it here is JSON again.
  return found === undefined ? null : keptShape.parse(JSON.parse(z.string().parse(JSON.parse(found.plaintext))));
}

const named = z.object({ urn: z.string(), type: z.string(), inputs: z.object({ name: z.string().optional() }).optional() });
const interruptedShape = z.object({
  resources: z.array(z.object({ urn: z.string() })).optional(),
  pending_operations: z.array(z.object({ type: z.string(), resource: named })).optional(),
});

/** What the engine had begun to make and does not know the end of, apart from what a later `up` has made. */
async function interruptedIn(stack: Stack): Promise<readonly string[]> {
  const { deployment } = await stack.exportStack();
  const { resources = [], pending_operations: begun = [] } = interruptedShape.parse(deployment ?? {});
  return begun
    .filter(({ type, resource }) => type === 'creating' && !resources.some(({ urn }) => urn === resource.urn))
    .map(({ resource: { urn, type, inputs } }) => `${type.split(':').at(-1)} ${inputs?.name ?? urn.split('::').at(-1)}`);
}

const byTrust = z.object({ trusted: z.string(), untrusted: z.string() });
const outputsShape = z.object({
  platform: z.object({
    project: z.string(),
    gate: z.string(),
    runAs: byTrust,
    buildAs: byTrust,
    regions: z.record(
      z.string(),
      z.object({
        bucket: z.string(),
        images: byTrust,
        caches: byTrust,
        network: z.string(),
        subnetwork: z.string(),
        database: z.string().nullable(),
      }),
    ),
  }),
  addresses: z.object({ control: z.string(), previews: z.string(), ip: z.string() }),
  records: z.array(z.object({ name: z.string(), type: z.string(), value: z.string() })),
  nameServers: z.array(z.string()),
});

const toOutputs = (outputs: OutputMap): PlatformOutputs =>
  outputsShape.parse(Object.fromEntries(Object.entries(outputs).map(([name, { value }]) => [name, value])));
