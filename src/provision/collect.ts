import { execFile } from 'node:child_process';
import { lstat, realpath } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { promisify } from 'node:util';
import { Fault } from '../site/problem.ts';
import type { Made } from './artefacts.ts';
import { EXPORTED } from './build-box.ts';
import { isOwnFolder, type Plan } from './detect.ts';
import { publish } from './output.ts';
import { orDiskFull } from './storage/disk.ts';

const run = promisify(execFile);
/** What an app may weigh with its dependencies. */
const MAX_FILES = 400_000;
const MAX_MIB = 3_072;

type Collecting = {
  readonly plan: Plan;
  readonly root: string;
  readonly checkout: string;
  /** Where a static site's files are put. */
  readonly out: string;
  readonly log: (line: string) => void;
};

/** What of a finished build is the artefact. Throws Fault `root-missing`, `output-missing`, `output-limit` or `disk-full`. */
export async function collect(of: Collecting): Promise<{ readonly folder: string; readonly made: Made }> {
  const { plan, root, checkout, out, log } = of;
  const { detected, runtime } = plan;
  if (runtime.kind === 'process') {
    if (!(await isOwnFolder(checkout, root))) throw new Fault('root-missing', { details: { root } });
    await orDiskFull(() => tidied(checkout));
    return { folder: checkout, made: { runtime: { kind: 'process', command: runtime.command, cwd: root }, detected } };
  }
  const output = await firstFolder(
    checkout,
    runtime.outputs.map((name) => join(root, name)),
  );
  if (output === undefined) throw new Fault('output-missing', { details: { output: runtime.outputs.join('`, `') } });
  await orDiskFull(() => publish(output, out, { log }));
  return { folder: out, made: { runtime: { kind: 'static', output: '.' }, detected } };
}

/** The first that is a folder and, all links followed, in the checkout. */
async function firstFolder(checkout: string, names: readonly string[]): Promise<string | undefined> {
  const top = await realpath(checkout);
  for (const name of names) {
    const real = await realpath(join(checkout, name)).catch(() => undefined);
    if (real === undefined || relative(top, real).startsWith('..')) continue;
    if ((await lstat(real)).isDirectory()) return real;
  }
  return undefined;
}

/**
 * Makes a checkout that hostile code has written to into an artefact: ours, nothing but files, folders and links, no setuid. Everybody
 * may write, since boxes see it as the lower layer of an overlay; the folder above it is closed to all but us.
 */
async function tidied(folder: string): Promise<void> {
  const kinds = ['(', '!', '-type', 'f', '!', '-type', 'd', '!', '-type', 'l', '-delete', ')', '-o', '-printf', '%k\n'];
  const options = { env: EXPORTED, maxBuffer: 64 * 1024 * 1024 };
  const sizes = (await run('find', [folder, '-xdev', ...kinds], options)).stdout.trimEnd().split('\n').map(Number);
  const kib = sizes.reduce((sum, size) => sum + size, 0);
  if (kib / 1024 > MAX_MIB) throw new Fault('output-limit', { details: { limit: `${MAX_MIB} MiB` } });
  if (sizes.length > MAX_FILES) throw new Fault('output-limit', { details: { limit: `${MAX_FILES} files` } });
  if (process.getuid?.() === 0) await run('chown', ['-R', '-h', '0:0', '--', folder], options);
  await run('chmod', ['-R', 'a+rwX,u-s,g-s,-t', '--', folder], options);
}
