// `npm run test:live`: whether there is a project to be live in, then the tests.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { findSurroundings } from '../test/live/surroundings.ts';

const found = await findSurroundings();
if ('missing' in found) {
  console.error(found.missing);
  process.exit(64);
}
const root = join(import.meta.dirname, '..');
const args = [join(root, 'node_modules/vitest/vitest.mjs'), 'run', '--config', 'vitest.live.config.ts', ...process.argv.slice(2)];
const child = spawn(process.execPath, args, { cwd: root, stdio: 'inherit' });
// Ctrl-C reaches the tests by itself. What they leave behind then, the next run removes.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => undefined);
child.on('close', (code) => {
  process.exitCode = code ?? 1;
});
