import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import gcpPackage from '@pulumi/gcp/package.json' with { type: 'json' };
import { expect, inject, test, vi } from 'vitest';
import { SITES_PERMISSIONS } from '../infra/platform/roles.ts';
import { loadConfig } from '../src/config.ts';
import type { Environment } from '../src/config-reader.ts';
import { examineGoogle } from '../src/doctor/google.ts';
import { PROJECT_PERMISSIONS } from '../src/doctor/google-permissions.ts';
import { examineMachine } from '../src/doctor/machine.ts';
import { openGoogle } from '../src/provision/targets/gcp/google.ts';
import { expectNothingUnknown, openGoogleCloud } from './doubles/google/cloud.ts';
import { serveGoogle } from './doubles/google/http.ts';
import { openIam } from './doubles/google/iam.ts';
import { openMetadata } from './doubles/google/metadata.ts';
import { makePlatform } from './doubles/google/platform.ts';
import { openTokens } from './doubles/google/tokens.ts';

/** A project with its platform, and a process of Mayfly's in it that runs as the gate. */
async function createProject(account?: string) {
  await using opening = new AsyncDisposableStack();
  const server = new URL(inject('postgresUrl'));
  const cloud = openGoogleCloud({});
  const platform = makePlatform(cloud, ['europe-west1'], server.host);
  const tokens = openTokens(cloud.now);
  const iam = openIam(cloud);
  const metadata = openMetadata({ cloud, tokens, account: account ?? platform.gate, region: 'europe-west1' });
  const { url } = opening.use(await serveGoogle({ cloud, tokens, metadata, apis: [iam.api] }));
  vi.stubEnv('GCE_METADATA_HOST', new URL(url).host);
  vi.stubEnv('METADATA_SERVER_DETECTION', 'assume-present');
  opening.defer(() => void vi.unstubAllEnvs());
  const dataDir = opening.adopt(await mkdtemp(join(tmpdir(), 'mayfly-doctor-')), (path) => rm(path, { recursive: true }));
  const onPath = join(dataDir, 'bin');
  const settings: Environment = {
    MAYFLY_TARGET: 'gcp',
    MAYFLY_PREVIEW_URL: 'https://preview.acme.dev',
    MAYFLY_DATA_DIR: dataDir,
    GOOGLE_CLOUD_PROJECT: cloud.project,
    MAYFLY_PLATFORM: JSON.stringify(platform),
    MAYFLY_PREVIEW_DATABASE_URL: Object.assign(new URL(server), { host: 'previews.invalid' }).href,
  };
  const google = opening.use(openGoogle({ project: cloud.project }));
  const opened = opening.move();
  return {
    cloud,
    platform,
    iam,
    dataDir,
    onPath,
    settings,
    async look(change: Environment = {}): Promise<readonly string[]> {
      const findings = await examineGoogle(loadConfig({ ...settings, ...change }), {
        google,
        endpoint: new URL(url),
        path: `/nowhere:${onPath}`,
      });
      return findings.map(({ what, state, found, todo }) =>
        `${state} ${what}: ${found}${todo === '' ? '' : ` → ${todo}`}`
          .replaceAll(server.host, 'SERVER')
          .replaceAll(/\d+ connections/g, 'N connections'),
      );
    },
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

const WEB = { MAYFLY_ROLES: 'web', DATABASE_URL: 'postgres://mayfly@db/mayfly' };

test('on Google Cloud: credentials, project, accounts, regions, databases and the plugin', async () => {
  await using p = await createProject();
  expect(await p.look()).toMatchInlineSnapshot(`
    [
      "ok Google credentials: they work, as mayfly-gate@mayfly-test.iam.gserviceaccount.com",
      "ok gate's identity: it can prove that it is the gate",
      "ok Google project: mayfly-test, with what the worker needs",
      "ok service accounts: all four may be used",
      "ok region europe-west1: bucket and repositories are there",
      "ok databases in europe-west1: SERVER answers, with N connections",
      "warn gcp plugin: 9.37.0 is not here yet → The first launch has Pulumi fetch it, which takes the internet and a minute.",
    ]
  `);
  await mkdir(join(p.dataDir, 'pulumi/home/plugins', `resource-gcp-v${gcpPackage.version}`), { recursive: true });
  expect((await p.look()).at(-1)).toBe(`ok gcp plugin: ${gcpPackage.version}`);
  // As in our image: the engine takes what is on its PATH before all else.
  await mkdir(p.onPath);
  await writeFile(join(p.onPath, 'pulumi-resource-gcp'), '');
  expect((await p.look()).at(-1)).toBe(`ok gcp plugin: ${p.onPath}/pulumi-resource-gcp`);
  // Whoever does not launch needs none of it.
  expect(await p.look(WEB)).toEqual([expect.stringMatching(/^ok Google credentials/)]);
  expectNothingUnknown(p.cloud);
});

test('what is missing on Google Cloud is told with what to do about it', async () => {
  await using p = await createProject();
  for (const permission of ['run.services.setIamPolicy', 'logging.logEntries.list', 'iam.serviceAccounts.actAs', 'storage.objects.delete'])
    p.iam.lacking.add(permission);
  p.cloud.repositories.delete(`projects/${p.cloud.project}/locations/europe-west1/repositories/mayfly-caches`);
  expect(await p.look()).toMatchInlineSnapshot(`
    [
      "ok Google credentials: they work, as mayfly-gate@mayfly-test.iam.gserviceaccount.com",
      "ok gate's identity: it can prove that it is the gate",
      "fail Google project: lacks run.services.setIamPolicy, logging.logEntries.list → Run npm run platform -- up, or grant projects/mayfly-test/roles/mayfly.sites, roles/logging.viewer by: gcloud projects add-iam-policy-binding mayfly-test --member=serviceAccount:mayfly-gate@mayfly-test.iam.gserviceaccount.com --role=ROLE",
      "fail service accounts: may not act as mayfly-run-trusted@mayfly-test.iam.gserviceaccount.com, mayfly-run-untrusted@mayfly-test.iam.gserviceaccount.com, mayfly-build-trusted@mayfly-test.iam.gserviceaccount.com, mayfly-build-untrusted@mayfly-test.iam.gserviceaccount.com → Run npm run platform -- up with the settings of this Mayfly, then outputs into MAYFLY_PLATFORM. It grants roles/iam.serviceAccountUser on each.",
      "fail region europe-west1: repository mayfly-caches not there, or not for us → Run npm run platform -- up with the settings of this Mayfly, then outputs into MAYFLY_PLATFORM.",
      "ok databases in europe-west1: SERVER answers, with N connections",
      "warn gcp plugin: 9.37.0 is not here yet → The first launch has Pulumi fetch it, which takes the internet and a minute.",
    ]
  `);
  p.iam.disabled.add('cloudresourcemanager.googleapis.com');
  p.cloud.accounts.delete(p.platform.runAs.trusted);
  expect((await p.look()).slice(2, 4)).toMatchInlineSnapshot(`
    [
      "warn Google project: what we may cannot be told: the API cloudresourcemanager.googleapis.com is not enabled → To be told: gcloud services enable cloudresourcemanager.googleapis.com",
      "fail service accounts: mayfly-run-trusted@mayfly-test.iam.gserviceaccount.com not there, or not for us → Run npm run platform -- up with the settings of this Mayfly, then outputs into MAYFLY_PLATFORM.",
    ]
  `);
  expectNothingUnknown(p.cloud);
});

test('a gate that runs as another than sites let in', async () => {
  await using p = await createProject('somebody@mayfly-test.iam.gserviceaccount.com');
  expect((await p.look()).slice(0, 2)).toMatchInlineSnapshot(`
    [
      "ok Google credentials: they work, as somebody@mayfly-test.iam.gserviceaccount.com",
      "fail gate's identity: it is somebody@mayfly-test.iam.gserviceaccount.com, and sites let in mayfly-gate@mayfly-test.iam.gserviceaccount.com alone → Run the gate as that account, or see to \`gate\` in MAYFLY_PLATFORM.",
    ]
  `);
});

test('a process without credentials is told so, and nothing else', async () => {
  await using p = await createProject();
  vi.stubEnv('GCE_METADATA_HOST', '127.0.0.1:9');
  vi.stubEnv('METADATA_SERVER_DETECTION', 'none');
  expect((await p.look()).map((row) => row.replace(/: .* → /, ': … → '))).toMatchInlineSnapshot(`
    [
      "fail Google credentials: … → Run as the service account of this role on Google Cloud; elsewhere: gcloud auth application-default login --impersonate-service-account=ACCOUNT.",
    ]
  `);
});

test('a database server that does not answer, and one that was not named', async () => {
  await using p = await createProject();
  const elsewhere = { ...p.platform, regions: { 'europe-west1': { ...p.platform.regions['europe-west1'], database: '127.0.0.1:9' } } };
  const at = (rows: readonly string[]) => rows.filter((row) => row.includes('databases in'));
  expect(at(await p.look({ MAYFLY_PLATFORM: JSON.stringify(elsewhere) }))).toMatchInlineSnapshot(`
    [
      "fail databases in europe-west1: connect ECONNREFUSED 127.0.0.1:9 → See to MAYFLY_PREVIEW_DATABASE_URL; a private address answers in the network of its region alone.",
    ]
  `);
  const none = { ...p.platform, regions: { 'europe-west1': { ...p.platform.regions['europe-west1'], database: null } } };
  expect(at(await p.look({ MAYFLY_PLATFORM: JSON.stringify(none), MAYFLY_PREVIEW_DATABASE_URL: undefined }))).toMatchInlineSnapshot(`
    [
      "warn databases in europe-west1: there is no server for them → Sites that ask for a database fail: set MAYFLY_PREVIEW_DATABASE_URL.",
    ]
  `);
});

test('no sandbox is asked for where no site runs, and no engine where none is launched', async () => {
  await using p = await createProject();
  const looked = async (change: Environment) => (await examineMachine(loadConfig({ ...p.settings, ...change }))).map(({ what }) => what);
  expect(await looked({})).toEqual(['Pulumi CLI', 'disk']);
  expect(await looked({ MAYFLY_ROLES: 'gate', DATABASE_URL: 'postgres://mayfly@db/mayfly' })).toEqual(['disk']);
});

test('nothing is asked for that the platform does not grant', () => {
  const given: readonly string[] = SITES_PERMISSIONS;
  expect(PROJECT_PERMISSIONS.sites.filter((permission) => !given.includes(permission))).toEqual([]);
});
