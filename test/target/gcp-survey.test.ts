import { ulid } from 'ulid';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { gcpLabels, gcpServiceName } from '../../infra/labels.ts';
import { packageName } from '../../src/provision/targets/gcp/names.ts';
import { toSiteId } from '../../src/site/identity.ts';
import type { DeployOrder, Found } from '../../src/site/ports.ts';
import { answering, nextRevision, watching } from '../contract/target.ts';
import { type GcpWorld, openGcpWorld, REGION } from './gcp.ts';
import { hold } from './local.ts';

const OTHER = 'europe-west3';
let w: GcpWorld;
beforeAll(async () => {
  w = await openGcpWorld({ regions: [REGION, OTHER], patienceMs: 60 });
});
afterAll(() => w[Symbol.asyncDispose]());

const site = () => toSiteId(ulid());
const labelsOf = (instance: string, of: string) => ({ instance, site: of });

/** An image in the site's own package, as builds put it there. */
const artefactOf = async (of: string, text: string, region = REGION) => {
  const push = {
    files: { 'server.js': answering(text) },
    command: 'node server.js',
    package: packageName(labelsOf(w.instance, of)),
    region,
  };
  const image = await w.google.push(push);
  return { key: image, image, detected: 'a test' };
};

async function makeService(instance: string, of: string, region = REGION): Promise<void> {
  const labels = gcpLabels({ instance, site: of });
  const image = await w.google.push({ files: { 'server.js': answering('old') }, command: 'node server.js', region });
  const template = { labels, serviceAccount: w.google.platform.runAs.trusted, containers: [{ image }] };
  const parent = `projects/${w.google.cloud.project}/locations/${region}`;
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

test('a region that is down hides nothing of the others', async () => {
  using _down = w.google.cloud.faults.regionDown(OTHER);
  await expect(w.stocks[OTHER]?.survey()).rejects.toThrow('google-unreachable');
  await w.stocks[REGION]?.survey();
});
