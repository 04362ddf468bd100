import { afterEach, beforeEach, expect, test } from 'vitest';
import { openCloudLogs } from '../../src/provision/targets/gcp/logs.ts';
import { judge } from '../../src/provision/targets/gcp/run-verdict.ts';
import type { SiteService, SiteServices } from '../../src/provision/targets/gcp/services.ts';
import { Fault, sentence } from '../../src/site/problem.ts';
import { watching } from '../contract/target.ts';
import { createGcpBuilder } from './gcp-builder.ts';

let b: Awaited<ReturnType<typeof createGcpBuilder>>;
beforeEach(async () => {
  b = await createGcpBuilder();
});
afterEach(() => b[Symbol.asyncDispose]());

/** The client library takes a while to load. */
const PATIENT = { timeout: 20_000 };
const never = new AbortController().signal;
const reads = () => b.seen.filter(({ path }) => path === '/v2/entries:list');

function prints(build: string, text: string, more: { readonly step?: string; readonly ageMs?: number } = {}): void {
  b.cloud.logs.append({
    logName: `projects/${b.cloud.project}/logs/cloudbuild`,
    resource: { type: 'build', labels: { build_id: build } },
    severity: 'INFO',
    labels: { build_step: more.step ?? 'Step #0' },
    textPayload: text,
    timestamp: new Date(Date.now() - (more.ageMs ?? 0)).toISOString(),
  });
}

function says(
  payload: { readonly textPayload: string } | { readonly jsonPayload: Record<string, unknown> },
  log = 'stdout',
  service = 'site-1',
): void {
  b.cloud.logs.append({
    logName: `projects/${b.cloud.project}/logs/run.googleapis.com%2F${log}`,
    resource: {
      type: 'cloud_run_revision',
      labels: { service_name: service, location: 'europe-west1', revision_name: `${service}-00001` },
    },
    severity: 'DEFAULT',
    labels: {},
    ...payload,
  });
}

test('all builds are followed with one call at a time, each hears its own lines once, late ones too', async () => {
  const heard: Record<string, string[]> = { one: [], two: [] };
  const follow = (build: 'one' | 'two') => b.logs.follow(build, (text) => void heard[build]?.push(text));
  using one = follow('one');
  using two = follow('two');
  prints('one', 'first');
  prints('other', 'not heard');
  prints('two', 'yours');
  await expect.poll(() => heard, PATIENT).toEqual({ one: ['first\n'], two: ['yours\n'] });
  prints('one', 'late', { ageMs: 10_000 });
  await expect.poll(() => heard.one, PATIENT).toEqual(['first\n', 'late\n']);
  prints('one', 'last');
  prints('one', 'DONE', { step: 'MAIN' });
  prints('two', 'ERROR', { step: 'MAIN' });
  await Promise.all([one.drained(never), two.drained(never)]);
  expect(heard).toEqual({ one: ['first\n', 'late\n', 'last\n', 'DONE\n'], two: ['yours\n', 'ERROR\n'] });
});

test('nobody is asked while nobody listens, and no more often for many builds than for one', async () => {
  await using logs = openCloudLogs({ google: b.google, log: () => undefined, gapMs: 0, lookMs: 40 });
  expect(reads()).toEqual([]);
  const followings = Array.from({ length: 20 }, (_, index) => logs.follow(`build-${index}`, () => undefined));
  await expect.poll(() => reads().length, PATIENT).toBeGreaterThan(3);
  for (const following of followings) following[Symbol.dispose]();
  const spacing = reads().map(({ at }, index, all) => at - (all[index - 1]?.at ?? at - 40));
  expect(Math.min(...spacing)).toBeGreaterThanOrEqual(30);
});

test('Google that says it is too often is asked less often, until it answers', async () => {
  b.cloud.faults.next('logging.logEntries.list', { kind: 'refuse', status: 'RESOURCE_EXHAUSTED', message: 'Quota exceeded' }, 3);
  says({ textPayload: 'here' });
  expect(await b.logs.appLog({ service: 'site-1', region: 'europe-west1', lines: 10, secrets: [] })).toBe('here');
  expect(reads().map(({ status }) => status)).toEqual([429, 429, 429, 200]);
});

test('an app’s log is its own last lines, masked and cleaned, with what Cloud Run says of its start', async () => {
  says({ textPayload: 'someone else' }, 'stdout', 'site-2');
  says({ textPayload: 'too old' });
  says({ textPayload: '\u001b[31mlistening\u001b[0m with hunter2-secret' });
  says({ jsonPayload: { message: 'structured', level: 'warn' } }, 'stderr');
  says({ jsonPayload: { a: [1, true, null, { b: 'c' }] } });
  says({ textPayload: 'Container called exit(1).' }, 'varlog%2Fsystem');
  says({ textPayload: 'GET /' }, 'requests');
  expect(await b.logs.appLog({ service: 'site-1', region: 'europe-west1', lines: 4, secrets: ['hunter2-secret'] })).toBe(
    ['listening with ***', 'structured', '{"a":[1,true,null,{"b":"c"}]}', 'Container called exit(1).'].join('\n'),
  );
  expect(await b.logs.appLog({ service: 'site-3', region: 'europe-west1', lines: 4, secrets: [] })).toBe('');
});

test('a log of more lines than one answer holds is read to its end', async () => {
  for (let line = 0; line < 2_300; line += 1) says({ textPayload: `line ${line}` });
  const lines = (await b.logs.appLog({ service: 'site-1', region: 'europe-west1', lines: 2_200, secrets: [] })).split('\n');
  expect([lines.length, lines[0], lines.at(-1)]).toEqual([2_200, 'line 100', 'line 2299']);
});

test('an app’s log that may not be read is told with the role; that the app did not answer is told without it', async () => {
  using _withheld = b.cloud.faults.withhold('logging.logEntries.list');
  const error: unknown = await b.logs
    .appLog({ service: 'site-1', region: 'europe-west1', lines: 10, secrets: [] })
    .catch((thrown: unknown) => thrown);
  const told = error instanceof Fault ? sentence(error.code, error.details) : String(error);
  expect(told).toBe(
    'Google Cloud does not let Mayfly read what a site has said: its identity lacks the role `roles/logging.viewer`. Once the operator has granted it with `gcloud projects add-iam-policy-binding mayfly-test --member=serviceAccount:mayfly-worker@mayfly-test.iam.gserviceaccount.com --role=roles/logging.viewer`, `/preview deploy` tries again.',
  );
  const service: SiteService = {
    name: 'projects/p/locations/europe-west1/services/site-1',
    region: 'europe-west1',
    site: null,
    revision: null,
    origin: '',
    isReady: false,
    wasReady: false,
    created: 'projects/p/locations/europe-west1/services/site-1/revisions/site-1-00001',
    isGoing: false,
    image: null,
    env: {},
    port: 3000,
    health: '/',
  };
  const services: SiteServices = {
    find: async () => service,
    findAnothers: async () => undefined,
    letsIn: async () => true,
    list: async () => [service],
    trouble: async () => ({ reason: 'HEALTH_CHECK_CONTAINER_ERROR', words: 'It did not listen.' }),
    remove: async () => undefined,
  };
  const said: string[] = [];
  const watch = watching({ signal: never, log: (text) => void said.push(text) });
  expect((await judge({ services, logs: b.logs, watch }, service))?.code).toBe('health-timeout');
  expect(said).toEqual([`${told}\n`]);
});
