import { mkdir, mkdtemp, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { chooseRecipe } from '../../src/provision/targets/gcp/recipe.ts';
import type { Files } from './builder.ts';

async function choose(files: Files, config: Partial<Parameters<typeof chooseRecipe>[1]> = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'mayfly-recipe-'));
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    if (typeof content === 'string') await writeFile(join(folder, name), content);
    else await symlink(content.link, join(folder, name));
  }
  return chooseRecipe(folder, { root: '.', include: [], build: null, start: null, output: null, env: {}, ...config });
}
const kind = async (...args: Parameters<typeof choose>) => {
  const { kind: is, detected } = await choose(...args);
  return `${is}: ${detected}`;
};

const node = { 'package.json': '{"scripts":{"start":"node a.js"}}' };

test.each<[string, Files, Parameters<typeof choose>[1], string]>([
  ['a Dockerfile goes first', { ...node, Dockerfile: '' }, {}, 'dockerfile: Dockerfile'],
  ['but not before settings', { ...node, Dockerfile: '' }, { start: 'node b.js' }, 'buildpacks: buildpacks, `node b.js`'],
  ['nor when it leads somewhere else', { ...node, Dockerfile: { link: '/etc/passwd' } }, {}, 'buildpacks: buildpacks, `npm start`'],
  ['in the root of the settings', { 'web/Dockerfile': '' }, { root: 'web' }, 'dockerfile: Dockerfile'],
  ['Node with a start script', node, {}, 'buildpacks: buildpacks, `npm start`'],
  ['a build command of the settings', node, { build: 'make' }, 'generated: `make`, `npm start`'],
  [
    'a lock file above',
    { 'web/package.json': '{"scripts":{"start":"x"},"dependencies":{"a":"1"}}', 'package-lock.json': '{}' },
    { root: 'web' },
    'generated: npm, `npm start`',
  ],
  ['neighbours', { 'web/package.json': node['package.json'], 'lib/a.js': '' }, { root: 'web', include: ['lib'] }, 'generated: `npm start`'],
  ['static files', { 'index.html': '' }, {}, 'generated: static files'],
  [
    'what is built into static files',
    { 'package.json': '{"scripts":{"build":"vite build"}}' },
    {},
    'generated: `npm run build`, static files',
  ],
  ['a Procfile alone', { Procfile: 'web: ./run' }, {}, 'generated: `./run`'],
  ['Python', { 'requirements.txt': 'flask', 'main.py': '' }, {}, 'buildpacks: buildpacks, requirements.txt'],
  [
    'Python with a start command',
    { 'requirements.txt': '' },
    { start: 'gunicorn a:b' },
    'buildpacks: buildpacks, requirements.txt, `gunicorn a:b`',
  ],
  ['Go', { 'go.mod': '' }, {}, 'buildpacks: buildpacks, go.mod'],
])('%s', async (_, files, config, told) => {
  expect(await kind(files, config)).toBe(told);
});

test('nothing that anybody could run is told, with what was looked for', async () => {
  await expect(choose({ 'README.md': '' })).rejects.toMatchObject({
    code: 'nothing-detected',
    details: {
      looked:
        'Dockerfile, package.json, Procfile, index.html, requirements.txt, pyproject.toml, go.mod, pom.xml, build.gradle, build.gradle.kts, Gemfile, composer.json',
    },
  });
  await expect(choose({ 'README.md': '' }, { root: 'web' })).rejects.toMatchObject({ code: 'root-missing' });
  await expect(choose({ web: { link: '/etc' } }, { root: 'web' })).rejects.toMatchObject({ code: 'root-missing' });
});

/** The server of static sites is told apart, and left out here. */
const dockerfileOf = async (...args: Parameters<typeof choose>): Promise<string> => {
  const recipe = await choose(...args);
  if (recipe.kind !== 'generated') throw new Error(`it is ${recipe.kind}`);
  return recipe.dockerfile.replace(/"import .*",/, 'SERVER,');
};

test('a static site that is built: install apart from the source, so that it is kept while only that changes', async () => {
  const files = {
    'package.json': '{"scripts":{"build":"vite build"},"dependencies":{"vite":"1"}}',
    'package-lock.json': '{}',
    '.npmrc': '',
  };
  expect(await dockerfileOf(files, { env: { API: 'x' } })).toMatchInlineSnapshot(`
    "FROM mirror.gcr.io/library/node:24-slim AS source
    WORKDIR /app
    ENV CI=1 COREPACK_ENABLE_DOWNLOAD_PROMPT=0 YARN_ENABLE_TELEMETRY=0
    ENV npm_config_audit=false npm_config_fund=false npm_config_update_notifier=false
    COPY ["package.json","package-lock.json",".npmrc","./"]

    FROM source AS install
    WORKDIR /app
    RUN ["sh","-c","npm ci"]
    WORKDIR /app
    COPY . .

    FROM install AS build
    WORKDIR /app
    ARG API
    RUN ["sh","-c","npm run build"]

    FROM build AS output
    RUN ["sh","-c","for folder in \\"$@\\"; do if [ -d \\"$folder\\" ]; then mkdir /site && cp -R \\"$folder/.\\" /site && exit 0; fi; done; echo \\"There is no folder $*\\"; exit 1","output","dist","build","out","public","_site"]

    FROM mirror.gcr.io/library/node:24-slim
    COPY --from=output /site /site
    CMD ["node","--input-type=module","-e",SERVER,"/site"]
    "
  `);
});

test('an install that may need other files has all of them; commands are words, whatever is in them', async () => {
  const files = {
    'a b/package.json': '{"scripts":{"postinstall":"./x"},"dependencies":{"a":"1"}}',
    'pnpm-lock.yaml': '',
  };
  expect(await dockerfileOf(files, { root: 'a b', build: 'make "$X"\nRUN evil', start: "node 'a'" })).toMatchInlineSnapshot(`
    "FROM mirror.gcr.io/library/node:24-slim AS source
    WORKDIR /app
    ENV CI=1 COREPACK_ENABLE_DOWNLOAD_PROMPT=0 YARN_ENABLE_TELEMETRY=0
    ENV npm_config_audit=false npm_config_fund=false npm_config_update_notifier=false
    RUN ["corepack","enable"]
    COPY . .

    FROM source AS install
    WORKDIR /app
    RUN ["sh","-c","pnpm install --frozen-lockfile"]

    FROM install AS build
    WORKDIR "/app/a b"
    RUN ["sh","-c","make \\"$X\\"\\nRUN evil"]

    FROM build
    CMD ["sh","-c","node 'a'"]
    "
  `);
});

test('static files with nothing to build', async () => {
  expect(await dockerfileOf({ 'index.html': '' })).toMatchInlineSnapshot(`
    "FROM mirror.gcr.io/library/node:24-slim AS source
    WORKDIR /app
    ENV CI=1 COREPACK_ENABLE_DOWNLOAD_PROMPT=0 YARN_ENABLE_TELEMETRY=0
    ENV npm_config_audit=false npm_config_fund=false npm_config_update_notifier=false
    COPY . .

    FROM source AS build
    WORKDIR /app

    FROM build AS output
    RUN ["sh","-c","for folder in \\"$@\\"; do if [ -d \\"$folder\\" ]; then mkdir /site && cp -R \\"$folder/.\\" /site && exit 0; fi; done; echo \\"There is no folder $*\\"; exit 1","output","."]

    FROM mirror.gcr.io/library/node:24-slim
    COPY --from=output /site /site
    CMD ["node","--input-type=module","-e",SERVER,"/site"]
    "
  `);
});
