import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openRun } from '../doubles/google/run.ts';
import { PROBE_FAILED, RevisionFailure } from '../doubles/google/run-types.ts';
import { engineSaid, type InfraWorld, openInfraWorld, PROJECT, REGION, RUN_AS } from '../infra/world.ts';

let w: InfraWorld;
beforeAll(async () => {
  // Six minutes of Google's provider are two seconds.
  w = await openInfraWorld({ secondMs: 2000 / 360 });
});
afterAll(() => w[Symbol.asyncDispose]());

const failing = (world: InfraWorld): Disposable =>
  world.onRevision(async () => {
    throw new RevisionFailure(PROBE_FAILED);
  });

describe('a first revision that never answers leaves its service behind', () => {
  test('out of the state: the next launch finds the name taken, until it is removed', async () => {
    const site = w.site();
    {
      using _failing = failing(w);
      const said = await engineSaid(w.up({ site }));
      expect(said).toContain('Error waiting to create Service: Error waiting for Creating Service: Error code 13, message: Revision');
      expect(said).toContain(PROBE_FAILED);
    }
    expect(w.serviceOf(site)).toMatchObject({ terminalCondition: { state: 'CONDITION_FAILED', reason: 'REVISION_FAILED' } });
    expect(await engineSaid(w.up({ site }))).toMatch(/Error creating Service: googleapi: Error 409: Resource 'mayfly-.*' already exists/);
    await (await openRun(w.cloud).remove(w.nameOf(site))).ended;
    await w.up({ site });
    expect(w.serviceOf(site)?.terminalCondition.state).toBe('CONDITION_SUCCEEDED');
  });

  test('in the state, with newer versions of Google’s provider: the next launch is its update', async () => {
    await using newer = await openInfraWorld({ failedCreates: 'in-state' });
    const site = newer.site();
    {
      using _failing = failing(newer);
      expect(await engineSaid(newer.up({ site }))).toContain(PROBE_FAILED);
    }
    const uid = newer.serviceOf(site)?.uid;
    await newer.up({ site });
    expect(newer.serviceOf(site)).toMatchObject({ uid, terminalCondition: { state: 'CONDITION_SUCCEEDED' } });
    expect(newer.cloud.policies.get(newer.nameOf(site))?.bindings).toHaveLength(1);
  });
});

test('the name is taken while its last service is still being deleted', async () => {
  const site = w.site();
  await w.up({ site });
  const { promise: frozen, resolve: thaw } = Promise.withResolvers<void>();
  const { promise: deleting, resolve: seen } = Promise.withResolvers<void>();
  using _slow = w.onDelete(() => {
    seen();
    return frozen;
  });
  const run = openRun(w.cloud);
  const { ended: gone } = await run.remove(w.nameOf(site));
  await deleting;
  const { labels = {}, template } = run.get(w.nameOf(site));
  const parent = `projects/${PROJECT}/locations/${REGION}`;
  const again = run.create(parent, w.nameOf(site).slice(parent.length + '/services/'.length), { labels, template });
  await expect(again).rejects.toMatchObject({ http: 409, status: 'ALREADY_EXISTS' });
  thaw();
  await gone;
  expect(w.serviceOf(site)).toBeUndefined();
});

test('an image that is gone is told by its name', async () => {
  const site = w.site();
  const image = w.push();
  w.cloud.images.delete(image);
  expect(await engineSaid(w.up({ site, image: async () => image }))).toContain(`Error code 5, message: Revision`);
  expect(w.serviceOf(site)?.terminalCondition.message).toContain(`Image '${image}' not found.`);
});

test('what is refused with 429 is tried again, and does not fail', async () => {
  const site = w.site();
  w.cloud.faults.next('run.services.create', { kind: 'refuse', status: 'RESOURCE_EXHAUSTED' }, 3);
  await w.up({ site });
  expect(w.serviceOf(site)?.terminalCondition.state).toBe('CONDITION_SUCCEEDED');
});

test('a region that is full, and one that is down, are told when patience is over', async () => {
  const site = w.site({ region: 'asia-east1' });
  w.cloud.quotas.servicesPerRegion = 0;
  expect(await engineSaid(w.up({ site }))).toContain('googleapi: Error 429: Quota exceeded for total allowable count of Services');
  w.cloud.quotas.servicesPerRegion = 1000;
  using _down = w.cloud.faults.regionDown('asia-east1');
  expect(await engineSaid(w.up({ site }))).toContain('googleapi: Error 503: The service is currently unavailable.');
});

test('a missing permission is told by its name', async () => {
  const site = w.site();
  {
    using _withheld = w.cloud.faults.withhold('run.services.create');
    expect(await engineSaid(w.up({ site }))).toContain("googleapi: Error 403: Permission 'run.services.create' denied on resource");
  }
  {
    using _withheld = w.cloud.faults.withhold('iam.serviceaccounts.actAs');
    expect(await engineSaid(w.up({ site }))).toContain(`Permission 'iam.serviceaccounts.actAs' denied on service account ${RUN_AS}`);
  }
  using _withheld = w.cloud.faults.withhold('run.services.setIamPolicy');
  expect(await engineSaid(w.up({ site }))).toContain("googleapi: Error 403: Permission 'run.services.setIamPolicy' denied on resource");
});

test('an operation that never ends is over after six minutes', async () => {
  const site = w.site();
  w.cloud.faults.next('run.services.create', { kind: 'hang' });
  expect(await engineSaid(w.up({ site }))).toContain(
    "timeout while waiting for state to become 'done: true' (last state: 'done: false', timeout: 6m0s)",
  );
});
