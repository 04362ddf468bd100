// Runs a TypeScript program of this project on the project's own Node.js: `run.mjs <entry.ts> [arguments]`. Where Node.js can, this
// process becomes that program, so signals and the exit code need no passing on.
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { nodeFlags } from './node-flags.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const node = join(root, 'node_modules/node/bin/node');
const [entry, ...rest] = process.argv.slice(2);
if (entry === undefined) {
  console.error('usage: node scripts/run.mjs <entry.ts> [arguments]');
  process.exit(64);
}
// What is compiled of the modules is kept for the next start: half a second less each time. A folder that is closed to us does without.
const env = { NODE_COMPILE_CACHE: join(root, 'node_modules/.cache/compiled'), ...process.env };
const args = [...nodeFlags, join(root, entry), ...rest];

function runAsChild() {
  const child = spawn(node, args, { stdio: 'inherit', env });
  // Ctrl-C in a terminal reaches the child by itself; passed on as well, it would count twice.
  const passedOn = process.stdin.isTTY ? ['SIGTERM', 'SIGHUP'] : ['SIGTERM', 'SIGHUP', 'SIGINT'];
  for (const signal of passedOn) process.on(signal, () => child.kill(signal));
  if (process.stdin.isTTY) process.on('SIGINT', () => {});
  child.on('error', (error) => {
    console.error(`${node} does not run (${error.message}); \`npm run setup\` repairs it.`);
    process.exit(1);
  });
  child.on('exit', (code, signal) => process.exit(code ?? 128 + constants.signals[signal]));
}

if (typeof process.execve === 'function') {
  process.removeAllListeners('warning'); // `execve` is still announced as experimental
  process.execve(node, [node, ...args], env);
} else {
  runAsChild();
}
