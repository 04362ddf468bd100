import { afterEach, beforeEach, expect, test } from 'vitest';
import { Fault, sentence } from '../../src/site/problem.ts';
import { createGcpBuilder } from './gcp-builder.ts';

let b: Awaited<ReturnType<typeof createGcpBuilder>>;
const reopen = async (more: Parameters<typeof createGcpBuilder>[0] = {}) => {
  await b?.[Symbol.asyncDispose]();
  b = await createGcpBuilder(more);
};
beforeEach(async () => {
  b = await createGcpBuilder();
});
afterEach(() => b[Symbol.asyncDispose]());

const docker = { Dockerfile: 'FROM node', 'app.js': '' };
const vite = { 'package.json': '{"scripts":{"build":"vite build"},"dependencies":{"vite":"1"}}' };

/** The sentence that people read of what a build came to. */
async function told(building: Promise<unknown>): Promise<string> {
  const error = await building.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof Fault)) throw error ?? new Error('it did not fail');
  return `${error.code}: ${sentence(error.code, error.details)}`;
}

test('what the commit did wrong has the codes of builds on one machine', async () => {
  const ended = (id: string, lines: readonly string[] = []) => ({ status: 'FAILURE', failed: { id, exitCode: 1 }, lines });
  b.builds.next(ended('install', ['process "/bin/sh -c npm ci" did not complete successfully: exit code: 243']));
  expect(await told(b.build(vite))).toMatchInlineSnapshot(
    `"install-failed: \`npm install\` exited with 243. The log says why; mend it and push."`,
  );
  b.builds.next(ended('build'));
  expect(await told(b.build(vite))).toMatchInlineSnapshot(
    `"build-failed: \`npm run build\` exited with 1. The log says why; mend it and push."`,
  );
  b.builds.next(ended('output'));
  expect(await told(b.build(vite, { config: { output: 'public' } }))).toMatchInlineSnapshot(
    `"output-missing: The build finished but left no folder \`public\`. Set \`output\` in \`.mayfly.yml\` to the folder that the build writes."`,
  );
  b.builds.next(ended('build'));
  expect(await told(b.build(docker))).toMatchInlineSnapshot(
    `"build-failed: \`docker build\` exited with 1. The log says why; mend it and push."`,
  );
  const node = { 'package.json': '{"scripts":{"build":"x","start":"y"},"dependencies":{"a":"1"}}', 'package-lock.json': '{}' };
  for (const [line, command] of [
    ['Running "npm ci --quiet (NODE_ENV=development)"', 'install-failed: `npm ci`'],
    ['Running "npm run build (A=b)"', 'build-failed: `npm run build`'],
    ['Running "curl --header hunter2-secret"', 'build-failed: `pack build`'],
  ] as const) {
    b.builds.next(ended('build', [line, 'ERROR: failed to build: exit status 9', 'failed with status code: 51']));
    expect(await told(b.build(node))).toBe(`${command} exited with 9. The log says why; mend it and push.`);
  }
  b.builds.next({ status: 'TIMEOUT' });
  expect(await told(b.build(docker))).toMatchInlineSnapshot(
    `"build-timeout: The build took longer than 900 s and was stopped. Make it faster, or build less for a preview."`,
  );
});

test('what Google did wrong is told apart', async () => {
  b.builds.next({ status: 'INTERNAL_ERROR' }, { status: 'EXPIRED' }, { status: 'CANCELLED' });
  expect(await told(b.build(docker))).toMatchInlineSnapshot(
    `"cloud-build-failed: Cloud Build could not finish the build (it gave no reason). \`/preview deploy\` tries again."`,
  );
  expect(await told(b.build(docker))).toMatchInlineSnapshot(
    `"google-limited: Google Cloud does not let Mayfly start a build in eu-frankfurt now, since a quota of the project is used up. \`/preview deploy\` tries again; another \`region\` may have room."`,
  );
  expect(await told(b.build(docker))).toMatchInlineSnapshot(
    `"cloud-build-failed: Cloud Build could not finish the build (it was cancelled in the project). \`/preview deploy\` tries again."`,
  );
  const failureInfo = { type: 'FETCH_SOURCE_FAILED', detail: 'The source archive could not be fetched.' };
  b.builds.next({ status: 'FAILURE', failureInfo }, { status: 'FAILURE', failed: { id: 'image', exitCode: 1 } });
  expect(await told(b.build(docker))).toMatchInlineSnapshot(
    `"cloud-build-failed: Cloud Build could not finish the build (The source archive could not be fetched). \`/preview deploy\` tries again."`,
  );
  expect(await told(b.build(docker))).toMatchInlineSnapshot(
    `"cloud-build-failed: Cloud Build could not finish the build (it gave no reason). \`/preview deploy\` tries again."`,
  );
});

const RESTRICTED = 'failed precondition: due to quota restrictions, cannot run builds in this region. Please contact support';

test('a region in which the project may not build is told, with those in which it may', async () => {
  b.cloud.faults.next('cloudbuild.builds.create', { kind: 'refuse', status: 'FAILED_PRECONDITION', message: RESTRICTED });
  expect(await told(b.build(docker))).toMatchInlineSnapshot(
    `"region-cannot-build: Google does not let this project build in eu-frankfurt (failed precondition: due to quota restrictions, cannot run builds in this region. Please contact support). It may in eu-belgium. Choose one with \`/preview region\` or \`region\` in \`.mayfly.yml\`, or ask Google’s support to lift the limit."`,
  );
  await reopen({ regions: ['europe-west3'] });
  b.cloud.faults.next('cloudbuild.builds.create', { kind: 'refuse', status: 'FAILED_PRECONDITION', message: RESTRICTED });
  expect(await told(b.build(docker))).toMatchInlineSnapshot(
    `"region-cannot-build: Google does not let this project build in eu-frankfurt (failed precondition: due to quota restrictions, cannot run builds in this region. Please contact support). It may in us-iowa, us-west2, eu-belgium, asia-east1, sydney, southamerica-east1, none of which the operator allows here. Choose one with \`/preview region\` or \`region\` in \`.mayfly.yml\`, or ask Google’s support to lift the limit."`,
  );
});

test('a permission that is missing is named with the role and the command that grants it', async () => {
  const without = async (permission: string) => {
    using _ = b.cloud.faults.withhold(permission);
    return await told(b.build(docker));
  };
  expect(await without('cloudbuild.builds.create')).toMatchInlineSnapshot(
    `"google-forbidden: Google Cloud does not let Mayfly build with Cloud Build: its identity lacks the role \`roles/cloudbuild.builds.editor\`. Once the operator has granted it with \`gcloud projects add-iam-policy-binding mayfly-test --member=serviceAccount:mayfly-worker@mayfly-test.iam.gserviceaccount.com --role=roles/cloudbuild.builds.editor\`, \`/preview deploy\` tries again."`,
  );
  expect(await without('storage.objects.create')).toMatchInlineSnapshot(
    `"google-forbidden: Google Cloud does not let Mayfly write to the bucket mayfly-test-mayfly-europe-west3: its identity lacks the role \`roles/storage.objectUser\`. Once the operator has granted it with \`gcloud storage buckets add-iam-policy-binding gs://mayfly-test-mayfly-europe-west3 --member=serviceAccount:mayfly-worker@mayfly-test.iam.gserviceaccount.com --role=roles/storage.objectUser\`, \`/preview deploy\` tries again."`,
  );
  expect(await without('artifactregistry.tags.get')).toMatchInlineSnapshot(
    `"google-forbidden: Google Cloud does not let Mayfly look after images in mayfly-images: its identity lacks the role \`roles/artifactregistry.repoAdmin\`. Once the operator has granted it with \`gcloud artifacts repositories add-iam-policy-binding mayfly-images --location=europe-west3 --project=mayfly-test --member=serviceAccount:mayfly-worker@mayfly-test.iam.gserviceaccount.com --role=roles/artifactregistry.repoAdmin\`, \`/preview deploy\` tries again."`,
  );
});

const QUOTA = { kind: 'refuse', status: 'RESOURCE_EXHAUSTED', message: 'Quota exceeded' } as const;
const DOWN = { kind: 'refuse', status: 'UNAVAILABLE', message: 'The service is currently unavailable.' } as const;

test('a quota that is used up is waited for, and told when it stays so', async () => {
  b.cloud.faults.next('cloudbuild.builds.create', QUOTA, 2);
  expect((await b.build(docker)).artefact.image).toContain('@sha256:');
  expect(b.said()).toContain('Detected: Dockerfile\nA quota of the project on Google Cloud is used up for now: trying again\n');
  b.cloud.faults.next('cloudbuild.builds.create', QUOTA, 3);
  expect(await told(b.build({ ...docker, 'app.js': 'other' }))).toMatchInlineSnapshot(
    `"google-limited: Google Cloud does not let Mayfly build with Cloud Build in eu-frankfurt now, since a quota of the project is used up. \`/preview deploy\` tries again; another \`region\` may have room."`,
  );
});

test('one answer that fails costs nothing, a region that is down is told', async () => {
  for (const what of ['artifactregistry.tags.get', 'artifactregistry.tags.create', 'storage.objects.create', 'cloudbuild.builds.list'])
    b.cloud.faults.next(what, DOWN);
  expect((await b.build(docker)).artefact.image).toContain('@sha256:');
  b.cloud.faults.next('cloudbuild.builds.create', DOWN);
  expect(await told(b.build({ ...docker, 'app.js': 'other' }))).toMatchInlineSnapshot(
    `"google-unreachable: Google Cloud could not be reached in eu-frankfurt (The service is currently unavailable). \`/preview deploy\` tries again; another \`region\` may be well."`,
  );
  using _ = b.cloud.faults.regionDown('europe-west3');
  expect(await told(b.build(docker))).toContain('google-unreachable: Google Cloud could not be reached in eu-frankfurt');
});

test('an archive that can’t be sent begins no build', async () => {
  b.cloud.faults.next('storage.objects.create', { kind: 'lose' }, 9);
  expect(await told(b.build(docker))).toContain('google-unreachable: Google Cloud could not be reached in eu-frankfurt');
  expect(b.builds.asked).toEqual([]);
});

test('a build that Google never ends is given up and cancelled', async () => {
  await reopen({ giveUpMs: 200 });
  b.builds.hold();
  expect(await told(b.build(docker))).toMatchInlineSnapshot(
    `"build-timeout: The build took longer than 900 s and was stopped. Make it faster, or build less for a preview."`,
  );
  expect(b.builds.asked.map(({ status }) => status)).toEqual(['CANCELLED']);
});

test('a build of which Google does not tell any more is cancelled', async () => {
  b.builds.hold();
  using _withheld = b.cloud.faults.withhold('cloudbuild.builds.get');
  expect(await told(b.build(docker))).toContain('google-forbidden: Google Cloud does not let Mayfly build with Cloud Build');
  expect(b.builds.asked.map(({ status }) => status)).toEqual(['CANCELLED']);
});

test('Google that is silent for a while during a build does not end it', async () => {
  b.cloud.faults.next('cloudbuild.builds.get', QUOTA, 2);
  expect((await b.build(docker)).artefact.image).toContain('@sha256:');
});

test('a start whose answer is lost is found again by the next launch', async () => {
  b.builds.hold();
  b.cloud.faults.next('cloudbuild.builds.create', { kind: 'lose' });
  expect(await told(b.build(docker))).toContain('google-unreachable: Google Cloud could not be reached in eu-frankfurt');
  const again = b.build(docker);
  await expect.poll(() => b.said(), { timeout: 20_000 }).toContain('A build of this commit is under way');
  for (const one of b.builds.asked) b.builds.end(one, { status: 'SUCCESS' });
  expect((await again).artefact.image).toContain('@sha256:');
  expect(b.builds.asked).toHaveLength(1);
});

test('a token that is refused in the middle of a build is asked for anew', async () => {
  b.builds.hold();
  const building = b.build(docker);
  await b.builds.begun(1);
  b.tokens.expireAll();
  for (const one of b.builds.asked) b.builds.end(one, { status: 'SUCCESS' });
  expect((await building).artefact.image).toContain('@sha256:');
  expect(b.seen.filter(({ status }) => status === 401).length).toBeGreaterThan(0);
});

test('credentials that are not accepted are told as such', async () => {
  b.cloud.faults.next(
    'artifactregistry.tags.get',
    { kind: 'refuse', status: 'UNAUTHENTICATED', message: 'Request had invalid authentication credentials.' },
    2,
  );
  expect(await told(b.build(docker))).toMatchInlineSnapshot(
    `"google-credentials: Google Cloud does not accept Mayfly’s credentials (Request had invalid authentication credentials). Once the operator has renewed them, \`/preview deploy\` tries again."`,
  );
});

test('a machine that has no credentials is told so', async () => {
  process.env.METADATA_SERVER_DETECTION = 'none';
  expect(await told(b.build(docker))).toMatchInlineSnapshot(
    `"google-credentials: Google Cloud does not accept Mayfly’s credentials (Could not load the default credentials. Browse to https://cloud.google.com/docs/authentication/getting-started for more information). Once the operator has renewed them, \`/preview deploy\` tries again."`,
  );
});
