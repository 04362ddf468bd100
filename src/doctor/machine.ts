import { existsSync } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { PulumiCommand } from '@pulumi/pulumi/automation/index.js';
import type { Config } from '../config.ts';
import { pulumiCliRoot } from '../provision/pulumi-cli.ts';
import { openSandbox, WITHOUT_SANDBOX } from '../provision/sandbox.ts';
import { ENOUGH, freeMb, KEEP_FREE_MB, LITTLE } from '../provision/storage/disk.ts';
import { examined, type Finding, fail, ok, warn } from './finding.ts';

/** What sites are made with on this machine. */
export async function examineMachine(config: Config): Promise<readonly Finding[]> {
  const { target, roles } = config;
  const launches = target === 'local' || roles.has('worker');
  return (
    await Promise.all([
      launches ? examined('Pulumi CLI', 'Run `npm run setup`; it is made for exactly this version.', pulumi) : [],
      // Elsewhere nothing of the sites runs on this machine.
      target === 'local'
        ? examined('sandbox', 'Install bubblewrap, or do without by name: MAYFLY_SANDBOX=none.', () => sandbox(config))
        : [],
      examined('disk', 'Set MAYFLY_DATA_DIR to a folder that Mayfly may write to.', () => disk(config)),
    ])
  ).flat();
}

async function pulumi(): Promise<readonly Finding[]> {
  const { version } = await PulumiCommand.get({ root: pulumiCliRoot() });
  return [ok('Pulumi CLI', String(version))];
}

/** Opens a box for real, in a folder of its own: in that of a Mayfly that runs, its boxes would be taken for stale. */
async function sandbox({ sandbox: mode }: Config): Promise<readonly Finding[]> {
  const folder = await mkdtemp(join(tmpdir(), 'mayfly-doctor-'));
  try {
    await chmod(folder, 0o711);
    const { kind, limitsBy } = await openSandbox({ mode, dataDir: folder, log: () => undefined });
    if (kind === 'none') return [warn('sandbox', WITHOUT_SANDBOX, 'Unset MAYFLY_SANDBOX unless everybody who may push is trusted.')];
    const limits =
      limitsBy === 'rlimits'
        ? warn('limits', 'rlimits alone: one site can take much from the others', 'Give Mayfly a cgroup that it may write to.')
        : ok('limits', limitsBy);
    return [ok('sandbox', `${kind} works`), limits];
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The folder, or before the first start the one that it will be made in. */
const thereFrom = (path: string): string => (existsSync(path) || dirname(path) === path ? path : thereFrom(dirname(path)));

async function disk({ dataDir }: Config): Promise<readonly Finding[]> {
  const free = await freeMb(thereFrom(dataDir));
  const found = `${free} MiB free for ${dataDir}`;
  if (free < KEEP_FREE_MB) return [fail('disk', found, `Nothing is launched with less than ${KEEP_FREE_MB} MiB. Make room.`)];
  if (free < KEEP_FREE_MB * ENOUGH)
    return [warn('disk', found, `With less than ${KEEP_FREE_MB * LITTLE} MiB caches are thrown away. Make room.`)];
  return [ok('disk', found)];
}
