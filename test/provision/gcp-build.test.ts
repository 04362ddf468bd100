import { execFileSync } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { sha256 } from '../../src/provision/artefacts.ts';
import { attemptsOf } from '../../src/provision/targets/gcp/attempts.ts';
import { openCloudBuilds } from '../../src/provision/targets/gcp/cloud-build.ts';
import { openImages } from '../../src/provision/targets/gcp/images.ts';
import { openRegionStock } from '../../src/provision/targets/gcp/stocks.ts';
import { toLaunchId } from '../../src/site/identity.ts';
import { watching } from '../contract/target.ts';
import { silent } from '../store/open.ts';
import { createGcpBuilder, REGION, SITE } from './gcp-builder.ts';

let b: Awaited<ReturnType<typeof createGcpBuilder>>;
beforeEach(async () => {
  b = await createGcpBuilder();
});
afterEach(() => b[Symbol.asyncDispose]());

const app = { 'package.json': '{"scripts":{"start":"node app.js"}}', 'app.js': 'serve()' };
const docker = { Dockerfile: 'FROM node\nCMD ["node", "app.js"]', 'app.js': 'serve()' };
const objects = () => [...(b.cloud.buckets.get(b.platform.regions[REGION]?.bucket ?? '')?.objects.keys() ?? [])];
/** Arguments of the steps of a build, but for what differs from run to run. */
const stepsOf = (index: number) =>
  (b.builds.asked[index]?.build.steps ?? []).map(({ id, args, script }) => [
    id,
    ...(args ?? []),
    ...(script === undefined ? [] : [script]),
  ]);

test('a commit becomes an image; the same content again is that image, and is not built', async () => {
  const claimed: string[] = [];
  const first = await b.build(app);
  const again = await b.build(app, { claim: async (key) => void claimed.push(key) });
  expect([first.cache, again.cache]).toEqual(['none', 'artefact']);
  expect(again.artefact).toEqual(first.artefact);
  expect(claimed).toEqual([first.artefact.key]);
  expect(first.artefact.image).toMatch(
    /^europe-west3-docker\.pkg\.dev\/mayfly-test\/mayfly-images\/9f86d081-01jd0{21}1@sha256:[0-9a-f]{64}$/,
  );
  expect(first.artefact.detected).toBe('buildpacks, `npm start`');
  expect(b.cloud.images.get(first.artefact.image)?.tags).toEqual(
    new Set([`tree-${first.artefact.key.slice(0, 32)}`, 'launch-01jd00000000000000000000l1']),
  );
  expect(b.builds.asked).toHaveLength(1);
});

test('other settings, another trust, another repository and another region are other images', async () => {
  const first = await b.build(app);
  const others = [
    await b.build(app, { config: { env: { A: '1' } } }),
    await b.build(app, { trust: 'untrusted' }),
    await b.build(app, { repository: 'github-2' }),
    await b.build(app, { region: 'europe-west1' }),
  ];
  expect(others.map(({ cache }) => cache)).toEqual(['none', 'none', 'none', 'none']);
  expect(new Set([first, ...others].map(({ artefact }) => artefact.key)).size).toBe(5);
  expect(b.builds.asked.at(-1)?.name).toContain('/locations/europe-west1/builds/');
});

test('the same content twice at once is built once', async () => {
  b.builds.hold();
  const both = [b.build(app), b.build(app)];
  await b.builds.begun(1);
  for (const one of b.builds.asked) b.builds.end(one, { status: 'SUCCESS' });
  expect((await Promise.all(both)).map(({ cache }) => cache)).toEqual(['none', 'artefact']);
  expect(b.builds.asked).toHaveLength(1);
});

test('a Dockerfile is built by BuildKit, with a cache in the registry of its trust and repository', async () => {
  await b.build(docker, { config: { env: { KEY: 'costs $5', B: '-f /x' } } });
  const cache = stepsOf(0)
    .at(-1)
    ?.find((arg) => arg.startsWith('--cache-from='));
  expect(cache).toMatch(
    /^--cache-from=type=registry,ref=europe-west3-docker\.pkg\.dev\/mayfly-test\/mayfly-caches\/[0-9a-f]{24}:buildkit$/,
  );
  const ref = cache?.slice('--cache-from=type=registry,ref='.length);
  // `$` is doubled: Cloud Build puts its own words in place of `$NAME`.
  const common = [
    cache,
    '--build-arg=KEY=costs $$5',
    '--build-arg=B=-f /x',
    '--provenance=false',
    '--progress=plain',
    '--file=./Dockerfile',
  ];
  const image =
    'europe-west3-docker.pkg.dev/mayfly-test/mayfly-images/9f86d081-01jd0000000000000000000001:launch-01jd00000000000000000000l1';
  expect(stepsOf(0)).toEqual([
    ['prepare', '#!/bin/sh\nset -e\ndocker buildx create --driver=docker-container --name=mayfly --use\n'],
    ['build', 'buildx', 'build', ...common, '--output=type=cacheonly', '.'],
    [
      'image',
      ...['buildx', 'build', ...common, `--tag=${image}`, '--push', '--metadata-file=/builder/outputs/output'],
      ...[`--cache-to=type=registry,ref=${ref},mode=max,ignore-error=true`, '.'],
    ],
  ]);
  expect(b.builds.asked[0]?.build).toMatchObject({
    serviceAccount: 'projects/mayfly-test/serviceAccounts/mayfly-build-trusted@mayfly-test.iam.gserviceaccount.com',
    timeout: '900s',
    queueTtl: '600s',
    options: { logging: 'CLOUD_LOGGING_ONLY' },
    tags: ['mayfly-9f86d081', 'site-01jd0000000000000000000001', expect.stringMatching(/^tree-[0-9a-f]{32}$/)],
  });
});

test('what comes from a fork is built by its own identity, with its own repository and cache', async () => {
  const { artefact } = await b.build(docker, { trust: 'untrusted' });
  expect(artefact.image).toContain('/mayfly-images-untrusted/');
  const said = JSON.stringify(b.builds.asked[0]?.build);
  expect(said).toContain('mayfly-build-untrusted@');
  expect(said).toContain('/mayfly-caches-untrusted/');
  expect(said).not.toMatch(/build-trusted@|mayfly-caches\/|mayfly-images\//);
});

test('without a Dockerfile Google’s buildpacks build it, with a cache image', async () => {
  await b.build(app, { config: { start: 'node app.js $X', env: { A: 'b' } } });
  const [pack, digest] = stepsOf(0);
  expect(pack?.map((arg) => arg.replace(/[0-9a-f]{24}:/, 'HASH:'))).toEqual([
    'build',
    'build',
    'europe-west3-docker.pkg.dev/mayfly-test/mayfly-images/9f86d081-01jd0000000000000000000001:launch-01jd00000000000000000000l1',
    '--path=.',
    '--builder=gcr.io/buildpacks/builder:latest',
    '--publish',
    '--cache-image=europe-west3-docker.pkg.dev/mayfly-test/mayfly-caches/HASH:buildpacks',
    '--report-output-dir=/builder/home',
    '--env=A=b',
    '--env=GOOGLE_ENTRYPOINT=node app.js $$X',
  ]);
  expect(digest).toEqual(['digest', '#!/bin/sh\ncp /builder/home/report.toml "$BUILDER_OUTPUT/output"\n']);
});

test('without caches it is built again, and that image is the tree’s from then on', async () => {
  const first = await b.build(docker);
  const again = await b.build(docker, { caches: 'none' });
  expect(again.artefact.key).toMatch(new RegExp(`^${first.artefact.key}-01JD`));
  expect(again.artefact.image).not.toBe(first.artefact.image);
  expect(stepsOf(1)[1]?.slice(0, 5)).toEqual(['build', 'buildx', 'build', '--no-cache', '--pull']);
  expect(stepsOf(1).flat().join(' ')).not.toContain('--cache-from');
  expect((await b.build(docker)).artefact.image).toBe(again.artefact.image);
  await b.build(app, { caches: 'none' });
  expect(stepsOf(2)[0]).toContain('--clear-cache');
});

test('the archive is the commit’s files, with hostile names and links as they are, and is gone afterwards', async () => {
  const hostile = {
    ...docker,
    '--checkpoint-action=exec=sh x': 'a',
    '-rf': 'b',
    'a\nb': 'c',
    'sub/.gcloudignore': '*',
    '.gitignore': '*',
    passwd: { link: '/etc/passwd' },
    up: { link: '../../..' },
  };
  await b.build(hostile);
  const list = execFileSync('tar', ['-tzv', '--quoting-style=escape'], { input: b.builds.asked[0]?.archive }).toString();
  const names = list
    .trim()
    .split('\n')
    .map((line) => line.replace(/^(\S+)\s+(\S+)\s+\d+ \S+ \S+ /, '$1 $2 '));
  expect(names).toEqual([
    'drwxr-xr-x 0/0 ./',
    '-rw-r--r-- 0/0 ./--checkpoint-action=exec=sh x',
    '-rw-r--r-- 0/0 ./-rf',
    '-rw-r--r-- 0/0 ./.gitignore',
    '-rw-r--r-- 0/0 ./Dockerfile',
    '-rw-r--r-- 0/0 ./a\\nb',
    '-rw-r--r-- 0/0 ./app.js',
    'lrwxr-xr-x 0/0 ./passwd -> /etc/passwd',
    'drwxr-xr-x 0/0 ./sub/',
    '-rw-r--r-- 0/0 ./sub/.gcloudignore',
    'lrwxr-xr-x 0/0 ./up -> ../../..',
  ]);
  expect(b.builds.asked[0]?.build.source.storageSource.object).toMatch(/^sources\/trusted\/9f86d081-01jd0{21}1\/[0-9a-f]{64}\.tar\.gz$/);
  expect(objects()).toEqual([]);
  expect(await readdir(join(b.dataDir, 'work'))).toEqual([]);
});

test('what a build prints is in the launch’s log, without which of Google’s steps says it', async () => {
  b.builds.hold();
  const building = b.build(docker);
  await b.builds.begun(1);
  const lines = [
    'Step #0: one',
    'Step #1 - "build": [2/3] RUN two',
    'Step #1 - "build": [builder] > three',
    'Step #1 - "build": [builder]',
    'Step #1 - "build": Step #4: their own',
  ];
  for (const one of b.builds.asked) b.builds.end(one, { status: 'FAILURE', lines, failed: { id: 'build', exitCode: 1 } });
  await expect(building).rejects.toMatchObject({ code: 'build-failed' });
  expect(b.said()).toBe('Detected: Dockerfile\none\n[2/3] RUN two\n> three\n\nStep #4: their own\nERROR\n');
});

test('what a build prints last is told while the site is put up, and the launch is over when it was', async () => {
  b.builds.hold();
  const said: string[] = [];
  const rest: Promise<void>[] = [];
  const watch = watching({ log: (text) => void said.push(text), later: (more) => void rest.push(more) });
  const building = b.build(docker, { watch });
  await b.builds.begun(1);
  for (const one of b.builds.asked) b.builds.end(one, { status: 'SUCCESS', lines: ['built it'] });
  await building;
  expect(rest).toHaveLength(1);
  await Promise.all(rest);
  expect(said).toEqual(['Detected: Dockerfile\n', 'built it\n', 'DONE\n']);
});

test('a launch that is aborted cancels its build, and leaves nothing', async () => {
  b.builds.hold();
  const abort = new AbortController();
  const building = b.build(docker, { watch: watching({ signal: abort.signal }) });
  await b.builds.begun(1);
  const reason = new Error('overtaken');
  abort.abort(reason);
  await expect(building).rejects.toBe(reason);
  expect(b.builds.asked.map(({ status }) => status)).toEqual(['CANCELLED']);
  expect(objects()).toEqual([]);
  expect(await readdir(join(b.dataDir, 'work'))).toEqual([]);
});

test('a launch that is aborted while its archive is sent begins no build', async () => {
  const abort = new AbortController();
  const large = { ...docker, noise: Array.from({ length: 400_000 }, (_, index) => sha256(String(index))).join('') };
  const reason = new Error('overtaken');
  // Told once the files are there: packing 25 MB of noise takes longer than a moment.
  const log = (): void => void setImmediate(() => abort.abort(reason));
  await expect(b.build(large, { watch: watching({ signal: abort.signal, log }) })).rejects.toBe(reason);
  expect([b.builds.asked, objects(), await readdir(join(b.dataDir, 'work'))]).toEqual([[], [], []]);
});

test('a build that a crash left running is waited for when it is of this tree, and cancelled when it is not', async () => {
  b.builds.hold();
  const lost = new AbortController();
  const of = (files: typeof docker) => b.build(files, { watch: watching({ signal: lost.signal }) }).catch(() => undefined);
  using cancelling = b.cloud.faults.withhold('cloudbuild.builds.update');
  const first = of(docker);
  await b.builds.begun(1);
  const second = of({ ...docker, 'app.js': 'older()' });
  await b.builds.begun(2);
  lost.abort(new Error('gone'));
  await Promise.all([first, second]);
  cancelling[Symbol.dispose]();
  const again = b.build(docker);
  await expect.poll(() => b.said(), { timeout: 20_000 }).toContain('A build of this commit is under way: waiting for it\n');
  const [own] = b.builds.asked;
  if (own) b.builds.end(own, { status: 'SUCCESS' });
  expect((await again).artefact.image).toContain('@sha256:');
  expect(b.builds.asked.map(({ status }) => status)).toEqual(['SUCCESS', 'CANCELLED']);
});

test('the builds of a site that ends are cancelled, its images removed', async () => {
  const kept = await b.build(docker);
  const other = await b.build({ ...docker, 'app.js': 'other()' });
  await b.builder.images.keepOnly(SITE, REGION, kept.artefact.image);
  expect([await b.builder.images.exists(kept.artefact.image), await b.builder.images.exists(other.artefact.image)]).toEqual([true, false]);
  await b.builder.images.keepOnly(SITE, REGION, null);
  expect(await b.builder.images.packages(REGION)).toEqual([]);
  await b.builder.images.keepOnly(SITE, REGION, null);
  b.builds.hold();
  const building = b.build(app, { launch: toLaunchId('01JD00000000000000000000ZZ') });
  await b.builds.begun(3);
  await b.builder.cancelAll(SITE, REGION);
  await expect(building).rejects.toMatchObject({ code: 'cloud-build-failed' });
});

test('the end of a site in a region cancels its builds before its images go, without the builder', async () => {
  b.builds.hold();
  const building = b.build(app);
  await b.builds.begun(1);
  const { google, platform, instance, times } = b.opened;
  const nothing = { of: async () => ({ list: async () => [], drop: async () => undefined }) };
  const order: string[] = [];
  const images = openImages(google, { platform, instance });
  const stock = openRegionStock(REGION, {
    instance,
    services: {
      find: async () => undefined,
      findAnothers: async () => undefined,
      letsIn: async () => true,
      list: async () => [],
      trouble: async () => undefined,
      remove: async () => undefined,
    },
    databases: nothing,
    server: () => null,
    regions: [REGION],
    images: {
      ...images,
      keepOnly: async (...of) => {
        order.push(...b.builds.asked.map(({ status }) => status));
        await images.keepOnly(...of);
      },
    },
    sources: { list: async () => [], remove: async () => undefined },
    builds: openCloudBuilds(google),
    attempts: attemptsOf(google, platform, times.pauses),
    check: async () => undefined,
    log: silent,
  });
  const { signal } = new AbortController();
  const held = { name: `site:${SITE}`, holder: 'test', epoch: 1, signal };
  await Promise.all([expect(building).rejects.toMatchObject({ code: 'cloud-build-failed' }), stock.destroy(held, SITE, { signal })]);
  expect(order).toEqual(['CANCELLED']);
});
