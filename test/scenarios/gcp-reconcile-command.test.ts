import { gzipSync } from 'node:zlib';
import { pino } from 'pino';
import { ulid } from 'ulid';
import { expect, test } from 'vitest';
import { gcpLabels, gcpServiceName } from '../../infra/labels.ts';
import { loadConfig } from '../../src/config.ts';
import { renderDone, renderPlan } from '../../src/expiry/table.ts';
import { planReconcile, reconcileOnce } from '../../src/open-reconcile.ts';
import { databaseName } from '../../src/provision/targets/database-names.ts';
import { openCloudBuilds } from '../../src/provision/targets/gcp/cloud-build.ts';
import { openGoogle } from '../../src/provision/targets/gcp/google.ts';
import { packageName } from '../../src/provision/targets/gcp/names.ts';
import { siteTags } from '../../src/provision/targets/gcp/steps.ts';
import { toSiteId } from '../../src/site/identity.ts';
import { plainTable } from '../command.ts';
import type { GoogleDouble } from '../doubles/google.ts';
import { createWorld, until } from '../world.ts';
import { nodeApp } from './apps.ts';
import { instanceOf, onServer, serverOfTests } from './planted.ts';

const REGION = 'europe-west1';

/** Everything that a site may have on Google Cloud, of one that no row knows. */
async function plant(google: GoogleDouble, instance: string, opening: AsyncDisposableStack) {
  const { cloud, platform } = google;
  const site = toSiteId(ulid());
  const labels = { instance, site };
  const image = await google.push({ files: { 'server.js': instance }, command: 'node server.js', package: packageName(labels) });
  const template = { labels: gcpLabels(labels), serviceAccount: platform.runAs.trusted, containers: [{ image }] };
  const parent = `projects/${cloud.project}/locations/${REGION}`;
  await (await google.run.create(parent, gcpServiceName(labels), { labels: gcpLabels(labels), template })).ended;
  const bucket = platform.regions[REGION]?.bucket ?? '';
  const object = `sources/trusted/${packageName(labels)}/key.tar.gz`;
  const empty = gzipSync(Buffer.alloc(1024));
  const about = { contentType: 'application/gzip', generation: 1n, metadata: {}, updatedAt: cloud.now() };
  cloud.buckets.get(bucket)?.objects.set(object, { bytes: empty, ...about });
  const builds = openCloudBuilds(opening.use(openGoogle({ project: platform.project, endpoint: google.endpoint })));
  await builds.start(REGION, {
    source: { storageSource: { bucket, object, generation: '1' } },
    steps: [{ name: 'gcr.io/cloud-builders/docker', script: '#!/bin/sh\nsleep 600\n' }],
    serviceAccount: `projects/${platform.project}/serviceAccounts/${platform.buildAs.trusted}`,
    options: { logging: 'CLOUD_LOGGING_ONLY' },
    tags: [...siteTags(labels)],
  });
  const database = databaseName(instance, site, null);
  const server = serverOfTests();
  await onServer(server, async (client) => {
    await client.query(`create database ${database}`);
    await client.query(`create role ${database}`);
  });
  opening.defer(() =>
    onServer(server, async (client) => {
      await client.query(`drop database if exists ${database}`);
      await client.query(`drop role if exists ${database}`);
    }),
  );
  return {
    /** Which of all that is there. */
    async left(): Promise<readonly string[]> {
      const ask = `select 'database' as kind from pg_database where datname = $1 union select 'role' from pg_roles where rolname = $1`;
      const { rows } = await onServer(server, (client) => client.query<{ kind: string }>(ask, [database]));
      const isGoing = ({ tags, status }: Record<string, unknown>): boolean =>
        Array.isArray(tags) && tags.includes(siteTags(labels)[1]) && status === 'WORKING';
      return [
        ...rows.map(({ kind }) => kind),
        ...(cloud.services.has(`${parent}/services/${gcpServiceName(labels)}`) ? ['service'] : []),
        ...(cloud.images.has(image) ? ['image'] : []),
        ...(cloud.buckets.get(bucket)?.objects.has(object) ? ['source'] : []),
        ...([...cloud.builds.values()].some(isGoing) ? ['build'] : []),
      ].sort();
    },
  };
}

const ALL = ['build', 'database', 'image', 'role', 'service', 'source'];

test('on Google Cloud: a dry run lists all that is there of a site that no row knows, for real it goes; another Mayfly’s stays', async () => {
  await using w = await createWorld({ MAYFLY_ROLES: 'web,gate,worker' }, { target: 'gcp' });
  if (w.google === null) throw new Error('no Google Cloud');
  const repo = await w.forge.createRepository({ name: 'acme/shop', files: nodeApp('main') });
  const pull = await w.forge.openPull(repo, { files: nodeApp('stays') });
  await w.reaches(pull, 'ready');
  const instance = await instanceOf({ dataDir: w.dataDir, database: w.database.name, server: serverOfTests() });
  await using opening = new AsyncDisposableStack();
  const [ours, theirs] = [await plant(w.google, instance, opening), await plant(w.google, 'another', opening)];
  await until('both builds to go on', async () => (await ours.left()).length + (await theirs.left()).length === 2 * ALL.length);
  // It leaves them for an hour by itself: its rows may be the wrong ones.
  await w.mayfly[Symbol.asyncDispose]();
  const { endpoint, provider } = w.google;
  const telling = { log: pino({ level: 'silent' }), google: { endpoint, provider: provider.attach } };
  const config = loadConfig(w.environment);

  expect(plainTable(renderPlan(await planReconcile(config, telling)))).toMatchInlineSnapshot(`
    "WHAT  WHERE  WHY  WOULD BE
    service mayfly-tag-name  europe-west1  no site SITE is known  removed
    database mf_tag_SITE_2e1cfa82  europe-west1  no site SITE is known  removed
    image tag-SITE  europe-west1  no site SITE is known  removed
    source sources/trusted/tag-SITE/key.tar.gz  europe-west1  no site SITE is known  removed
    build guid  europe-west1  no site SITE is known  removed

    5 findings; this was a dry run, nothing was changed
    "
  `);
  expect([await ours.left(), await theirs.left()]).toEqual([ALL, ALL]);

  expect(plainTable(renderDone(await reconcileOnce(config, telling)))).toMatchInlineSnapshot(`
    "WHAT  WHERE  WHY  WAS
    service mayfly-tag-name  europe-west1  no site SITE is known  removed
    database mf_tag_SITE_2e1cfa82  europe-west1  no site SITE is known  removed
    image tag-SITE  europe-west1  no site SITE is known  removed
    source sources/trusted/tag-SITE/key.tar.gz  europe-west1  no site SITE is known  removed
    build guid  europe-west1  no site SITE is known  removed

    5 findings: 5 done
    "
  `);
  expect([await ours.left(), await theirs.left()]).toEqual([[], ALL]);
  expect(renderPlan(await planReconcile(config, telling))).toBe('nothing to do\n');
  await w.restart();
  expect((await w.visit(pull)).body).toBe('stays');
});
