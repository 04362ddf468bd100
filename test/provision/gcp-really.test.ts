import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { BuildOrder } from '../../src/provision/build.ts';
import { openSources } from '../../src/provision/source.ts';
import { type GcpBuilder, openGcpBuilder } from '../../src/provision/targets/gcp/build.ts';
import { openGoogle } from '../../src/provision/targets/gcp/google.ts';
import { openCloudLogs } from '../../src/provision/targets/gcp/logs.ts';
import { parseRepositoryId, parseSha, toForgeId, toLaunchId, toSiteId } from '../../src/site/identity.ts';
import { Fault, sentence } from '../../src/site/problem.ts';
import { watching } from '../contract/target.ts';
import { expectNothingUnknown } from '../doubles/google/cloud.ts';
import { type GoogleDouble, openGoogleDouble } from '../doubles/google.ts';
import { type Files, snapshotOf } from './builder.ts';
import { createGitServer } from './git-server.ts';

let google: GoogleDouble;
let builder: GcpBuilder;
let dataDir: string;
const opening = new AsyncDisposableStack();
const log: string[] = [];

beforeAll(async () => {
  google = opening.use(await openGoogleDouble({ restricted: ['europe-west3'], regions: ['europe-west1', 'europe-west3'] }));
  Object.assign(process.env, google.env);
  dataDir = opening.adopt(await mkdtemp(join(tmpdir(), 'mayfly-really-')), (path) => rm(path, { recursive: true, force: true }));
  const client = opening.use(openGoogle({ project: google.platform.project, endpoint: google.endpoint }));
  const logs = opening.use(openCloudLogs({ google: client, log: (line) => void log.push(line), lookMs: 1_000 }));
  builder = opening.use(
    await openGcpBuilder({
      google: client,
      platform: google.platform,
      instance: 'test',
      logs,
      dataDir,
      times: { lookMs: { least: 100, most: 100 } },
    }),
  );
});
afterAll(async () => {
  await opening.disposeAsync();
  expectNothingUnknown(google.cloud);
});

let launches = 0;
type More = Partial<Omit<BuildOrder, 'config'>> & { readonly config?: Partial<BuildOrder['config']> };
function build(files: Files, { config, ...more }: More = {}) {
  launches += 1;
  return builder.ensureArtefact({
    site: toSiteId('01JD0000000000000000000001'),
    region: 'europe-west1',
    snapshot: snapshotOf(files),
    config: { root: '.', include: [], build: null, start: null, output: null, env: {}, ...config },
    repository: 'github-1',
    trust: 'trusted',
    launch: toLaunchId(`01JD00000000000000000000L${launches}`),
    watch: watching({ log: (chunk) => void log.push(chunk) }),
    caches: 'use',
    ...more,
  });
}
const imageOf = (name: string) => google.cloud.images.get(name);
async function told(building: Promise<unknown>): Promise<string> {
  const error = await building.then(() => undefined).catch((thrown: unknown) => thrown);
  if (!(error instanceof Fault)) throw error ?? new Error('it did not fail');
  return `${error.code}: ${sentence(error.code, error.details)}`;
}

test('a static site is built into an image that serves it', async () => {
  const files = { 'package.json': '{"scripts":{"build":"sh make.sh"}}', 'make.sh': 'mkdir out && echo "made of $API" > out/index.html' };
  const { artefact } = await build(files, { config: { env: { API: 'it’s $5' } } });
  const image = imageOf(artefact.image);
  expect(execFileSync('cat', [join(image?.folder ?? '', 'site/index.html')]).toString()).toBe('made of it’s $5\n');
  expect(image?.command).toContain("'/site'");
}, 120_000);

test('a repository’s own Dockerfile, and what fails in it', async () => {
  const docker = { Dockerfile: 'FROM node:24\nWORKDIR /app\nCOPY . .\nRUN echo built > built\nCMD ["node", "app.js"]', 'app.js': '' };
  const { artefact } = await build(docker);
  expect(imageOf(artefact.image)).toMatchObject({ cwd: '/app' });
  expect(await told(build({ ...docker, Dockerfile: 'FROM node:24\nRUN echo why it failed && exit 3' }))).toMatchInlineSnapshot(
    `"build-failed: \`docker build\` exited with 3. The log says why; mend it and push."`,
  );
  expect(log.join('')).toContain('why it failed');
}, 120_000);

test('a Node app by buildpacks, and what fails in it', async () => {
  const app = { 'package.json': '{"scripts":{"build":"sh make.sh","start":"node app.js"}}', 'make.sh': 'echo made > made', 'app.js': '' };
  const { artefact } = await build(app);
  expect(imageOf(artefact.image)?.command).toBe('npm start');
  expect(await told(build({ ...app, 'make.sh': 'exit 7' }))).toMatchInlineSnapshot(
    `"build-failed: \`npm run build\` exited with 1. The log says why; mend it and push."`,
  );
  expect(await told(build({ ...app, 'package.json': '{"scripts":{"start":"x","postinstall":"exit 4"}}' }))).toMatchInlineSnapshot(
    `"install-failed: \`npm install\` exited with 1. The log says why; mend it and push."`,
  );
}, 120_000);

test('Google’s own words for a region that is restricted, and for an identity that may not be lent', async () => {
  const docker = { Dockerfile: 'FROM node:24' };
  expect(await told(build(docker, { region: 'europe-west3' }))).toContain(
    'region-cannot-build: Google does not let this project build in eu-frankfurt',
  );
  using _ = google.cloud.faults.withhold('iam.serviceaccounts.actAs');
  expect(await told(build(docker))).toMatchInlineSnapshot(
    `"google-forbidden: Google Cloud does not let Mayfly lend builds the identity mayfly-build-trusted@mayfly-test.iam.gserviceaccount.com: its identity lacks the role \`roles/iam.serviceAccountUser\`. Once the operator has granted it with \`gcloud iam service-accounts add-iam-policy-binding mayfly-build-trusted@mayfly-test.iam.gserviceaccount.com --member=serviceAccount:mayfly-gate@mayfly-test.iam.gserviceaccount.com --role=roles/iam.serviceAccountUser\`, \`/preview deploy\` tries again."`,
  );
}, 60_000);

test('the archive is exactly the commit: as git has it, whatever its attributes say, root and include only', async () => {
  await using server = await createGitServer();
  const attributes = 'ignored export-ignore\nexpanded export-subst\n';
  const sha = await server.commit({
    'web/Dockerfile': 'FROM node:24',
    'web/.gitattributes': attributes,
    'web/ignored': '',
    'web/expanded': '$Format:%H$',
    'web/.gitignore': '*',
    'web/-rf': '',
    'web/link': { link: '/etc/passwd' },
    'shared/x': '',
    secret: 'not built',
  });
  const sources = await openSources({ dataDir: join(dataDir, 'git'), log: () => undefined });
  const id = parseRepositoryId(7) ?? expect.fail('7 is no id');
  const snapshot = await sources.fetch({
    repository: { forge: toForgeId('github'), id },
    address: async () => ({ url: server.url, authorization: null }),
    sha: parseSha(sha) ?? expect.fail(`${sha} is no commit's id`),
    signal: new AbortController().signal,
  });
  const bucket = google.cloud.buckets.get(google.platform.regions['europe-west1']?.bucket ?? '')?.objects;
  const building = build({}, { snapshot, config: { root: 'web', include: ['shared'] } });
  await expect.poll(() => bucket?.size, { timeout: 30_000, interval: 1 }).toBe(1);
  const [archive] = [...(bucket?.values() ?? [])].map(({ bytes }) => bytes);
  await building;
  const tar = (...args: readonly string[]): string => execFileSync('tar', args, { input: archive }).toString();
  const names = ['./', './shared/', './shared/x', './web/', './web/-rf', './web/.gitattributes', './web/.gitignore', './web/Dockerfile'];
  expect(tar('-tz').trim().split('\n')).toEqual([...names, './web/expanded', './web/ignored', './web/link']);
  expect(tar('-xzO', './web/expanded')).toBe('$Format:%H$');
  expect(bucket?.size).toBe(0);
}, 120_000);
