import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { alone, mustRun, run, SetupError, say, step } from './progress.mjs';

/** How long the release's host may take to answer, and to hand over 100 MB, before the program is built here instead. */
const ANSWER_MS = 5_000;
const DOWNLOAD_MS = 180_000;

/** The engine and the SDK must be the same version: the SDK's, as package.json pins it. */
export function pulumiVersion(root) {
  const version = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).dependencies['@pulumi/pulumi'];
  if (!/^\d+\.\d+\.\d+$/.test(version)) throw new SetupError(`package.json must pin @pulumi/pulumi to one version, not ${version}.`);
  return version;
}

/** Where the Pulumi SDK looks for it. */
export const pulumiProgram = (version) => join(homedir(), '.pulumi/versions', version, 'bin/pulumi');

async function fetchBytes(url, limitMs) {
  const body = AbortSignal.timeout(limitMs);
  const silence = new AbortController();
  const timer = setTimeout(() => silence.abort(new Error(`no answer in ${ANSWER_MS / 1000} s`)), ANSWER_MS);
  try {
    const response = await fetch(url, { signal: AbortSignal.any([body, silence.signal]) });
    clearTimeout(timer);
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
    return Buffer.from(await response.arrayBuffer());
  } finally {
    clearTimeout(timer);
  }
}

/** Puts the official release's program at `to`. Throws when it can't be had or isn't what its publisher's checksums say. */
async function download(version, to, folder) {
  const arch = { x64: 'x64', arm64: 'arm64' }[process.arch];
  if (arch === undefined) throw new Error(`there is no release for ${process.arch}`);
  const name = `pulumi-v${version}-${process.platform}-${arch}.tar.gz`;
  const release = `https://github.com/pulumi/pulumi/releases/download/v${version}`;
  const checksums = (await fetchBytes(`${release}/pulumi-${version}-checksums.txt`, ANSWER_MS)).toString();
  const expected = checksums
    .split('\n')
    .find((line) => line.trim().endsWith(name))
    ?.split(/\s+/)[0];
  const archive = await fetchBytes(`${release}/${name}`, DOWNLOAD_MS);
  if (createHash('sha256').update(archive).digest('hex') !== expected) throw new Error('its checksum is wrong');
  await writeFile(join(folder, name), archive);
  await mustRun('tar', ['-xzf', name, 'pulumi/pulumi'], { cwd: folder });
  await rename(join(folder, 'pulumi/pulumi'), to);
}

async function build(root, version, to) {
  const go = existsSync('/usr/local/go/bin/go') ? '/usr/local/go/bin' : '';
  const env = {
    ...process.env,
    PATH: `${process.env.PATH}:${go}`,
    CGO_ENABLED: '0',
    GOFLAGS: '-mod=readonly -buildvcs=false',
    GOWORK: 'off',
  };
  if ((await run('go', ['version'], { env })).code !== 0) {
    throw new SetupError(
      `the Pulumi CLI ${version} is needed, its release could not be downloaded, and Go, to build it, is missing.\n` +
        `  Install Go 1.25 or newer, or put the program at ${pulumiProgram(version)} yourself.`,
    );
  }
  const flags = `-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v${version}`;
  const args = ['build', '-p', '2', '-trimpath', '-ldflags', flags, '-o', to, 'github.com/pulumi/pulumi/pkg/v3/cmd/pulumi'];
  await mustRun('go', args, { cwd: join(root, 'tools/pulumi'), env });
}

async function downloadOrBuild({ root, version, program }) {
  await mkdir(dirname(program), { recursive: true });
  const folder = await mkdtemp(join(tmpdir(), 'mayfly-pulumi-'));
  // Beside its place, so that putting it there is one rename: nobody ever sees half a program.
  const fresh = `${program}.${process.pid}`;
  try {
    await step(`downloading the Pulumi CLI ${version}`, () => download(version, fresh, folder)).catch(async (error) => {
      say(`  not to be had from its publisher (${error.cause?.code ?? error.message})`);
      await step(`building the Pulumi CLI ${version} from source instead (a few minutes, once)`, () => build(root, version, fresh));
    });
    await chmod(fresh, 0o755);
    await rename(fresh, program);
  } finally {
    await rm(folder, { recursive: true, force: true });
    await rm(fresh, { force: true });
  }
}

/** Makes sure that the Pulumi CLI is in its place, once per machine and user. */
export async function ensurePulumi(root, memory) {
  const version = pulumiVersion(root);
  const program = pulumiProgram(version);
  if (await memory.is(program, 'version', version)) return;
  await alone(`${dirname(dirname(program))}.lock`, async () => {
    if (await memory.is(program, 'version', version)) return;
    await downloadOrBuild({ root, version, program });
    if (!(await memory.is(program, 'version', version))) throw new SetupError(`${program} does not say that it is ${version}.`);
  });
}
