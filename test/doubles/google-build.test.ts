import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CloudBuildClient, type protos } from '@google-cloud/cloudbuild';
import { GoogleAuth } from 'google-auth-library';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { expectNothingUnknown } from './google/cloud.ts';
import { type GoogleDouble, openGoogleDouble } from './google.ts';

type Build = protos.google.devtools.cloudbuild.v1.IBuild;
let google: GoogleDouble;
let client: CloudBuildClient;
beforeEach(async () => {
  google = await openGoogleDouble({ regions: ['europe-west1', 'us-east1'], restricted: ['us-east1'], buildsAtOnce: 1 });
  Object.assign(process.env, google.env);
  const { hostname, port } = google.endpoint;
  client = new CloudBuildClient({
    apiEndpoint: hostname,
    port: Number(port),
    protocol: 'http',
    fallback: true,
    auth: new GoogleAuth(),
    projectId: google.platform.project,
  });
});
afterEach(async () => {
  await client.close();
  await google[Symbol.asyncDispose]();
  expectNothingUnknown(google.cloud);
});

const region = 'europe-west1';
const PATIENT = { timeout: 30_000 };
const parentOf = (where = region) => `projects/${google.platform.project}/locations/${where}`;
const refOf = (kind: 'images' | 'caches', name: string, trust: 'trusted' | 'untrusted' = 'trusted') =>
  `${region}-docker.pkg.dev/${google.platform.project}/${google.platform.regions[region]?.[kind][trust]}/${name}`;

/** Puts a source archive into the bucket, as if it had been uploaded. */
function archive(files: Readonly<Record<string, string>>) {
  const folder = mkdtempSync(join(tmpdir(), 'mayfly-source-'));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  const bytes = execFileSync('tar', ['-czf', '-', '-C', folder, '.']);
  rmSync(folder, { recursive: true });
  const bucket = google.platform.regions[region]?.bucket ?? '';
  google.cloud.buckets
    .get(bucket)
    ?.objects.set('a.tar.gz', { bytes, contentType: 'application/gzip', generation: 7n, metadata: {}, updatedAt: new Date() });
  return { storageSource: { bucket, object: 'a.tar.gz', generation: '7' } };
}

const DOCKER = 'gcr.io/cloud-builders/docker';
const PREPARE = {
  id: 'prepare',
  name: DOCKER,
  script: '#!/bin/sh\nset -e\ndocker buildx create --driver=docker-container --name=mayfly --use\n',
};
const image = (tag: string, trust: 'trusted' | 'untrusted' = 'trusted') => ({
  id: 'image',
  name: DOCKER,
  args: [
    'buildx',
    'build',
    `--cache-from=type=registry,ref=${refOf('caches', 'shop:buildkit', trust)}`,
    '--build-arg=GREETING=hello',
    '--progress=plain',
    `--tag=${refOf('images', `site1:${tag}`, trust)}`,
    '--push',
    '--metadata-file=/builder/outputs/output',
    `--cache-to=type=registry,ref=${refOf('caches', 'shop:buildkit', trust)},mode=max`,
    '.',
  ],
});
function wish(part: Partial<Build>): Build {
  const serviceAccount = `projects/${google.platform.project}/serviceAccounts/${google.platform.buildAs.trusted}`;
  return { serviceAccount, options: { logging: 'CLOUD_LOGGING_ONLY' }, tags: ['mayfly-1', 'site-1'], timeout: { seconds: 120 }, ...part };
}
async function finished(build: Build): Promise<Build> {
  const [operation] = await client.createBuild({ parent: parentOf(), build });
  await operation.promise().catch(() => undefined);
  const metadata: unknown = operation.metadata;
  const name = typeof metadata === 'object' && metadata && 'build' in metadata ? String(Reflect.get(Object(metadata.build), 'name')) : '';
  return (await client.getBuild({ name }))[0];
}
const said = () => google.cloud.logs.list(({ resource }) => resource.type === 'build').map(({ textPayload }) => textPayload ?? '');

const DOCKERFILE = `# syntax=docker/dockerfile:1
FROM node:24-slim AS build
ARG GREETING
WORKDIR /usr/app
COPY package.json ./
RUN echo "$GREETING from a build" > made.txt && \\
    mkdir /site && echo ok > /site/index.txt
FROM mirror.gcr.io/library/node:24-slim
ENV NODE_ENV=production LABEL="a b"
COPY --from=build /site /site
COPY server.js /app/
WORKDIR /app
EXPOSE 8080
CMD ["node", "server.js"]
`.replace('/usr/app', '/srv/app');
const SERVER = `require('http').createServer((q, s) => s.end(require('fs').readFileSync('/site/index.txt') + process.env.LABEL)).listen(process.env.PORT)`;
const FILES = { Dockerfile: DOCKERFILE, 'server.js': SERVER, 'package.json': '{}' };

test('a Dockerfile is built, pushed with its digest, runs, and is cached in the registry', async () => {
  const source = archive(FILES);
  const built = await finished(wish({ source, steps: [PREPARE, image('one')] }));
  expect(built).toMatchObject({
    status: 'SUCCESS',
    name: expect.stringMatching(/^projects\/123456789012\/locations\/europe-west1\/builds\//),
  });
  const output = JSON.parse(Buffer.from(built.results?.buildStepOutputs?.[1] ?? '').toString());
  const ref = `${refOf('images', 'site1')}@${output['containerimage.digest']}`;
  expect([...(google.cloud.images.get(ref)?.tags ?? [])]).toEqual(['one']);
  const template = { serviceAccount: google.platform.runAs.trusted, containers: [{ image: ref }] };
  await (await google.run.create(parentOf(), 'shop', { template, invokerIamDisabled: true })).ended;
  const { uri = '' } = google.cloud.services.get(`${parentOf()}/services/shop`) ?? {};
  expect(await (await fetch(uri)).text()).toBe('ok\na b');
  const before = said().length;
  const again = await finished(wish({ source: archive({ ...FILES, 'server.js': `${SERVER}//` }), steps: [PREPARE, image('two')] }));
  expect(again).toMatchObject({ status: 'SUCCESS' });
  const lines = said()
    .slice(before)
    .map((line) => line.replace(/^Step #1 - "image": #\d+ /, ''));
  expect(lines).toEqual(
    expect.arrayContaining([
      '[build 4/4] RUN echo "$GREETING from a build" > made.txt &&     mkdir /site && echo ok > /site/index.txt',
      'CACHED',
    ]),
  );
  expect(google.cloud.images.size).toBe(2);
});

test('a command that fails ends its step and the build, and says so in the log', async () => {
  const failing = DOCKERFILE.replace('RUN echo', 'RUN echo to be said; exit 7; echo');
  const built = await finished(wish({ source: archive({ ...FILES, Dockerfile: failing }), steps: [PREPARE, image('one')] }));
  expect(built).toMatchObject({
    status: 'FAILURE',
    failureInfo: {
      type: 'USER_BUILD_STEP',
      detail: 'Build step failure: build step 1 "gcr.io/cloud-builders/docker" failed: step exited with non-zero status: 1',
    },
    steps: [{ status: 'SUCCESS' }, { status: 'FAILURE', exitCode: 1 }],
  });
  expect(said().join('\n')).toMatch(/ to be said\n[\s\S]*did not complete successfully: exit code: 7/);
  expect(google.cloud.images.size).toBe(0);
});

test('an account may only push to its own repositories', async () => {
  const built = await finished(wish({ source: archive(FILES), steps: [PREPARE, image('one', 'untrusted')] }));
  expect(built).toMatchObject({ status: 'FAILURE' });
  expect(said().join('\n')).toContain('denied: Permission "artifactregistry.repositories.uploadArtifacts" denied');
  expect(google.cloud.images.size).toBe(0);
});

test('a Node app without a Dockerfile is built by buildpacks, and runs', async () => {
  const server = `require('http').createServer((q, s) => s.end(require('fs').readFileSync('built.txt'))).listen(process.env.PORT)`;
  const own = { scripts: { build: 'echo made > built.txt', start: 'node server.js' }, dependencies: { 'is-number': '7.0.0' } };
  const source = archive({ 'package.json': JSON.stringify(own), 'server.js': server });
  const pack = [
    'build',
    refOf('images', 'site1:one'),
    '--path=.',
    '--builder=gcr.io/buildpacks/builder:latest',
    '--publish',
    `--cache-image=${refOf('caches', 'shop:buildpacks')}`,
    '--report-output-dir=/builder/home',
  ];
  const report = { id: 'digest', name: DOCKER, script: '#!/bin/sh\ncp /builder/home/report.toml "$BUILDER_OUTPUT/output"\n' };
  const built = await finished(
    wish({ source, steps: [{ id: 'build', name: 'gcr.io/k8s-skaffold/pack', entrypoint: 'pack', args: pack }, report] }),
  );
  expect(built).toMatchObject({ status: 'SUCCESS' });
  const [, digest] = /digest = "(.+)"/.exec(Buffer.from(built.results?.buildStepOutputs?.[1] ?? '').toString()) ?? [];
  const template = { serviceAccount: google.platform.runAs.trusted, containers: [{ image: `${refOf('images', 'site1')}@${digest}` }] };
  await (await google.run.create(parentOf(), 'shop', { template, invokerIamDisabled: true })).ended;
  const { uri = '' } = google.cloud.services.get(`${parentOf()}/services/shop`) ?? {};
  expect(await (await fetch(uri)).text()).toBe('made\n');
});

test('what Cloud Build refuses: a region, an account, a build without a place for its log', async () => {
  const source = archive(FILES);
  await expect(client.createBuild({ parent: parentOf('us-east1'), build: wish({ source, steps: [PREPARE] }) })).rejects.toMatchObject({
    code: 9,
    message: expect.stringContaining('due to quota restrictions, cannot run builds in this region'),
  });
  const nobody = `projects/${google.platform.project}/serviceAccounts/nobody@example.com`;
  await expect(
    client.createBuild({ parent: parentOf(), build: wish({ source, steps: [PREPARE], serviceAccount: nobody }) }),
  ).rejects.toMatchObject({ code: 7 });
  await expect(client.createBuild({ parent: parentOf(), build: wish({ source, steps: [PREPARE], options: {} }) })).rejects.toMatchObject({
    code: 3,
  });
});

test('a build waits for its turn, is found by its tags, cancelled, and ended by its time limit', async () => {
  const source = archive(FILES);
  const slow = { id: 'prepare', name: DOCKER, script: '#!/bin/sh\nsleep 600\n' };
  const first = finished(wish({ source, steps: [slow], timeout: { seconds: 3 } }));
  await expect.poll(() => google.cloud.builds.size, PATIENT).toBe(1);
  const second = finished(wish({ source, steps: [slow], tags: ['mayfly-1', 'site-2'] }));
  const going = async () =>
    (
      await client.listBuilds({ parent: parentOf(), filter: 'tags="mayfly-1" AND tags="site-2" AND (status="QUEUED" OR status="WORKING")' })
    )[0];
  await expect.poll(going, PATIENT).toHaveLength(1);
  expect((await first).status).toBe('TIMEOUT');
  const [waiting] = await going();
  await client.cancelBuild({ name: waiting?.name ?? '' });
  expect((await second).status).toBe('CANCELLED');
  await expect(client.cancelBuild({ name: waiting?.name ?? '' })).rejects.toMatchObject({ code: 9 });
  expect(await going()).toEqual([]);
});
