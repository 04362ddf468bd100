import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { detect } from '../../src/provision/detect.ts';
import { Fault, sentence } from '../../src/site/problem.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mayfly-detect-'));
});
afterEach(() => rm(folder, { recursive: true }));

type Files = Readonly<Record<string, string>>;
const pack = (scripts: Files, dependencies: Files = {}, more: object = {}) => JSON.stringify({ scripts, dependencies, ...more });

async function plan(files: Files, config: Partial<Parameters<typeof detect>[1]> = {}) {
  for (const [name, text] of Object.entries(files)) {
    await mkdir(join(folder, dirname(name)), { recursive: true });
    await writeFile(join(folder, name), text);
  }
  return detect(folder, { root: '.', build: null, start: null, output: null, ...config });
}

test.each<[string, Files, string | null, string]>([
  [
    'npm by its lock file',
    { 'package.json': pack({ build: 'b', start: 's' }, { a: '1' }), 'package-lock.json': '{}' },
    'npm ci',
    'npm, `npm run build`, `npm start`',
  ],
  [
    'npm by its shrinkwrap',
    { 'package.json': pack({ start: 's' }, { a: '1' }), 'npm-shrinkwrap.json': '{}' },
    'npm ci',
    'npm, `npm start`',
  ],
  [
    'pnpm',
    { 'package.json': pack({ build: 'b' }, { a: '1' }), 'pnpm-lock.yaml': '' },
    'pnpm install --frozen-lockfile',
    'pnpm, `pnpm run build`, static files',
  ],
  [
    'yarn 1',
    { 'package.json': pack({ start: 's' }, { a: '1' }), 'yarn.lock': '# yarn' },
    'yarn install --frozen-lockfile',
    'yarn, `yarn start`',
  ],
  [
    'yarn berry',
    { 'package.json': pack({ start: 's' }, { a: '1' }), 'yarn.lock': '__metadata:\n' },
    'yarn install --immutable',
    'yarn, `yarn start`',
  ],
  ['no lock file', { 'package.json': pack({ start: 's' }, { a: '1' }) }, 'npm install', 'npm, `npm start`'],
  [
    'packageManager decides between two',
    { 'package.json': pack({ start: 's' }, { a: '1' }, { packageManager: 'pnpm@9.1.0' }), 'package-lock.json': '{}', 'pnpm-lock.yaml': '' },
    'pnpm install --frozen-lockfile',
    'pnpm, `pnpm start`',
  ],
  ['nothing to install', { 'package.json': pack({ start: 's' }), 'package-lock.json': '{}' }, null, '`npm start`'],
  ['an output that is in the repository', { 'package.json': pack({}), 'public/index.html': 'x' }, null, 'static files'],
  ['Procfile', { Procfile: 'worker: x\nweb:  node web.js --port $PORT \n' }, null, '`node web.js --port $PORT`'],
  ['a package before a Procfile', { 'package.json': pack({ start: 's' }), Procfile: 'web: x' }, null, '`npm start`'],
  ['plain files', { 'index.html': 'x' }, null, 'static files'],
])('%s', async (_, files, install, told) => {
  const found = await plan(files);
  expect(found.install?.command ?? null).toBe(install);
  expect(found.detected).toBe(told);
});

test('what the settings say goes first', async () => {
  const files = { 'package.json': pack({ build: 'b', start: 's' }), 'index.html': 'x' };
  expect(await plan(files, { build: 'make', start: 'run it' })).toMatchObject({
    build: 'make',
    runtime: { kind: 'process', command: 'run it' },
  });
  expect(await plan(files, { output: 'site' })).toMatchObject({ build: 'npm run build', runtime: { kind: 'static', outputs: ['site'] } });
});

test('in a workspace the lock file is that of the folder above', async () => {
  const files = {
    'package.json': pack({}, {}, { workspaces: ['apps/*'] }),
    'package-lock.json': '{}',
    'apps/web/package.json': pack({ start: 's' }, { a: '1' }),
  };
  expect(await plan(files, { root: 'apps/web' })).toMatchObject({
    install: { command: 'npm ci', cwd: '.', lockFile: 'package-lock.json' },
  });
});

const refusalOf = async (files: Files, root = '.') =>
  plan(files, { root }).then(
    () => 'found',
    (error: unknown) => (error instanceof Fault ? sentence(error.code, error.details) : String(error)),
  );

test('when it cannot tell, it says what it looked for', async () => {
  expect(await refusalOf({ 'README.md': 'x' })).toMatchInlineSnapshot(
    `"Nothing to run was found: Mayfly looked in the root of the repository for package.json, Procfile, index.html. Add one of them, or say how in \`.mayfly.yml\` with \`build\`, \`start\` and \`output\`."`,
  );
  expect(await refusalOf({ Dockerfile: 'FROM scratch' })).toMatchInlineSnapshot(
    `"Nothing to run was found: Mayfly looked in the root of the repository for package.json, Procfile, index.html (a Dockerfile is there, but this target does not build it). Add one of them, or say how in \`.mayfly.yml\` with \`build\`, \`start\` and \`output\`."`,
  );
  expect(await refusalOf({ 'app/package.json': pack({}) }, 'app')).toMatchInlineSnapshot(
    `"Nothing to run was found: Mayfly looked in app for a start or build script in package.json, Procfile, index.html. Add one of them, or say how in \`.mayfly.yml\` with \`build\`, \`start\` and \`output\`."`,
  );
  expect(await refusalOf({}, 'nowhere')).toMatchInlineSnapshot(
    `"The folder \`nowhere\`, which \`root\` in \`.mayfly.yml\` names, is not in this commit. Correct \`root\`, or add the folder."`,
  );
});

test('no link is followed out of the checkout', async () => {
  await symlink('/etc', join(folder, 'link'));
  await symlink('/etc/passwd', join(folder, 'package.json'));
  expect(await refusalOf({}, 'link')).toContain('is not in this commit');
  expect(await refusalOf({}, 'link/ssl')).toContain('is not in this commit');
  expect(await refusalOf({})).toContain('Nothing to run was found');
});

test.each(['{', '[]', 'null', '{"scripts":7}', '\ufeff{"scripts":{"start":"s"}}'])('package.json is %s', async (text) => {
  const said = await plan({ 'package.json': text, 'index.html': 'x' });
  expect(['static files', '`npm start`']).toContain(said.detected);
});
