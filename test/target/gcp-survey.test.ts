import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ulid } from 'ulid';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { gcpLabels, gcpServiceName } from '../../infra/labels.ts';
import { openGoogle } from '../../src/provision/targets/gcp/google.ts';
import { packageName } from '../../src/provision/targets/gcp/names.ts';
import { locationOf, siteTags } from '../../src/provision/targets/gcp/steps.ts';
import { type SiteId, toSiteId } from '../../src/site/identity.ts';
import type { DeployOrder, Found } from '../../src/site/ports.ts';
import { Fault } from '../../src/site/problem.ts';
import { answering, nextRevision, watching } from '../contract/target.ts';
import { askOn } from '../postgres.ts';
import { type GcpWorld, openGcpWorld, REGION, visiting } from './gcp.ts';
import { hold, until } from './local.ts';

const OTHER = 'europe-west3';
let w: GcpWorld;
beforeAll(async () => {
  w = await openGcpWorld({ regions: [REGION, OTHER], patienceMs: 60 });
});
afterAll(() => w[Symbol.asyncDispose]());

const site = () => toSiteId(ulid());
const labelsOf = (instance: string, of: string) => ({ instance, site: of });

/** An image in the site's own package, as builds put it there. */
const artefactOf = async (of: string, text: string, region = REGION, { instance, google }: Pick<GcpWorld, 'instance' | 'google'> = w) => {
  const push = {
    files: { 'server.js': answering(text) },
    command: 'node server.js',
    package: packageName(labelsOf(instance, of)),
    region,
  };
  const image = await google.push(push);
  return { key: image, image, detected: 'a test' };
};

async function makeService(instance: string, of: string, app = answering('old')): Promise<void> {
  const labels = gcpLabels({ instance, site: of });
  const image = await w.google.push({ files: { 'server.js': app }, command: 'node server.js' });
  const template = { labels, serviceAccount: w.google.platform.runAs.trusted, containers: [{ image }] };
  const parent = `projects/${w.google.cloud.project}/locations/${REGION}`;
  await (await w.google.run.create(parent, gcpServiceName({ instance, site: of }), { labels, template })).ended;
}

function putArchive(instance: string, of: string): void {
  const bucket = w.google.cloud.buckets.get(w.google.platform.regions[REGION]?.bucket ?? '');
  const name = `sources/trusted/${packageName(labelsOf(instance, of))}/key.tar.gz`;
  const own = { bytes: Buffer.from('x'), contentType: 'application/gzip', generation: 1n, metadata: {}, updatedAt: w.google.cloud.now() };
  bucket?.objects.set(name, own);
}

const kindsOf = (found: readonly Found[], { site: of }: Pick<DeployOrder, 'site'>): readonly string[] =>
  found.flatMap((it) => (it.site === of ? [it.kind] : [])).sort();

/** The address of its database, as its app has it. */
function databaseOf({ site: of, region }: DeployOrder): string {
  const { project, services } = w.google.cloud;
  const service = services.get(`projects/${project}/locations/${region}/services/${gcpServiceName(labelsOf(w.instance, of))}`);
  return service?.template.containers[0]?.env?.find(({ name }) => name === 'DATABASE_URL')?.value ?? '';
}

test('what the state does not know is found by its label and removed; another Mayfly’s stays', async () => {
  const ours = { site: site() };
  const theirs = { site: site() };
  for (const [instance, of] of [
    [w.instance, ours.site],
    ['another', theirs.site],
  ] as const) {
    await makeService(instance, of);
    const push = { files: { 'server.js': instance }, command: 'node server.js', package: packageName(labelsOf(instance, of)) };
    await w.google.push(push);
    putArchive(instance, of);
  }
  const before = await w.target.survey();
  expect([kindsOf(before, ours), kindsOf(before, theirs)]).toEqual([['image', 'service', 'source'], []]);
  await w.target.destroy(hold(), ours.site, watching());
  await w.target.destroy(hold(), theirs.site, watching());
  expect(kindsOf(await w.target.survey(), ours)).toEqual([]);
  expect([...w.google.cloud.services.values()].map(({ labels }) => labels?.['mayfly-instance'])).toEqual(['another']);
  expect([...w.google.cloud.images.keys()].filter((name) => name.includes(packageName(labelsOf('another', theirs.site))))).toHaveLength(1);
});

/** Begins a build that pushes into the site's own package at its end. */
async function beginBuild(of: SiteId): Promise<void> {
  const { project, buildAs, regions } = w.google.platform;
  const { bucket = '', images } = regions[REGION] ?? {};
  const folder = await mkdtemp(join(tmpdir(), 'mayfly-source-'));
  await writeFile(join(folder, 'Dockerfile'), 'FROM node:24-slim\nCMD ["node"]\n');
  const bytes = execFileSync('tar', ['--create', '--gzip', `--directory=${folder}`, '.']);
  await rm(folder, { recursive: true });
  const source = { bytes, contentType: 'application/gzip', generation: 1n, metadata: {}, updatedAt: w.google.cloud.now() };
  w.google.cloud.buckets.get(bucket)?.objects.set('late.tar.gz', source);
  const tag = `${REGION}-docker.pkg.dev/${project}/${images?.trusted}/${packageName(labelsOf(w.instance, of))}:late`;
  const build = {
    source: { storageSource: { bucket, object: 'late.tar.gz', generation: '1' } },
    steps: [{ id: 'image', name: 'gcr.io/cloud-builders/docker', args: ['buildx', 'build', `--tag=${tag}`, '--push', '.'] }],
    serviceAccount: `projects/${project}/serviceAccounts/${buildAs.trusted}`,
    options: { logging: 'CLOUD_LOGGING_ONLY' as const },
    tags: [...siteTags({ instance: w.instance, site: of })],
    timeout: { seconds: 60 },
  };
  await using google = openGoogle({ project, endpoint: w.google.endpoint });
  await (await google.builds()).createBuild({ parent: locationOf({ project }, REGION), build });
}

test('a build that still pushes when its site ends: what it pushed goes as well', async () => {
  const of = site();
  // Cancelling changes nothing, as where the build is at its push already.
  using _late = w.google.cloud.faults.withhold('cloudbuild.builds.update');
  await beginBuild(of);
  await w.target.destroy(hold(), of, watching());
  await until('the build to be over', () => [...w.google.cloud.builds.values()].every(({ status }) => status === 'SUCCESS'));
  expect(kindsOf(await w.target.survey(), { site: of })).toEqual([]);
});

test('older images and the database of another seed go once the new launch is settled', async () => {
  const of = site();
  const order = w.order({ site: of, artefact: await artefactOf(of, 'one'), database: await w.seed('create table a (b int)') });
  await w.target.deploy(hold(), order, watching());
  const next = nextRevision(order, { artefact: await artefactOf(of, 'two'), database: await w.seed('create table c (d int)') });
  const served = await w.target.deploy(hold(), next, watching());
  expect(await w.found(order)).toEqual(['database', 'database', 'image', 'service', 'stack']);
  await w.target.settle(hold(), of, next.revision);
  expect(await w.found(order)).toEqual(['database', 'image', 'service', 'stack']);
  expect([...w.google.cloud.images.keys()].filter((name) => name.includes(packageName(labelsOf(w.instance, of))))).toHaveLength(1);
  expect(await w.visit(served)).toBe('two');
  await w.target.destroy(hold(), of, watching());
  expect(await w.found(order)).toEqual([]);
});

test('a site that moves leaves nothing where it was', async () => {
  const of = site();
  const order = w.order({ site: of, artefact: await artefactOf(of, 'here'), database: await w.seed('create table a (b int)') });
  await w.target.deploy(hold(), order, watching());
  const next = nextRevision(order, { artefact: await artefactOf(of, 'there', OTHER), region: OTHER });
  const served = await w.target.deploy(hold(), next, watching());
  await w.target.settle(hold(), of, next.revision);
  expect(await w.visit(served)).toBe('there');
  const seen = Object.fromEntries(
    await Promise.all(Object.entries(w.stocks).map(async ([name, stock]) => [name, kindsOf(await stock.survey(), order)])),
  );
  // Both regions have the one server of the tests, of which the first tells.
  expect(seen).toEqual({ stacks: ['stack'], [REGION]: ['database'], [OTHER]: ['image', 'service'] });
  await w.target.destroy(hold(), of, watching());
  expect(await w.found(order)).toEqual([]);
});

test('an approval that was taken back while what stood in the way was removed: the site is not put up', async () => {
  const of = site();
  const order = w.order({ site: of, artefact: await artefactOf(of, 'from outside') });
  await makeService(w.instance, of, 'process.exit(1)');
  const mayGoOn = (): Promise<void> => Promise.reject(new Fault('approval-void'));
  await expect(w.target.deploy(hold(), { ...order, mayGoOn }, watching())).rejects.toThrow('approval-void');
  expect(await w.found(order)).toEqual(['image']);
  const served = await w.target.deploy(hold(), order, watching());
  expect(await w.visit(served)).toBe('from outside');
  await w.target.destroy(hold(), of, watching());
});

test('a region that is down hides nothing of the others', async () => {
  using _down = w.google.cloud.faults.regionDown(OTHER);
  await expect(w.stocks[OTHER]?.survey()).rejects.toThrow('google-unreachable');
  await w.stocks[REGION]?.survey();
});

test('a region that is down keeps no site elsewhere from its end; its own does', async () => {
  const of = site();
  const order = w.order({ site: of, artefact: await artefactOf(of, 'here') });
  await w.target.deploy(hold(), order, watching());
  const other = site();
  const there = w.order({ site: other, artefact: await artefactOf(other, 'there', OTHER), region: OTHER });
  await w.target.deploy(hold(), there, watching());
  {
    using _down = w.google.cloud.faults.regionDown(OTHER);
    await w.target.destroy(hold(), of, watching());
    await expect(w.target.destroy(hold(), other, watching())).rejects.toThrow('google-unreachable');
  }
  expect([await w.found(order), await w.found(there)]).toEqual([[], ['image', 'service']]);
  await w.target.destroy(hold(), other, watching());
  expect(await w.found(there)).toEqual([]);
});

test('a site moves out of a region that is down; what it had there is left until the region answers', async () => {
  const of = site();
  const order = w.order({ site: of, artefact: await artefactOf(of, 'here'), database: await w.seed('create table a (b int)') });
  const first = await w.target.deploy(hold(), order, watching());
  const next = nextRevision(order, { artefact: await artefactOf(of, 'there', OTHER), region: OTHER });
  {
    using _down = w.google.cloud.faults.regionDown(REGION);
    const served = await w.target.deploy(hold(), next, watching());
    expect(await w.visit(served)).toBe('there');
    await w.target.settle(hold(), of, next.revision);
    expect(await w.target.sleep(of, next.revision)).toBe(true);
  }
  expect(await w.visit(first)).toBe('here');
  await w.target.settle(hold(), of, next.revision);
  expect(kindsOf((await w.stocks[REGION]?.survey()) ?? [], order)).not.toContain('service');
  await w.target.destroy(hold(), of, watching());
  expect(await w.found(order)).toEqual([]);
});

test('a move that fails leaves nothing where it went, and what was live is still what is asked about', async () => {
  const of = site();
  const order = w.order({ site: of, artefact: await artefactOf(of, 'here'), database: await w.seed('create table a (b int)') });
  const first = await w.target.deploy(hold(), order, watching());
  await askOn(databaseOf(order), 'insert into a values (7)');
  const push = { files: { 'server.js': 'process.exit(3)' }, command: 'node server.js', region: OTHER };
  const image = await w.google.push({ ...push, package: packageName(labelsOf(w.instance, of)) });
  const next = nextRevision(order, { artefact: { key: image, image, detected: 'a test' }, region: OTHER });
  await expect(w.target.deploy(hold(), next, watching())).rejects.toThrow('start-failed');
  await w.target.settle(hold(), of, order.revision);
  expect(kindsOf((await w.stocks[OTHER]?.survey()) ?? [], order)).toEqual([]);
  using _down = w.google.cloud.faults.regionDown(OTHER);
  expect([await w.visit(first), await w.target.sleep(of, order.revision)]).toEqual(['here', true]);
  await w.target.appLog(of, 10);
  // It is launched again where it is, and neither a visitor nor its database notices that it was to go.
  const visitor = visiting(w, first);
  const again = nextRevision(order, { artefact: await artefactOf(of, 'again') });
  expect(await w.target.deploy(hold(), again, watching())).toEqual(first);
  await w.target.settle(hold(), of, again.revision);
  expect([await visitor.leave(), await askOn(databaseOf(order), 'select b from a')]).toEqual([new Set(['here', 'again']), [{ b: 7 }]]);
});

test('a move into a region that goes down in the middle of it: the site is launched again where it is', async () => {
  const of = site();
  const order = w.order({ site: of, artefact: await artefactOf(of, 'here') });
  const first = await w.target.deploy(hold(), order, watching());
  const next = nextRevision(order, { artefact: await artefactOf(of, 'there', OTHER), region: OTHER });
  {
    using down = new DisposableStack();
    const entered = (stage: string): void => void (stage === 'check' && down.use(w.google.cloud.faults.regionDown(OTHER)));
    await expect(w.target.deploy(hold(), next, watching({ entered }))).rejects.toThrow('google-unreachable');
    const again = nextRevision(order, { artefact: await artefactOf(of, 'again') });
    expect(await w.target.deploy(hold(), again, watching())).toEqual(first);
    expect(await w.visit(first)).toBe('again');
  }
  await w.target.destroy(hold(), of, watching());
  expect(await w.found(order)).toEqual([]);
});

test('a worker that died in the middle of a move, wherever to, leaves nothing: the next launch looks for it', async () => {
  const of = site();
  const order = w.order({ site: of, artefact: await artefactOf(of, 'here'), database: await w.seed('create table a (b int)') });
  await w.target.deploy(hold(), order, watching());
  const next = nextRevision(order, { artefact: await artefactOf(of, 'there', OTHER), region: OTHER });
  const served = await w.target.deploy(hold(), next, watching());
  // The row says so, and nothing is tidied up any more.
  const later = await w.laterTarget();
  const last = nextRevision(next, { artefact: await artefactOf(of, 'again', OTHER) });
  expect(await later.deploy(hold(), last, watching())).toEqual(served);
  await later.settle(hold(), of, last.revision);
  expect(kindsOf((await w.stocks[REGION]?.survey()) ?? [], order)).toEqual(['database']);
  expect(await w.visit(served)).toBe('again');
  await later.destroy(hold(), of, watching());
  expect(await w.found(order)).toEqual([]);
});

test('whoever has the site next finds what it rests on: nothing is removed once the lease is lost', async () => {
  const lease = { checksLeft: Number.POSITIVE_INFINITY };
  const check = async (): Promise<void> => {
    lease.checksLeft -= 1;
    if (lease.checksLeft < 0) throw new Fault('lease-lost');
  };
  await using one = await openGcpWorld({ check });
  const of = site();
  const order = one.order({ site: of, artefact: await artefactOf(of, 'here', REGION, one), database: { engine: 'postgres', seed: null } });
  await one.target.deploy(hold(), order, watching());
  lease.checksLeft = 1;
  await expect(one.target.destroy(hold(), of, watching())).rejects.toThrow('lease-lost');
  lease.checksLeft = Number.POSITIVE_INFINITY;
  expect(await one.found(order)).toEqual(['database', 'image', 'service']);
  await one.target.destroy(hold(), of, watching());
  expect(await one.found(order)).toEqual([]);
});

test('where Google does not tell of a removal’s end, it is looked for', async () => {
  const of = site();
  await makeService(w.instance, of);
  w.google.cloud.faults.next('longrunning.operations.get', { kind: 'refuse', status: 'UNAVAILABLE' });
  await w.target.destroy(hold(), of, watching());
  expect(await w.found(w.order({ site: of, artefact: await artefactOf(of, 'x', OTHER) }))).toEqual(['image']);
  await w.target.destroy(hold(), of, watching());
});

test('whoever has lost the lease has nothing built', async () => {
  await using one = await openGcpWorld({ check: () => Promise.reject(new Fault('lease-lost')) });
  const artefact = await one.artefact({ 'server.js': answering('never') });
  const asked: string[] = [];
  const build = async () => {
    asked.push('a build');
    return artefact;
  };
  await expect(one.target.deploy(hold(), one.order({ artefact, build }), watching())).rejects.toThrow('lease-lost');
  expect(asked).toEqual([]);
});

test('where builds may not be listed, everything else is found', async () => {
  const of = site();
  await makeService(w.instance, of);
  const message = 'The caller does not have permission';
  w.google.cloud.faults.next('cloudbuild.builds.list', { kind: 'refuse', status: 'PERMISSION_DENIED', message });
  const order = w.order({ site: of, artefact: await artefactOf(of, 'x') });
  expect(kindsOf((await w.stocks[REGION]?.survey()) ?? [], order)).toContain('service');
  await w.target.destroy(hold(), of, watching());
});
