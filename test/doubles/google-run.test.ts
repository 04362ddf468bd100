import { describe, expect, test } from 'vitest';
import { type GoogleCloud, openGoogleCloud } from './google/cloud.ts';
import type { Kind, Properties } from './google/kind.ts';
import { runKinds } from './google/kinds-run.ts';
import { whatIsWrong } from './google/run-rules.ts';
import type { ServiceWish } from './google/run-types.ts';

const ACCOUNT = 'site@mayfly-test.iam.gserviceaccount.com';
const IMAGE = 'europe-west1-docker.pkg.dev/mayfly-test/previews/site@sha256:00';
const CONTAINER = { image: IMAGE, ports: { containerPort: 3000 } };
const SERVICE = {
  name: 'a-site',
  location: 'europe-west1',
  project: 'mayfly-test',
  deletionProtection: false,
  template: { serviceAccount: ACCOUNT, containers: [CONTAINER] },
};
const SOON = { seconds: 1, ms: 1000, pauseMs: 1 };

function open(): { readonly cloud: GoogleCloud; readonly service: Kind; readonly member: Kind } {
  const cloud = openGoogleCloud({ accounts: [ACCOUNT] });
  const image = { folder: '/', cwd: '.', command: 'node server.js', env: {}, detected: 'a test', tags: new Set<string>() };
  cloud.images.set(IMAGE, { ...image, uploadedAt: cloud.now() });
  const { 'gcp:cloudrunv2/service:Service': service, 'gcp:cloudrunv2/serviceIamMember:ServiceIamMember': member } = runKinds(cloud);
  if (!service || !member) throw new Error('there are no such kinds');
  return { cloud, service, member };
}

describe('the inputs of a service', () => {
  const { service } = open();
  const wrong = (part: Properties): readonly string[] =>
    service.check({ ...SERVICE, ...part }).map(({ path, reason }) => `${path}: ${reason}`);
  const container = (part: Properties): Properties => ({ template: { containers: [{ ...CONTAINER, ...part }] } });

  test.each<readonly [string, Properties, readonly string[]]>([
    ['what is right', {}, []],
    ['no such field', { colour: 'red' }, ['colour: google.cloud.run.v2.Service has no field colour']],
    [
      'no such field, deeper',
      container({ colour: 'red' }),
      ['template.containers[0].colour: google.cloud.run.v2.Container has no field colour'],
    ],
    [
      'the name that only the API knows',
      container({ env: [{ name: 'A', value: 'b' }] }),
      ['template.containers[0].env: has another name with Pulumi'],
    ],
    [
      'a wrong type',
      container({ ports: { containerPort: 'http' } }),
      ['template.containers[0].ports[0].containerPort: template.containers[0].ports[0].containerPort must be a int32'],
    ],
    [
      'no such value',
      { ingress: 'EVERYBODY' },
      [
        'ingress: ingress must be one of INGRESS_TRAFFIC_UNSPECIFIED, INGRESS_TRAFFIC_ALL, INGRESS_TRAFFIC_INTERNAL_ONLY, INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER, INGRESS_TRAFFIC_NONE',
      ],
    ],
    ['no image', { template: { containers: [{}] } }, ['template.containers[0].image: template.containers[0].image is required']],
    ['what only Google says', { uri: 'https://mine.run.app' }, ['uri: is output only']],
    [
      'two probes in one',
      container({ startupProbe: { httpGet: { path: '/' }, tcpSocket: { port: 1 } } }),
      ['template.containers[0].startupProbe: only one of httpGet, tcpSocket may be said'],
    ],
    ['no template', { template: 7 }, ['template: template must be an object']],
    [
      'a time that is none',
      { template: { ...SERVICE.template, timeout: '5m' } },
      ['template.timeout: template.timeout must be a google.protobuf.Duration'],
    ],
  ])('%s', (_, part, problems) => {
    expect(wrong(part)).toEqual(problems);
  });

  test('what has no project and no name', () => {
    const { name: _, project: __, ...rest } = SERVICE;
    expect(service.check(rest).map(({ path }) => path)).toEqual(['name', 'project']);
  });
});

describe('what Cloud Run refuses', () => {
  const wish = (part: Partial<ServiceWish['template']>, container: object = {}): ServiceWish => ({
    template: { containers: [{ image: IMAGE, ...container }], ...part },
  });
  const limits = (cpu: string, memory: string): object => ({ resources: { limits: { cpu, memory } } });
  const SECOND = { executionEnvironment: 'EXECUTION_ENVIRONMENT_GEN2' };

  test.each<readonly [string, string, ServiceWish]>([
    ['a name of 50', 'a'.repeat(50), wish({})],
    ['a name of capitals', 'A-site', wish({})],
    ['46 characters with a tag', 'a'.repeat(44), { ...wish({}), traffic: [{ tag: 'now' }] }],
    ['a label of capitals', 'a', { ...wish({}), labels: { site: '01K0' } }],
    ['a label of Google’s', 'a', { ...wish({}), labels: { 'run.googleapis.com/x': 'y' } }],
    ['PORT', 'a', wish({}, { env: [{ name: 'PORT', value: '1' }] })],
    [
      'a variable twice',
      'a',
      wish(
        {},
        {
          env: [
            { name: 'A', value: '1' },
            { name: 'A', value: '2' },
          ],
        },
      ),
    ],
    ['three processors', 'a', wish({}, limits('3', '2Gi'))],
    ['too little memory for the second generation', 'a', wish(SECOND, limits('1', '256Mi'))],
    ['half a processor in the second generation', 'a', wish(SECOND, limits('500m', '512Mi'))],
    ['8 GiB on one processor', 'a', wish({}, limits('1', '8Gi'))],
    ['four processors with 1 GiB', 'a', wish({}, limits('4', '1Gi'))],
    ['more at least than at most', 'a', wish({ scaling: { minInstanceCount: 3, maxInstanceCount: 2 } })],
    ['two hours for a request', 'a', wish({ timeout: '7200s' })],
    ['five minutes to start', 'a', wish({}, { startupProbe: { periodSeconds: 10, failureThreshold: 30, httpGet: { path: '/' } } })],
    ['longer than its period', 'a', wish({}, { startupProbe: { periodSeconds: 1, timeoutSeconds: 2, httpGet: { path: '/' } } })],
    ['no probe at all in a probe', 'a', wish({}, { livenessProbe: { periodSeconds: 10 } })],
    ['a network without a network', 'a', wish({ vpcAccess: { networkInterfaces: [{}] } })],
    ['nobody who listens', 'a', { template: { containers: [] } }],
  ])('%s', (_, name, service) => {
    expect(whatIsWrong(name, service)).toHaveLength(1);
  });

  test.each<readonly [string, ServiceWish]>([
    ['what is left out', wish({})],
    ['1 and 512Mi', wish(SECOND, limits('1', '512Mi'))],
    ['1000m and 4Gi', wish(SECOND, limits('1000m', '4Gi'))],
    ['8 and 32Gi', wish(SECOND, limits('8', '32Gi'))],
  ])('and not: %s', (_, service) => {
    expect(whatIsWrong('a'.repeat(49), service)).toEqual([]);
  });
});

test('what is protected is not deleted, and what nobody said is protected', async () => {
  const { cloud, service } = open();
  const { deletionProtection: _, ...unsaid } = SERVICE;
  const { id, state } = await service.create(unsaid, SOON);
  const kept = JSON.parse(JSON.stringify(state));
  await expect(service.remove(id, kept, SOON)).rejects.toThrow('cannot destroy service without setting deletion_protection=false');
  await service.remove(id, JSON.parse(JSON.stringify(await service.update(id, SERVICE, SOON))), SOON);
  expect(cloud.services.size).toBe(0);
});

test('every change has a generation and an etag of its own; only another template is another revision', async () => {
  const { cloud, service } = open();
  const first = await service.create(SERVICE, SOON);
  const same = await service.update(first.id, { ...SERVICE, labels: { seen: 'yes' } }, SOON);
  const other = await service.update(first.id, { ...SERVICE, template: { ...SERVICE.template, timeout: '60s' } }, SOON);
  expect([first.state, same, other].map(({ generation }) => generation)).toEqual(['1', '2', '3']);
  expect(new Set([first.state, same, other].map(({ etag }) => etag)).size).toBe(3);
  expect(new Set([first.state, same, other].map(({ uid }) => uid)).size).toBe(1);
  expect(same).toMatchObject({ labels: { seen: 'yes' }, effectiveLabels: { seen: 'yes', 'goog-pulumi-provisioned': 'true' } });
  expect(same.latestReadyRevision).toBe(first.state.latestReadyRevision);
  expect([...cloud.revisions.keys()]).toEqual([
    expect.stringMatching(/\/services\/a-site\/revisions\/a-site-00001-[a-z]{3}$/),
    expect.stringMatching(/\/services\/a-site\/revisions\/a-site-00002-[a-z]{3}$/),
  ]);
});

test('a grant is one among others, and somebody who is not there gets none', async () => {
  const { cloud, service, member } = open();
  const { id } = await service.create(SERVICE, SOON);
  const grant = { name: 'a-site', location: 'europe-west1', project: 'mayfly-test', role: 'roles/run.invoker' };
  await member.create({ ...grant, member: 'allUsers' }, SOON);
  const ours = await member.create({ ...grant, member: `serviceAccount:${ACCOUNT}` }, SOON);
  expect(ours.id).toBe(`${id}/roles/run.invoker/serviceAccount:${ACCOUNT}`);
  expect(cloud.policies.get(id)?.bindings).toEqual([{ role: 'roles/run.invoker', members: ['allUsers', `serviceAccount:${ACCOUNT}`] }]);
  await member.remove(ours.id, JSON.parse(JSON.stringify(ours.state)), SOON);
  expect(cloud.policies.get(id)?.bindings).toEqual([{ role: 'roles/run.invoker', members: ['allUsers'] }]);
  await expect(member.create({ ...grant, member: 'serviceAccount:nobody@x.iam.gserviceaccount.com' }, SOON)).rejects.toThrow(
    'googleapi: Error 400: Service account nobody@x.iam.gserviceaccount.com does not exist.',
  );
  expect(member.check({ ...grant, role: 'invoker', member: 'everybody' }).map(({ path }) => path)).toEqual(['role', 'member']);
});
