import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { BuildConfig } from '../../src/provision/artefacts.ts';
import { type GcpBuilder, openGcpBuilder } from '../../src/provision/targets/gcp/build.ts';
import { openGoogle } from '../../src/provision/targets/gcp/google.ts';
import { openCloudLogs } from '../../src/provision/targets/gcp/logs.ts';
import { toLaunchId, toSiteId } from '../../src/site/identity.ts';
import { expectNothingUnknown } from '../doubles/google/cloud.ts';
import { type GoogleDouble, openGoogleDouble } from '../doubles/google.ts';
import { type Files, snapshotOf } from './builder.ts';

const REGION = 'europe-west1';
let scope: AsyncDisposableStack;
let google: GoogleDouble;
let builder: GcpBuilder;
let launches = 0;
beforeEach(async () => {
  scope = new AsyncDisposableStack();
  google = scope.use(await openGoogleDouble({ regions: [REGION] }));
  Object.assign(process.env, google.env);
  const client = scope.use(openGoogle({ project: google.platform.project, endpoint: google.endpoint }));
  const logs = scope.use(openCloudLogs({ google: client, log: () => undefined, gapMs: 1_000, lookMs: 1_000 }));
  const dataDir = scope.adopt(await mkdtemp(join(tmpdir(), 'mayfly-gcp-build-')), (path) => rm(path, { recursive: true, force: true }));
  const own = { google: client, platform: google.platform, instance: 'test', logs, dataDir, times: { lookMs: 200 } };
  builder = scope.use(await openGcpBuilder(own));
});
afterEach(async () => {
  await scope.disposeAsync();
  expectNothingUnknown(google.cloud);
});

const build = (files: Files, config: Partial<BuildConfig> = {}) => {
  launches += 1;
  return builder.ensureArtefact({
    site: toSiteId('01JD0000000000000000000001'),
    region: REGION,
    snapshot: snapshotOf(files),
    config: { root: '.', include: [], build: null, start: null, output: null, env: {}, ...config },
    repository: 'github-1',
    trust: 'trusted',
    launch: toLaunchId(`01JD000000000000000000000${launches}`),
    watch: { signal: new AbortController().signal, log: () => undefined },
    caches: 'use',
  });
};
/** What the image answers once it runs on Cloud Run. */
async function visit(image: string): Promise<string> {
  const parent = `projects/${google.platform.project}/locations/${REGION}`;
  const template = { serviceAccount: google.platform.runAs.trusted, containers: [{ image }] };
  const operation = await google.run.create(parent, 'shop', { template, invokerIamDisabled: true });
  await operation.ended;
  expect(operation.error).toBeUndefined();
  return (await fetch(google.cloud.services.get(`${parent}/services/shop`)?.uri ?? '')).text();
}
const LEAN = { dependencies: { 'is-number': '7.0.0' } };
const SERVER = `require('http').createServer((q, s) => s.end('three is a number: ' + require('is-number')(3))).listen(process.env.PORT)`;

test('a static site is built and served by its image', async () => {
  const own = { ...LEAN, scripts: { build: 'mkdir dist && echo "$WHO" > dist/index.html' } };
  const { artefact } = await build({ 'package.json': JSON.stringify(own) }, { env: { WHO: 'somebody' } });
  expect(await visit(artefact.image)).toBe('somebody\n');
});

test('an app is built as its settings say, and runs', async () => {
  const { artefact } = await build(
    { 'package.json': JSON.stringify(LEAN), 'server.js': SERVER },
    { build: 'echo built', start: 'node server.js' },
  );
  expect(await visit(artefact.image)).toBe('three is a number: true');
});

test('an app is built by buildpacks, and runs', async () => {
  const { artefact } = await build({
    'package.json': JSON.stringify({ ...LEAN, scripts: { start: 'node server.js' } }),
    'server.js': SERVER,
  });
  expect(artefact.detected).toBe('buildpacks, npm, `npm start`');
  expect(await visit(artefact.image)).toBe('three is a number: true');
});

test('an app is built by its own Dockerfile, and runs', async () => {
  const dockerfile = 'FROM node:24\nWORKDIR /app\nCOPY package.json ./\nRUN npm install\nCOPY . .\nCMD node server.js\n';
  const { artefact } = await build({ Dockerfile: dockerfile, 'package.json': JSON.stringify(LEAN), 'server.js': SERVER });
  expect(artefact.detected).toBe('Dockerfile');
  expect(await visit(artefact.image)).toBe('three is a number: true');
});

test('a build that fails tells with what', async () => {
  const own = { scripts: { build: 'echo oh no; exit 9' } };
  await expect(build({ 'package.json': JSON.stringify(own) })).rejects.toMatchObject({ code: 'build-failed', details: { exit: '9' } });
});
