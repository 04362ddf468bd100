import { spawn } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Surroundings } from './surroundings.ts';

/** The command `npm run platform`, with settings and a state of the live tests' own. */
export interface LivePlatform {
  up(): Promise<void>;
  /** `MAYFLY_PLATFORM`, for a Mayfly on this machine: whoever runs the tests is the gate, and there is no database within reach. */
  describe(): Promise<string>;
  /** Asks again until Google lets the last of it go. */
  destroy(): Promise<void>;
}

export const INSTANCE = 'mayfly-live';
const FOLDER = join(import.meta.dirname, '../../.mayfly-live');
const WAIT_MS = 600_000;
const MOST_WAITS = 15;

export async function openLivePlatform(around: Surroundings): Promise<LivePlatform> {
  await mkdir(join(FOLDER, 'state'), { recursive: true, mode: 0o700 });
  const file = join(FOLDER, 'platform.yml');
  await writeFile(file, settings(around));
  const ask = (verb: string, ...args: readonly string[]): Promise<{ code: number | null; out: string }> =>
    run([verb, '--settings', file, ...args], environment());
  const must = async (verb: string, ...args: readonly string[]): Promise<string> => {
    const { code, out } = await ask(verb, ...args);
    if (code !== 0) throw new Error(`npm run platform -- ${verb} ended with ${code}`);
    return out;
  };
  return {
    up: async () => void (await must('up')),
    async describe() {
      const described = JSON.parse(await must('outputs'));
      const regions = Object.entries<object>(described.regions).map(([name, region]) => [name, { ...region, database: null }]);
      return JSON.stringify({ ...described, gate: around.account, regions: Object.fromEntries(regions) });
    },
    async destroy() {
      for (let round = 1; ; round += 1) {
        const { code } = await ask('destroy', '--yes');
        if (code === 0) return;
        if (round > MOST_WAITS) throw new Error(`The platform is still there: see ${FOLDER}, and docs/google-cloud.md on leaving`);
        await delay(WAIT_MS);
      }
    },
  };
}

const settings = ({ project, region, domain, image }: Surroundings): string => `
project: ${project}
instance: ${INSTANCE}
regions: [${region}]
domain: control.${domain}
previews: previews.${domain}
image: ${image}
workers: { cpu: 1, memory: 2 }
database: { tier: db-g1-small, protected: false }
`;

/** Its passphrase lies beside the state: both are worth nothing once the platform is gone, and a run that was killed needs both. */
const environment = (): NodeJS.ProcessEnv => ({
  ...process.env,
  PULUMI_BACKEND_URL: `file://${join(FOLDER, 'state')}`,
  PULUMI_CONFIG_PASSPHRASE: 'of a platform that lives for an hour',
});

/** What it tells goes to the terminal as it comes. */
function run(args: readonly string[], env: NodeJS.ProcessEnv): Promise<{ code: number | null; out: string }> {
  const child = spawn(process.execPath, ['src/platform.ts', ...args], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, out: Buffer.concat(chunks).toString() }));
  });
}
