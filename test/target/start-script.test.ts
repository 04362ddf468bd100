import { execFile } from 'node:child_process';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startScript } from '../../src/provision/targets/local/start-script.ts';

const run = promisify(execFile);
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mayfly-start-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

let made = 0;
async function app(files: Readonly<Record<string, unknown>>): Promise<string> {
  const place = join(folder, String(++made));
  for (const [name, content] of Object.entries(files)) {
    const file = join(place, name);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, typeof content === 'string' ? content : JSON.stringify(content));
    await chmod(file, 0o755);
  }
  return place;
}

const PRINT = `printf '%s\\n' "$npm_lifecycle_event" "$npm_package_name" "$npm_package_version" "$npm_package_json" "$INIT_CWD"; tool; outer`;
const TOOLS = { 'app/node_modules/.bin/tool': '#!/bin/sh\necho inner', 'node_modules/.bin/outer': '#!/bin/sh\necho outer' };

test('the script gets what npm would give it: the variables, and the tools of its folder and those above', async () => {
  const own = { name: `it's`, version: '1.2.3', scripts: { start: PRINT } };
  const place = await app({ 'app/package.json': own, ...TOOLS });
  const cwd = join(place, 'app');
  const direct = await startScript('npm start', { folder: place, cwd: 'app' });
  const bare = { cwd, env: { PATH: process.env.PATH, HOME: folder } };
  const seen = await run('sh', ['-c', direct], bare);
  const npm = await run(join(import.meta.dirname, '../../node_modules/.bin/npm'), ['start', '--silent'], bare);
  expect(seen.stdout).toBe(npm.stdout);
  expect(seen.stdout.split('\n')).toEqual(['start', `it's`, '1.2.3', join(cwd, 'package.json'), cwd, 'inner', 'outer', '']);
});

test.each([
  ['another command', 'node server.js', { scripts: { start: 'x' } }, {}],
  ['hooks', 'npm start', { scripts: { prestart: 'x', start: 'x' } }, {}],
  ['a config of its own', 'npm start', { config: { a: 1 }, scripts: { start: 'x' } }, {}],
  ['no script', 'npm start', { scripts: {} }, {}],
  ['a variable that only npm knows', 'npm start', { scripts: { start: 'echo $npm_config_user_agent' } }, {}],
  ['settings of npm', 'npm start', { scripts: { start: 'x' } }, { '.npmrc': 'script-shell=bash' }],
  ['a loader of yarn', 'yarn start', { scripts: { start: 'x' } }, { '.pnp.cjs': '' }],
])('%s: the command stays as it is', async (_, command, own, more) => {
  const place = await app({ 'package.json': own, ...more });
  expect(await startScript(command, { folder: place, cwd: '.' })).toBe(command);
});
