import { ulid } from 'ulid';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { gcpLabels, gcpServiceName } from '../../infra/labels.ts';
import type { Artefact, DeployOrder } from '../../src/site/ports.ts';
import { Fault, sentence } from '../../src/site/problem.ts';
import { answering, nextRevision, watching } from '../contract/target.ts';
import { type GcpWorld, openGcpWorld, REGION } from '../target/gcp.ts';
import { hold, until } from '../target/local.ts';

let w: GcpWorld;
beforeAll(async () => {
  // Google's provider waits for six minutes: here for less than half of one.
  w = await openGcpWorld({ patienceMs: 60 });
});
afterAll(() => w[Symbol.asyncDispose]());

/** An order that is good in itself. */
const good = async (text = 'good', part: Partial<DeployOrder> = {}): Promise<DeployOrder> =>
  w.order({ artefact: await w.artefact({ 'server.js': answering(text) }), ...part });

const deploy = async (order: DeployOrder, said: string[] = []): Promise<string> =>
  w.visit(await w.target.deploy(hold(), order, watching({ log: (chunk) => said.push(chunk) })));

/** What people read of the failure, and what is left of the site. */
async function failing(order: DeployOrder, said: string[] = []): Promise<string> {
  const error: unknown = await deploy(order, said).catch((thrown: unknown) => thrown);
  if (!(error instanceof Fault)) throw new Error(`not a fault: ${String(error)}`, { cause: error });
  return sentence(error.code, error.details).replace(gcpServiceName({ instance: w.instance, site: order.site }), 'NAME');
}

const parent = (region = REGION): string => `projects/${w.google.cloud.project}/locations/${region}`;
const nameOf = ({ site }: DeployOrder): string => `${parent()}/services/${gcpServiceName({ instance: w.instance, site })}`;

/** Makes the site's service behind the engine's back. */
async function makeService({ site }: DeployOrder, image: Artefact, instance = w.instance): Promise<void> {
  const labels = gcpLabels({ instance, site });
  const template = {
    labels,
    serviceAccount: w.google.platform.runAs.trusted,
    containers: [{ image: 'image' in image ? image.image : '' }],
  };
  const { ended } = await w.google.run.create(parent(), gcpServiceName({ instance, site }), { labels, template });
  await ended;
}

test('the app never listens: said so, with the end of what it has said; nothing of it is left', async () => {
  const said: string[] = [];
  const order = w.order({ artefact: await w.artefact({ 'server.js': 'console.log("thinking"); setInterval(() => {}, 1000)' }) });
  expect(await failing(order, said)).toMatchInlineSnapshot(
    `"The app did not answer \`/\` on port 3000 with 2xx or 3xx within 2 minutes. Let it listen on the port in \`PORT\`, or set \`port\` and \`health\` in \`.mayfly.yml\`."`,
  );
  expect(said.join('')).toContain('thinking');
  expect(await w.found(order)).toEqual([]);
});

test('the app ends at once: its exit code is told, and what was live stays', async () => {
  const order = await good('live');
  await deploy(order);
  const artefact = await w.artefact({ 'server.js': 'console.error("no table carts"); process.exit(7)' });
  const said: string[] = [];
  expect(await failing(nextRevision(order, { artefact }), said)).toMatchInlineSnapshot(
    `"The app exited with code 7 before it answered. The log says why; mend it and push."`,
  );
  expect(said.join('')).toContain('no table carts');
  expect(await w.visit({ kind: 'remote', region: REGION, origin: w.google.cloud.services.get(nameOf(order))?.uri ?? '' })).toBe('live');
});

test('409 after a create that failed: what it left is removed, and the site put up', async () => {
  const artefact = await w.artefact({ 'server.js': 'process.exit(1)' });
  const order = await good('after');
  await makeService(order, artefact);
  expect(await deploy(order)).toBe('after');
});

test('409 because the state was lost, and the push is broken: what is live stays, and the next one goes on from it', async () => {
  const order = await good('live');
  const served = await w.target.deploy(hold(), order, watching());
  const { uid, createTime } = { ...w.google.cloud.services.get(nameOf(order)) };
  await w.onState(order, 'delete from pulumi_state');
  const artefact = await w.artefact({ 'server.js': 'process.exit(7)' });
  expect(await failing(nextRevision(order, { artefact }))).toContain('The app exited with code 7');
  expect(await w.visit(served)).toBe('live');
  expect(await deploy(nextRevision(order, { artefact: await w.artefact({ 'server.js': answering('mended') }) }))).toBe('mended');
  expect(w.google.cloud.services.get(nameOf(order))).toMatchObject({ uid, createTime });
});

test('409 after a create whose answer was lost: what it left is removed, and the site put up', async () => {
  const order = await good('twice');
  w.google.cloud.faults.next('run.services.create', { kind: 'lose' });
  expect(await deploy(order)).toBe('twice');
});

test.each([
  ['another Mayfly', () => ({ instance: 'another' })],
  ['another site', () => ({ site: ulid() })],
])('409 because %s has the name: it is left alone', async (_, whose) => {
  const order = await good();
  const { site } = order;
  const labels = gcpLabels({ instance: w.instance, site, ...whose() });
  const { image } = await w.artefact({ 'server.js': answering('theirs') });
  const template = { labels, serviceAccount: w.google.platform.runAs.trusted, containers: [{ image }] };
  await (await w.google.run.create(parent(), gcpServiceName({ instance: w.instance, site }), { labels, template })).ended;
  const { uid } = { ...w.google.cloud.services.get(nameOf(order)) };
  expect(await failing(order)).toMatchInlineSnapshot(
    `"The name of this site is taken on Google Cloud: \`projects/mayfly-test/locations/europe-west1/services/NAME\` does not wear its labels, so Mayfly left it alone. Once the operator has found out whose it is and removed it, \`/preview deploy\` tries again."`,
  );
  await w.target.destroy(hold(), site, watching());
  expect(w.google.cloud.services.get(nameOf(order))).toMatchObject({ uid, labels });
});

test('409 right after a delete: its end is waited for', async () => {
  const order = await good('again');
  await makeService(order, await w.artefact({ 'server.js': answering('old') }));
  const before = w.google.cloud.runner;
  const { promise: gone, resolve: go } = Promise.withResolvers<void>();
  w.google.cloud.runner = { ...before, onDelete: (service) => gone.then(() => before.onDelete(service)) };
  await w.google.run.remove(nameOf(order));
  const deploying = deploy(order);
  const meets = ({ verb, inputs }: (typeof w.provider.calls)[number]): boolean =>
    verb === 'create' && nameOf(order).endsWith(String(inputs.name));
  await until('the deploy to meet it', () => w.provider.calls.some(meets));
  go();
  expect(await deploying).toBe('again');
  w.google.cloud.runner = before;
});

test('a quota that is used up is told, once it was asked for again in vain', async () => {
  const { quotas } = w.google.cloud;
  const before = quotas.servicesPerRegion;
  quotas.servicesPerRegion = 0;
  const order = await good();
  expect(await failing(order)).toMatchInlineSnapshot(
    `"Google Cloud does not let Mayfly create or change a site in eu-belgium now, since a quota of the project is used up. \`/preview deploy\` tries again; another \`region\` may have room."`,
  );
  quotas.servicesPerRegion = before;
  expect(await deploy(nextRevision(order, { live: null }))).toBe('good');
});

test('a rate that was exceeded for a moment is waited for', async () => {
  w.google.cloud.faults.next('run.services.create', { kind: 'refuse', status: 'RESOURCE_EXHAUSTED' }, 2);
  expect(await deploy(await good('patient'))).toBe('patient');
});

test('a permission that is missing: the role and the command that grants it', async () => {
  using _withheld = w.google.cloud.faults.withhold('run.services.create');
  expect(await failing(await good())).toMatchInlineSnapshot(
    `"Google Cloud does not let Mayfly create or change a site: its identity lacks the role \`projects/mayfly-test/roles/mayfly.sites\`. Once the operator has granted it with \`gcloud projects add-iam-policy-binding mayfly-test --member=serviceAccount:mayfly-gate@mayfly-test.iam.gserviceaccount.com --role=projects/mayfly-test/roles/mayfly.sites\`, \`/preview deploy\` tries again."`,
  );
});

test('Mayfly may not run sites as their account', async () => {
  using _withheld = w.google.cloud.faults.withhold('iam.serviceaccounts.actAs');
  expect(await failing(await good())).toMatchInlineSnapshot(
    `"Google Cloud does not let Mayfly start sites as mayfly-run-trusted@mayfly-test.iam.gserviceaccount.com: its identity lacks the role \`roles/iam.serviceAccountUser\`. Once the operator has granted it with \`gcloud iam service-accounts add-iam-policy-binding mayfly-run-trusted@mayfly-test.iam.gserviceaccount.com --project=mayfly-test --member=serviceAccount:mayfly-gate@mayfly-test.iam.gserviceaccount.com --role=roles/iam.serviceAccountUser\`, \`/preview deploy\` tries again."`,
  );
});

test('the image is gone', async () => {
  const artefact = await w.artefact({ 'server.js': answering('gone') });
  w.google.cloud.images.delete(artefact.image);
  const order = w.order({ artefact });
  expect(await failing(order)).toMatchInlineSnapshot(
    `"The image of this commit is no longer in eu-belgium, so it could not be started. \`/preview deploy\` builds it again."`,
  );
  expect(await w.found(order)).toEqual([]);
});

test('an operation that never ends: given up, and cleaned away', async () => {
  w.google.cloud.faults.next('run.services.create', { kind: 'hang' });
  const order = await good('late');
  expect(await failing(order)).toMatchInlineSnapshot(
    `"Google Cloud did not start the site within 6 minutes, so Mayfly gave up on it. \`/preview deploy\` tries again."`,
  );
  expect(await w.found(order)).toEqual([]);
  expect(await deploy(nextRevision(order, { live: null }))).toBe('late');
});

test('the region is down', async () => {
  const order = await good('back');
  {
    using _down = w.google.cloud.faults.regionDown(REGION);
    expect(await failing(order)).toMatchInlineSnapshot(
      `"Google Cloud could not be reached in eu-belgium (The service is currently unavailable). \`/preview deploy\` tries again; another \`region\` may be well."`,
    );
  }
  expect(await deploy(nextRevision(order, { live: null }))).toBe('back');
});

test('credentials that ended', async () => {
  w.google.cloud.faults.next('run.services.create', {
    kind: 'refuse',
    status: 'UNAUTHENTICATED',
    message: 'Request had invalid authentication credentials.',
  });
  expect(await failing(await good())).toMatchInlineSnapshot(
    `"Google Cloud does not accept Mayfly’s credentials (Request had invalid authentication credentials). Once the operator has renewed them, \`/preview deploy\` tries again."`,
  );
});

test('a service that was removed by hand is made again, and a half-removed stack is removed', async () => {
  const order = await good('one');
  await deploy(order);
  await (await w.google.run.remove(nameOf(order))).ended;
  const next = nextRevision(order, { artefact: await w.artefact({ 'server.js': answering('two') }) });
  expect(await deploy(next)).toBe('two');
  await (await w.google.run.remove(nameOf(order))).ended;
  await w.target.destroy(hold(), order.site, watching());
  expect(await w.found(order)).toEqual([]);
});
