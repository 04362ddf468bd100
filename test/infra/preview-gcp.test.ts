import { afterAll, beforeAll, expect, test } from 'vitest';
import { gcpServiceName } from '../../infra/labels.ts';
import { openRun } from '../doubles/google/run.ts';
import { PROBE_FAILED, RevisionFailure } from '../doubles/google/run-types.ts';
import { engineSaid, GATE, type InfraWorld, openInfraWorld, PROJECT, REGION } from './world.ts';

let w: InfraWorld;
beforeAll(async () => {
  w = await openInfraWorld();
});
afterAll(() => w[Symbol.asyncDispose]());

const PUBLIC_SEED = { name: 'db/seed.sql', file: '/somewhere/seed.sql', sha256: 'a'.repeat(64) };

test('a site is a service that only the gate may call; its own values are not in the state', async () => {
  const site = w.site({ site: '01K0000000000000000000000A' });
  const image = w.push('an image');
  const service = { revision: '01K0000000000000000000000R', env: { GREETING: 'hello-from-env', PORT: '9', DATABASE_URL: 'theirs' } };
  await w.up({ site, image: async () => image, database: { seed: null }, service });
  expect(w.serviceOf(site)?.terminalCondition.state).toBe('CONDITION_SUCCEEDED');
  const [created] = w.provider.calls.filter(({ verb, type }) => verb === 'create' && type.endsWith(':Service'));
  expect(created?.inputs).toMatchInlineSnapshot(`
    {
      "deletionProtection": false,
      "ingress": "INGRESS_TRAFFIC_ALL",
      "invokerIamDisabled": false,
      "labels": {
        "mayfly-instance": "team-a",
        "mayfly-site": "01k0000000000000000000000a",
      },
      "location": "europe-west1",
      "name": "mayfly-96c2886c-8747a22fc82a",
      "project": "mayfly-test",
      "template": {
        "containers": [
          {
            "envs": [
              {
                "name": "DATABASE_URL",
                "value": "postgres://site:s3cr3t-of-the-site@10.0.0.3:5432/site",
              },
              {
                "name": "GREETING",
                "value": "hello-from-env",
              },
              {
                "name": "HOST",
                "value": "0.0.0.0",
              },
            ],
            "image": "europe-west1-docker.pkg.dev/mayfly-test/previews/site@sha256:a5df3fde7b200c3fa2791144c7e05c5c2bced4c6ad863d3a4cf76c972c1712f9",
            "livenessProbe": {
              "failureThreshold": 3,
              "httpGet": {
                "path": "/healthz",
                "port": 3000,
              },
              "initialDelaySeconds": 0,
              "periodSeconds": 60,
              "timeoutSeconds": 10,
            },
            "ports": {
              "containerPort": 3000,
            },
            "resources": {
              "cpuIdle": true,
              "limits": {
                "cpu": "1",
                "memory": "512Mi",
              },
              "startupCpuBoost": true,
            },
            "startupProbe": {
              "failureThreshold": 60,
              "httpGet": {
                "path": "/healthz",
                "port": 3000,
              },
              "initialDelaySeconds": 0,
              "periodSeconds": 2,
              "timeoutSeconds": 2,
            },
          },
        ],
        "executionEnvironment": "EXECUTION_ENVIRONMENT_GEN2",
        "labels": {
          "mayfly-instance": "team-a",
          "mayfly-revision": "01k0000000000000000000000r",
          "mayfly-site": "01k0000000000000000000000a",
        },
        "scaling": {
          "maxInstanceCount": 2,
          "minInstanceCount": 0,
        },
        "serviceAccount": "mayfly-site@mayfly-test.iam.gserviceaccount.com",
        "timeout": "300s",
        "vpcAccess": {
          "egress": "PRIVATE_RANGES_ONLY",
          "networkInterfaces": [
            {
              "network": "mayfly",
              "subnetwork": "mayfly-europe-west1",
            },
          ],
        },
      },
    }
  `);
  expect(w.cloud.policies.get(w.nameOf(site))?.bindings).toEqual([{ role: 'roles/run.invoker', members: [`serviceAccount:${GATE}`] }]);
  const state = await w.stateOf(site);
  expect([state?.includes('s3cr3t-of-the-site'), state?.includes('hello-from-env'), state?.includes(created?.urn ?? '')]).toEqual([
    false,
    false,
    true,
  ]);
  await w.forget(site);
  // The engine forgets it, and no more: it goes by its name, with all that its region has of the site.
  expect([w.cloud.services.has(w.nameOf(site)), w.cloud.policies.has(w.nameOf(site)), await w.stateOf(site)]).toEqual([
    true,
    true,
    undefined,
  ]);
});

test('destroy removes all that the program has made, whatever was removed by hand, and may be repeated', async () => {
  const [whole, half] = [w.site(), w.site()];
  for (const site of [whole, half]) await w.up({ site, database: { seed: null } });
  await (await openRun(w.cloud).remove(w.nameOf(half))).ended;
  for (const site of [whole, half]) {
    await w.destroy(site);
    expect([w.cloud.services.has(w.nameOf(site)), w.cloud.policies.has(w.nameOf(site)), await w.stateOf(site)]).toEqual([
      false,
      false,
      undefined,
    ]);
    expect(
      w.own
        .filter((it) => it.endsWith(site.site))
        .slice(-2)
        .sort(),
    ).toEqual([`no database of ${site.site}`, `no image of ${site.site}`]);
    await w.destroy(site);
  }
});

test('a destroy that was refused in the middle goes on where it ended', async () => {
  const site = w.site();
  await w.up({ site, database: { seed: null } });
  {
    using _withheld = w.cloud.faults.withhold('run.services.delete');
    expect(await engineSaid(w.destroy(site))).toContain("Permission 'run.services.delete' denied");
  }
  expect([w.cloud.services.has(w.nameOf(site)), (await w.stateOf(site))?.includes('cloudrunv2/service:Service')]).toEqual([true, true]);
  await w.destroy(site);
  expect([w.cloud.services.has(w.nameOf(site)), await w.stateOf(site)]).toEqual([false, undefined]);
});

test('the database is made while the image is built', async () => {
  const site = w.site();
  const { promise: made, resolve: databaseMade } = Promise.withResolvers<void>();
  await w.up({ site, database: { seed: PUBLIC_SEED }, databaseMade, image: () => made.then(() => w.push()) });
  expect(w.serviceOf(site)?.template.containers[0]?.env?.map(({ name }) => name)).toContain('DATABASE_URL');
});

test('a push is a revision of the same service; what fails leaves what was ready', async () => {
  const site = w.site();
  await w.up({ site });
  const { uid, latestReadyRevision: one } = { ...w.serviceOf(site) };
  {
    using _failing = w.onRevision(async () => {
      throw new RevisionFailure(PROBE_FAILED);
    });
    expect(await engineSaid(w.up({ site }))).toContain(`is not ready and cannot serve traffic. ${PROBE_FAILED}`);
  }
  expect(w.serviceOf(site)).toMatchObject({ latestReadyRevision: one, terminalCondition: { state: 'CONDITION_FAILED' } });
  await w.up({ site });
  expect(w.serviceOf(site)).toMatchObject({ uid, terminalCondition: { state: 'CONDITION_SUCCEEDED' } });
  expect(w.serviceOf(site)?.latestReadyRevision).not.toBe(one);
  expect(openRun(w.cloud).revisionsOf(w.nameOf(site))).toHaveLength(3);
});

test('a site that no longer wants its database keeps nothing of it', async () => {
  const site = w.site();
  await w.up({ site, database: { seed: null } });
  await w.up({ site });
  expect(w.serviceOf(site)?.template.vpcAccess).toBeUndefined();
  expect(w.serviceOf(site)?.template.containers[0]?.env?.map(({ name }) => name)).toEqual(['GREETING', 'HOST']);
});

test('two Mayflys in one project, with a site of the same id each, know nothing of each other', async () => {
  const ours = w.site();
  const theirs = w.site({ ...ours, instance: 'team-b' });
  await Promise.all([w.up({ site: ours }), w.up({ site: theirs })]);
  expect(gcpServiceName(ours)).not.toBe(gcpServiceName(theirs));
  expect(w.serviceOf(theirs)?.labels).toMatchObject({ 'mayfly-instance': 'team-b', 'mayfly-site': ours.site.toLowerCase() });
  await w.forget(ours);
  expect([await w.stateOf(ours), await w.stateOf(theirs), w.serviceOf(theirs)?.terminalCondition.state]).toEqual([
    undefined,
    expect.any(String),
    'CONDITION_SUCCEEDED',
  ]);
});

test('a site that moves is made in the other region before it goes from the first', async () => {
  const here = w.site();
  const there = { ...here, region: 'us-central1' };
  await w.up({ site: here });
  const during: unknown[] = [];
  {
    using _looking = w.onRevision(async () => void during.push(w.serviceOf(here)?.terminalCondition.state));
    await w.up({ site: there });
  }
  expect([during, w.serviceOf(here)]).toEqual([['CONDITION_SUCCEEDED'], undefined]);
  expect(w.serviceOf(there)?.name).toBe(`projects/${PROJECT}/locations/us-central1/services/${gcpServiceName(here)}`);
  await w.destroy(there);
  expect([w.serviceOf(there), await w.stateOf(there)]).toEqual([undefined, undefined]);
});

test('a site that was forgotten is made in another region, and stays in the first, which may be down', async () => {
  const here = w.site();
  const there = { ...here, region: 'us-central1' };
  await w.up({ site: here });
  const before = w.serviceOf(here);
  using _down = w.cloud.faults.regionDown(REGION);
  await w.forget(here);
  await w.up({ site: there });
  expect([w.serviceOf(here), w.serviceOf(there)?.terminalCondition.state]).toEqual([before, 'CONDITION_SUCCEEDED']);
});

test('refresh sees what was changed by hand; the next launch puts it back', async () => {
  const site = w.site();
  const service = { revision: '01K0000000000000000000000R' };
  await w.up({ site, service });
  const run = openRun(w.cloud);
  run.setPolicy(w.nameOf(site), []);
  const { uid, template, labels } = run.get(w.nameOf(site));
  const byHand = { labels: labels ?? {}, template: { ...template, scaling: { minInstanceCount: 1, maxInstanceCount: 90 } } };
  await (await run.update(w.nameOf(site), byHand)).ended;
  await w.refresh(site);
  await w.up({ site, service });
  expect(w.serviceOf(site)).toMatchObject({ uid, template: { scaling: { minInstanceCount: 0, maxInstanceCount: 2 } } });
  expect(w.cloud.policies.get(w.nameOf(site))?.bindings).toHaveLength(1);
});

test('a service that was removed by hand is refused until a refresh, then made anew with its grant', async () => {
  const site = w.site();
  await w.up({ site });
  await (await openRun(w.cloud).remove(w.nameOf(site))).ended;
  expect(await engineSaid(w.up({ site }))).toContain('googleapi: Error 404: Resource');
  await w.refresh(site);
  await w.up({ site });
  expect(w.serviceOf(site)?.terminalCondition.state).toBe('CONDITION_SUCCEEDED');
  expect(w.cloud.policies.get(w.nameOf(site))?.bindings).toHaveLength(1);
  await (await openRun(w.cloud).remove(w.nameOf(site))).ended;
  await w.forget(site);
  expect(await w.stateOf(site)).toBeUndefined();
});
