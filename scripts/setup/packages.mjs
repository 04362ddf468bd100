import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { mustRun, run, SetupError, say, step } from './progress.mjs';

/** The program that is looked for, the Debian package that brings it, and what needs it. */
const PROGRAMS = [
  { program: 'git', needs: 'git', for: ['start', 'demo', 'test', 'bench'] },
  { program: 'setpriv', needs: 'util-linux', for: ['start', 'demo', 'test', 'bench'] },
  { program: 'bwrap', needs: 'bubblewrap', for: ['start', 'demo', 'test', 'bench'] },
  { program: 'redis-server', needs: 'redis-server', for: ['test', 'bench'] },
  { program: 'chromium', needs: 'chromium', for: ['test'] },
  { program: 'nginx', needs: 'nginx-light', for: ['test', 'bench'] },
  { program: 'caddy', needs: 'caddy', for: ['test', 'bench'] },
];

const FOLDERS = [...(process.env.PATH ?? '').split(delimiter), '/usr/bin', '/bin', '/usr/sbin', '/sbin'];
const isInstalled = (program) => FOLDERS.some((folder) => existsSync(join(folder, program)));

/** Without the sandbox by request, or in the demo, which then says so, there is no need for bubblewrap. */
const mayLack = (program, purpose) => program === 'bwrap' && (process.env.MAYFLY_SANDBOX === 'none' || purpose === 'demo');

const APT = ['-o', 'Acquire::Retries=3', '-o', 'DPkg::Lock::Timeout=300', '-y'];
const aptEnvironment = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };

async function install(names) {
  await step(`installing ${names.join(', ')} (apt-get)`, async () => {
    // A list that can't be refreshed may still do: only the install's own failure counts.
    const update = await run('apt-get', [...APT, 'update'], { env: aptEnvironment });
    if (update.code !== 0) say('  apt-get update failed; trying with the lists that are here');
    await mustRun('apt-get', [...APT, 'install', '--no-install-recommends', ...names], { env: aptEnvironment });
  });
}

/** Installs the system packages that are missing, as root on Debian; else names the command that does. */
export async function ensurePackages(purpose) {
  const missing = PROGRAMS.filter((one) => one.for.includes(purpose) && !isInstalled(one.program));
  if (missing.length === 0) return;
  const wanted = missing.map((one) => one.needs);
  if (process.getuid?.() === 0 && isInstalled('apt-get')) {
    const failure = await install(wanted).then(
      () => undefined,
      (error) => error,
    );
    const still = PROGRAMS.filter((one) => wanted.includes(one.needs) && !isInstalled(one.program) && !mayLack(one.program, purpose));
    if (still.length > 0) throw failure ?? new SetupError(`apt-get did not bring ${still.map((one) => one.program).join(', ')}.`);
    return;
  }
  const needed = missing.filter((one) => !mayLack(one.program, purpose));
  if (needed.length === 0) {
    say(`going on without ${wanted.join(', ')}: sites run without a sandbox`);
    return;
  }
  const names = needed.map((one) => one.needs);
  throw new SetupError(`missing: ${names.join(', ')}. Run this, then try again:\n  sudo apt-get install -y ${names.join(' ')}`);
}
