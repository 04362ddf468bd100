// Puts in place what Mayfly needs on this machine, once. Runs on the system's Node.js, before anything is installed, so it uses
// nothing but what Node.js brings.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { installModules, linkNode, modulesAreCurrent, programMemory, projectNode, repairNode, repairPostgres } from './setup/modules.mjs';
import { ensurePackages } from './setup/packages.mjs';
import { alone, SetupError, say } from './setup/progress.mjs';
import { ensurePulumi } from './setup/pulumi.mjs';

const PURPOSES = ['start', 'demo', 'test', 'bench'];
const OLDEST_NODE = 20;
const root = dirname(dirname(fileURLToPath(import.meta.url)));

function purposeOf(args) {
  const at = args.indexOf('--for');
  const purpose = at === -1 ? 'start' : args[at + 1];
  if (!PURPOSES.includes(purpose)) throw new SetupError(`--for takes one of ${PURPOSES.join(', ')}, not ${purpose}.`);
  return purpose;
}

/** The Node.js that the project runs on, whatever the system has: the version that package.json pins. */
async function ensureNode() {
  const version = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).dependencies.node;
  const isThere = () => programMemory(root).is(projectNode(root), '--version', version);
  if (!(await isThere())) await repairNode(root);
  if (!(await isThere())) throw new SetupError(`Node.js ${version} could not be put into ${projectNode(root)}.`);
  await linkNode(root);
}

async function setUp(purpose) {
  if (Number(process.versions.node.split('.')[0]) < OLDEST_NODE) {
    throw new SetupError(`Node.js ${OLDEST_NODE} or newer is needed to begin with; this is ${process.version}.`);
  }
  const lock = join(tmpdir(), `mayfly-setup-${createHash('sha256').update(root).digest('hex').slice(0, 12)}.lock`);
  await alone(lock, async () => {
    if (!modulesAreCurrent(root, purpose)) await installModules(root);
    await ensureNode();
    await repairPostgres(root);
    await ensurePackages(purpose);
    await ensurePulumi(root, programMemory(root));
  });
}

try {
  const started = Date.now();
  await setUp(purposeOf(process.argv.slice(2)));
  say(`everything is in place (${((Date.now() - started) / 1000).toFixed(1)} s)`);
} catch (error) {
  // A SetupError is written for people; anything else is a bug of ours and keeps its trace.
  console.error(`set-up failed: ${error instanceof SetupError ? error.message : error.stack}`);
  process.exitCode = 1;
}
