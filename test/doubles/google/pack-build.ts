import { existsSync } from 'node:fs';
import { cp, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ulid } from 'ulid';
import { createBuildBox } from '../../../src/provision/build-box.ts';
import { dependenciesKey } from '../../../src/provision/dependencies.ts';
import { detect, type Plan } from '../../../src/provision/detect.ts';
import { toLaunchId } from '../../../src/site/identity.ts';
import { Fault } from '../../../src/site/problem.ts';
import { linewise, StepFailed } from './docker-build.ts';
import { Uninterpreted } from './dockerfile.ts';
import { hashOf, treeHash } from './layers.ts';
import { type Machine, placeOf, type Step } from './machine.ts';
import { mayWrite, pushImage } from './push.ts';

const KNOWN = ['path', 'builder', 'publish', 'cache-image', 'clear-cache', 'report-output-dir', 'env'];
const BUILDER = /^gcr\.io\/buildpacks\/builder(?::[\w.-]+)?$/;
/** What Google's buildpack says when it finds nothing of its own. */
const NOT_DETECTED = 'No buildpack groups passed detection.\nPlease check that you are running against the correct path.';

/** In the words of `pack`. */
export class PackFailed extends StepFailed {}

/**
 * `pack build` with Google's builder, for Node alone: Mayfly's own detection and build box, since these do what that buildpack does. What
 * was built is seen at `/work`, as it was built there.
 * @returns the exit code
 */
export async function packBuild(machine: Machine, step: Step, args: readonly string[]): Promise<number> {
  const { image, flags, env } = wishOf(args);
  const { say, account, workshop } = machine;
  if (!BUILDER.test(flags.get('builder') ?? '') || flags.get('publish') !== 'true')
    throw new Uninterpreted('pack without Google’s builder or without --publish');
  const root = join(machine.workshop.folder, 'packed', ulid());
  const checkout = join(root, 'work');
  await mkdir(root, { recursive: true });
  await cp(await placeOf(machine, step, flags.get('path') ?? '.'), checkout, { recursive: true, verbatimSymlinks: true });
  const cache = flags.get('cache-image');
  if (cache !== undefined) mayWrite(workshop.cloud, account, cache);
  say('===> DETECTING');
  const plan = await planOf(checkout, env.GOOGLE_ENTRYPOINT ?? null);
  say('===> BUILDING');
  await built(machine, {
    plan,
    checkout,
    env,
    scratch: join(machine.folder, 'pack'),
    cache: cache ?? null,
    clear: flags.get('clear-cache') === 'true',
  });
  if (plan.runtime.kind !== 'process') throw new PackFailed(NOT_DETECTED);
  say('===> EXPORTING');
  const own = { folder: root, cwd: '/work', env: { NODE_ENV: 'production' }, command: plan.runtime.command, detected: plan.detected };
  const content = hashOf(await treeHash(checkout));
  const digest = await pushImage(workshop.cloud, { ...own, ref: image, account, content });
  say(`*** Images (${digest}):\n      ${image}`);
  const report = flags.get('report-output-dir');
  if (report !== undefined)
    await writeFile(
      join(await placeOf(machine, step, report), 'report.toml'),
      `[image]\ntags = ["${image}"]\ndigest = "${digest}"\nmanifest-size = 1083\n`,
    );
  return 0;
}

function wishOf(args: readonly string[]) {
  const flags = new Map<string, string>();
  const env: Record<string, string> = {};
  const names: string[] = [];
  for (const arg of args) {
    const [, name, value = 'true'] = /^--([\w-]+)(?:=(.*))?$/s.exec(arg) ?? [];
    if (name === undefined) names.push(arg);
    else if (!KNOWN.includes(name)) throw new Uninterpreted(`pack build ${arg}`);
    else if (name === 'env') env[value.split('=')[0] ?? ''] = value.slice(value.indexOf('=') + 1);
    else flags.set(name, value);
  }
  const [image] = names;
  if (image === undefined || names.length > 1) throw new StepFailed(`accepts 1 arg(s), received ${names.length}`);
  return { image, flags, env };
}

async function planOf(checkout: string, start: string | null): Promise<Plan> {
  const plan = await detect(checkout, { root: '.', build: null, start, output: null }).catch((error: unknown) => {
    if (error instanceof Fault) throw new PackFailed(NOT_DETECTED);
    throw error;
  });
  // The stand-in has Node's buildpack alone.
  if (!existsSync(join(checkout, 'package.json'))) throw new Uninterpreted(`buildpacks for ${plan.detected}`);
  return plan;
}

type Building = {
  readonly plan: Plan;
  readonly checkout: string;
  readonly env: Readonly<Record<string, string>>;
  readonly scratch: string;
  readonly cache: string | null;
  readonly clear: boolean;
};

type Running = {
  readonly command: string;
  readonly cwd: string;
  readonly failure: 'install-failed' | 'build-failed';
  readonly env?: string;
};

async function built(
  { workshop, installed, signal, say }: Machine,
  { plan, checkout, env, scratch, cache, clear }: Building,
): Promise<void> {
  const output: string[] = [];
  const told = linewise((line) => {
    // The box's own line about what it runs.
    if (line.startsWith('$ ')) return;
    output.push(line);
    say(`[builder] ${line}`);
  });
  const kept = await installed(cache);
  const common = { sandbox: workshop.sandbox, egress: { socket: await workshop.egress() }, registry: await workshop.registry() };
  const launch = toLaunchId(ulid());
  await using box = await createBuildBox({ ...common, launch, work: scratch, checkout, env, signal, log: told.push });
  const run = async ({ command, cwd, failure, env: mode }: Running): Promise<void> => {
    const shown = mode === undefined ? command : `${command} (${mode})`;
    output.length = 0;
    say(`[builder] ${DIVIDER}`);
    say(`[builder] Running "${shown}"`);
    const started = performance.now();
    const error: unknown = await box.run(command, { cwd, failure }).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    told.end();
    if (error !== undefined && !(error instanceof Fault)) throw error;
    say(
      `[builder] Done "${shown.length > 60 ? `${shown.slice(0, 60)}...` : shown}" (${((performance.now() - started) / 1000).toFixed(6)}s)`,
    );
    if (error === undefined) return;
    // What the command itself exited with is told nowhere.
    for (const line of [`Failure: (ID: ${hashOf(command).slice(0, 8)}) ${output.join('\n')}`, DIVIDER, ...SORRY, DIVIDER])
      say(`[builder] ${line}`);
    say('[builder] ERROR: failed to build: exit status 1');
    throw new PackFailed('executing lifecycle. This may be the result of using an untrusted builder: failed with status code: 51');
  };
  if (plan.install) {
    const { manager, cwd } = plan.install;
    const key = cache === null ? null : await dependenciesKey(checkout, plan.install, { repository: cache, trust: 'trusted' });
    const folder = join(checkout, cwd);
    const isThere = key !== null && !clear && (await kept.restore(key, folder));
    if (isThere) await box.own(join(folder, 'node_modules'));
    const install = { cwd, failure: 'install-failed' as const };
    if (manager !== 'npm' && !isThere) await run({ ...install, command: plan.install.command });
    if (manager === 'npm') {
      const mode = `NODE_ENV=${plan.build === null ? 'production' : 'development'}`;
      if (plan.install.lockFile === null) {
        say('[builder] Generating package-lock.json.');
        say('[builder] *** Improve build performance by generating and committing package-lock.json.');
        await run({ ...install, command: 'npm install --package-lock-only --quiet' });
      }
      // It is always installed, for what the package's own scripts do with it.
      const command = isThere ? 'npm install --quiet' : 'npm ci --quiet --no-fund --no-audit';
      await run({ ...install, command, env: mode });
    }
    if (key !== null) await kept.keep(key, folder);
  }
  if (plan.build !== null) await run({ command: plan.build, cwd: '.', failure: 'build-failed' });
  told.end();
  await rm(scratch, { recursive: true, force: true });
}

/** What Google's buildpacks print (pkg/gcpbuildpack in GoogleCloudPlatform/buildpacks). */
const DIVIDER = '—'.repeat(80);
const SORRY = [
  `Sorry your project couldn't be built.`,
  'Our documentation explains ways to configure Buildpacks to better recognise your project:',
  ' -> https://github.com/GoogleCloudPlatform/buildpacks/blob/main/README.md',
  `If you think you've found an issue, please report it:`,
  ' -> https://github.com/GoogleCloudPlatform/buildpacks/issues/new',
];
