import { ArtifactRegistryClient } from '@google-cloud/artifact-registry';
import { Logging } from '@google-cloud/logging';
import { RevisionsClient, ServicesClient } from '@google-cloud/run';
import { Storage } from '@google-cloud/storage';
import { GoogleAuth } from 'google-auth-library';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { expectNothingUnknown } from './google/cloud.ts';
import { openRun } from './google/run.ts';
import { type GoogleDouble, openGoogleDouble } from './google.ts';

let google: GoogleDouble;
beforeEach(async () => {
  google = await openGoogleDouble();
  Object.assign(process.env, google.env);
});
afterEach(async () => {
  await google[Symbol.asyncDispose]();
  expectNothingUnknown(google.cloud);
});
const region = 'europe-west1';
const auth = () => new GoogleAuth({ scopes: 'https://www.googleapis.com/auth/cloud-platform', projectId: google.platform.project });
const storage = () =>
  new Storage({
    apiEndpoint: google.endpoint.origin,
    projectId: google.platform.project,
    authClient: auth(),
    useAuthWithCustomEndpoint: true,
  });
/** What the generated clients need to speak to the double. */
const rest = () => ({
  apiEndpoint: google.endpoint.hostname,
  servicePath: google.endpoint.hostname,
  port: Number(google.endpoint.port),
  protocol: 'http',
  fallback: true as const,
  auth: auth(),
  projectId: google.platform.project,
});

test('objects are written in one piece and in several, read, listed page by page, and deleted', async () => {
  const bucket = storage().bucket(google.platform.regions[region]?.bucket ?? '');
  await bucket.file('sources/a.tar.gz').save(Buffer.from('one'), { resumable: false, contentType: 'application/gzip' });
  // With an address of its own the library begins an upload without a token, unless it is begun like this.
  const [uri] = await bucket.file('sources/b.tar.gz').createResumableUpload();
  await bucket.file('sources/b.tar.gz').save(Buffer.alloc(3_000_000, 'x'), { resumable: true, uri, chunkSize: 1_048_576 });
  await bucket.file('sources/c.tar.gz').save('three', { resumable: false, preconditionOpts: { ifGenerationMatch: 0 } });
  const [files, query] = await bucket.getFiles({ prefix: 'sources/', maxResults: 2, autoPaginate: false });
  expect(files.map(({ name }) => name)).toEqual(['sources/a.tar.gz', 'sources/b.tar.gz']);
  expect(query).toMatchObject({ pageToken: expect.any(String) });
  const [all] = await bucket.getFiles({ prefix: 'sources/' });
  expect(all.length).toBe(3);
  const [bytes] = await bucket.file('sources/b.tar.gz').download();
  expect(bytes.length).toBe(3_000_000);
  const again = bucket.file('sources/c.tar.gz').save('three', { resumable: false, preconditionOpts: { ifGenerationMatch: 0 } });
  await expect(again).rejects.toMatchObject({ code: 412 });
  await bucket.file('sources/a.tar.gz').delete();
  await expect(bucket.file('sources/a.tar.gz').getMetadata()).rejects.toMatchObject({ code: 404 });
  await expect(bucket.getMetadata()).resolves.toMatchObject([{ softDeletePolicy: { retentionDurationSeconds: '0' } }, {}]);
});

test('whoever has no token, an expired one or no permission is refused', async () => {
  const bare = await fetch(new URL('/storage/v1/b/x', google.endpoint));
  expect(bare.status).toBe(401);
  const { token } = google.tokens.access(google.platform.gate);
  google.tokens.expireAll();
  const late = await fetch(new URL('/storage/v1/b/x', google.endpoint), { headers: { authorization: `Bearer ${token}` } });
  expect(late.status).toBe(401);
  using _ = google.cloud.faults.withhold('storage.objects.create');
  const writing = storage()
    .bucket(google.platform.regions[region]?.bucket ?? '')
    .file('x')
    .save('x', { resumable: false });
  await expect(writing).rejects.toMatchObject({
    code: 403,
    message:
      "mayfly-gate@mayfly-test.iam.gserviceaccount.com does not have storage.objects.create access to the Google Cloud Storage object. Permission 'storage.objects.create' denied on resource (or it may not exist).",
  });
});

test('log entries are found by filter, page by page, sixty times a minute', async () => {
  const { cloud } = google;
  for (let line = 0; line < 5; line += 1) {
    cloud.logs.append({
      logName: `projects/${cloud.project}/logs/cloudbuild`,
      resource: { type: 'build', labels: { build_id: line < 4 ? 'one' : 'two', project_id: cloud.project } },
      severity: 'INFO',
      labels: { build_tags: 'mayfly-1,site-2' },
      textPayload: `line ${line}`,
      timestamp: `2026-01-01T00:00:00.00${line}Z`,
    });
  }
  const logging = new Logging(rest());
  const filter =
    'resource.type="build" AND resource.labels.build_id="one"\ntimestamp>="2026-01-01T00:00:00.001Z" labels.build_tags:"site-2"';
  const [entries] = await logging.getEntries({ filter, orderBy: 'timestamp asc', pageSize: 2, autoPaginate: true });
  expect(entries.map(({ data }) => data)).toEqual(['line 1', 'line 2', 'line 3']);
  for (let read = google.seen.filter(({ path }) => path === '/v2/entries:list').length; read < 60; read += 1)
    await logging.getEntries({ filter, pageSize: 1, autoPaginate: false });
  await expect(logging.getEntries({ filter, autoPaginate: false })).rejects.toMatchObject({ code: 8 });
});

const digest = (digit: string) => `sha256:${digit.repeat(64)}`;
function push(name: string, tags: readonly string[], folder = '/') {
  const { cloud, platform } = google;
  const ref = `${region}-docker.pkg.dev/${platform.project}/${platform.regions[region]?.images.trusted}/${name}`;
  const own = { folder, cwd: '/', command: 'true', env: {}, detected: 'a test', uploadedAt: cloud.now() };
  cloud.images.set(ref, { ...own, tags: new Set(tags) });
  return ref;
}

test('images are looked at, tagged, and removed with their package', async () => {
  const client = new ArtifactRegistryClient(rest());
  const parent = client.repositoryPath(google.platform.project, region, google.platform.regions[region]?.images.trusted ?? '');
  push(`site1@${digest('a')}`, ['tree-1']);
  push(`site1@${digest('b')}`, []);
  for (let at = 2; at < 30; at += 1) push(`site${at}@${digest('c')}`, []);
  const [packages] = await client.listPackages({ parent });
  expect(packages.length).toBe(29);
  const own = `${parent}/packages/site1`;
  const [versions] = await client.listVersions({ parent: own, view: 'FULL' });
  expect(versions.map(({ name, relatedTags }) => [name, relatedTags?.map((tag) => tag.name)])).toEqual([
    [`${own}/versions/${digest('a')}`, [`${own}/tags/tree-1`]],
    [`${own}/versions/${digest('b')}`, []],
  ]);
  await client.createTag({ parent: own, tagId: 'tree-2', tag: { version: `${own}/versions/${digest('b')}` } });
  await expect(
    client.createTag({ parent: own, tagId: 'tree-2', tag: { version: `${own}/versions/${digest('b')}` } }),
  ).rejects.toMatchObject({ code: 6 });
  expect(await client.getTag({ name: `${own}/tags/tree-2` })).toMatchObject([{ version: `${own}/versions/${digest('b')}` }, {}, {}]);
  await expect(client.getTag({ name: `${own}/tags/tree-3` })).rejects.toMatchObject({ code: 5 });
  const [removal] = await client.deletePackage({ name: own });
  await removal.promise();
  await expect(client.listVersions({ parent: own })).rejects.toMatchObject({ code: 5 });
  using _ = google.cloud.faults.withhold('artifactregistry.packages.delete');
  await expect(client.deletePackage({ name: `${parent}/packages/site2` })).rejects.toMatchObject({
    code: 7,
    reason: 'IAM_PERMISSION_DENIED',
    errorInfoMetadata: { permission: 'artifactregistry.packages.delete' },
  });
});

test('services and revisions are listed page by page, and a service is deleted by an operation', async () => {
  const { cloud, platform } = google;
  const parent = `projects/${platform.project}/locations/${region}`;
  const template = { serviceAccount: platform.runAs.trusted, containers: [{ image: push(`site1@${digest('a')}`, []) }] };
  // They need not run.
  cloud.runner = { ...google.runner, onRevision: async () => undefined };
  for (let at = 0; at < 25; at += 1)
    await (await openRun(cloud).create(parent, `mayfly-${at}`, { labels: { 'mayfly-site': `s${at}` }, template })).ended;
  const services = new ServicesClient(rest());
  const [all] = await services.listServices({ parent });
  expect(all.length).toBe(25);
  expect(all[3]).toMatchObject({ labels: { 'mayfly-site': 's3' }, terminalCondition: { type: 'Ready', state: 'CONDITION_SUCCEEDED' } });
  const [revisions] = await new RevisionsClient(rest()).listRevisions({ parent: `${parent}/services/mayfly-3` });
  expect(revisions).toMatchObject([{ service: 'mayfly-3', containers: template.containers }]);
  const [removal] = await services.deleteService({ name: `${parent}/services/mayfly-3` });
  await removal.promise();
  await expect(services.getService({ name: `${parent}/services/mayfly-3` })).rejects.toMatchObject({ code: 5 });
});

test('what no stand-in knows is noted: a way, a question, a field, one that is missing', async () => {
  const headers = { authorization: `Bearer ${google.tokens.access(google.platform.gate).token}` };
  const ask = async (method: string, path: string, body?: object) =>
    (await fetch(new URL(path, google.endpoint), { method, headers, ...(body ? { body: JSON.stringify(body) } : {}) })).status;
  const parent = `projects/${google.platform.project}/locations/${region}`;
  expect(await ask('GET', '/v3/anything')).toBe(400);
  expect(await ask('GET', '/storage/v1/b/x/o?wish=1')).toBe(400);
  expect(await ask('POST', '/v2/entries:list', { resourceNames: [`projects/${google.platform.project}`], sort: 'up' })).toBe(400);
  expect(await ask('POST', '/v2/entries:list', {})).toBe(400);
  expect(await ask('PATCH', `/v2/${parent}/services/x`, {})).toBe(400);
  expect(google.cloud.unknown.splice(0)).toEqual([
    'GET /v3/anything',
    'GET /storage/v1/b/x/o with the query wish',
    'google.logging.v2.LoggingServiceV2.ListLogEntries: google.logging.v2.ListLogEntriesRequest has no field sort',
    'google.logging.v2.LoggingServiceV2.ListLogEntries: resourceNames is required',
    'google.cloud.run.v2.Services.UpdateService',
  ]);
});
