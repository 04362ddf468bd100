import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { explain } from '../../src/platform/explain.ts';
import { doneWords, outputWords, summaryWords } from '../../src/platform/words.ts';
import { runCommand, type Said } from '../command.ts';
import { SETTINGS } from './world.ts';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mayfly-platform-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** What somebody has who did everything right; nothing here gets as far as the engine. */
const RIGHT = {
  PULUMI_BACKEND_URL: 'file:///nowhere',
  PULUMI_CONFIG_PASSPHRASE: 'x',
  HOME: '/nonexistent',
  METADATA_SERVER_DETECTION: 'none',
};

async function run(settings: string, environment: Readonly<Record<string, string>>, ...args: readonly string[]): Promise<Said> {
  const file = join(folder, 'platform.yml');
  await writeFile(file, settings);
  return runCommand('src/platform.ts', environment, { args: [...args, '--settings', file] });
}

test('without a verb, or with what is no option, the usage is shown', async () => {
  expect(await runCommand('src/platform.ts', RIGHT)).toMatchObject({
    code: 64,
    errors: expect.stringMatching(/^usage: npm run platform -- up/),
  });
  expect((await runCommand('src/platform.ts', RIGHT, { args: ['down'] })).errors).toMatch(
    /^One of up, preview, destroy, outputs is wanted\.\n\nusage/,
  );
  expect((await runCommand('src/platform.ts', RIGHT, { args: ['up', '--force'] })).errors).toMatch(/^Unknown option '--force'\.\n\nusage/);
  expect(await runCommand('src/platform.ts', RIGHT, { args: ['--help'] })).toMatchObject({ code: 0, errors: '' });
});

test('everything that is wrong with the settings is told at once', async () => {
  const said = await run(
    `project: X
instance: mayfly-of-the-whole-organisation
regions: [eu-atlantis]
previews: acme.dev
domain: mayfly.acme.dev
colour: green
workers: { count: 0 }
database: { version: MYSQL }
budget: { account: mine, amount: 1, currency: EUR }
names: { web: a, colour: b }
`,
    RIGHT,
    'up',
  );
  expect(said.code).toBe(78);
  expect(said.errors).toMatchInlineSnapshot(`
    "The platform cannot be made with these settings:
      project is not a project’s id
        for example: project: acme-previews
      instance is not a label: a lower-case letter, then at most 18 letters, digits and dashes
        for example: instance: mayfly
      regions names "eu-atlantis", which is no region
        for example: regions: [eu-belgium, us-iowa]
      image is missing
        for example: image: europe-west1-docker.pkg.dev/acme-previews/tools/mayfly:0.2.0
      workers.count is wrong: Too small: expected number to be >=1
        for example: workers: …
      database.version is wrong: Invalid option: expected one of "POSTGRES_16"|"POSTGRES_17"|"POSTGRES_18"
        for example: database: …
      budget.account is not a billing account’s id
        for example: budget: { account: 012345-6789AB-CDEF01, amount: 200, currency: EUR }
      names.colour is no setting of the platform
        for example: leave colour out
      colour is no setting of the platform
        for example: leave colour out
    "
  `);
});

test('what only shows together is told, too', async () => {
  const said = await run(
    `${SETTINGS.replace('previews: preview.acme.dev', 'previews: acme.dev')}
settings: { DATABASE_URL: 'postgres://elsewhere' }
names: { bucket: acme-sources, network: Acme, gate: mayfly-web }
`,
    RIGHT,
    'up',
  );
  expect(said.errors).toMatchInlineSnapshot(`
    "The platform cannot be made with these settings:
      domain lies under previews, where every name is a site’s
        for example: domain: mayfly.acme.dev
      settings sets DATABASE_URL, which the platform sets itself
        for example: settings: { MAYFLY_REPOSITORIES: 'acme/*' }
      names is not right: names.network is "Acme", and Google takes at most 63 lower-case letters, digits and dashes, a letter first
        for example: names: { network: acme-vpc }
      names is not right: names.bucket needs {region} in it: there is one for each region
        for example: names: { network: acme-vpc }
      names is not right: names.web and names.gate are both "mayfly-web", and Google takes each name once
        for example: names: { network: acme-vpc }
    "
  `);
});

test('what is missing around it is told before anything is asked of Google', async () => {
  const { PULUMI_BACKEND_URL: _, ...noBackend } = RIGHT;
  expect(await run(SETTINGS, noBackend, 'up')).toMatchInlineSnapshot(`
    {
      "code": 1,
      "errors": "PULUMI_BACKEND_URL is not set: it says where the state is kept, without which nothing that was made is found again.
    A bucket of the project itself will do:

      gcloud storage buckets create gs://acme-previews-mayfly-state --project=acme-previews --location=europe-west1 \\
        --uniform-bucket-level-access --public-access-prevention
      gcloud storage buckets update gs://acme-previews-mayfly-state --versioning
      export PULUMI_BACKEND_URL=gs://acme-previews-mayfly-state
    ",
      "out": "",
    }
  `);
  const { PULUMI_CONFIG_PASSPHRASE: __, ...noPassphrase } = RIGHT;
  expect((await run(SETTINGS, noPassphrase, 'up')).errors).toMatchInlineSnapshot(`
    "PULUMI_CONFIG_PASSPHRASE is not set: it encrypts the passwords in the state. Make one, and keep it where the team keeps such things:

      export PULUMI_CONFIG_PASSPHRASE="$(openssl rand -base64 32)"

    PULUMI_CONFIG_PASSPHRASE_FILE names a file that holds it; PULUMI_SECRETS_PROVIDER=gcpkms://… takes a key of yours instead.
    "
  `);
  expect((await run(SETTINGS, RIGHT, 'up')).errors).toMatchInlineSnapshot(`
    "There are no credentials for Google Cloud. On your own machine:

      gcloud auth application-default login

    On Google's machines the attached service account is taken. A key file is never needed.
    "
  `);
  expect((await run(SETTINGS, { ...RIGHT, GOOGLE_CLOUD_PROJECT: 'acme-shop' }, 'up')).errors).toMatchInlineSnapshot(`
    "The settings are for the project acme-previews, and GOOGLE_CLOUD_PROJECT is acme-shop. Which of the two is meant has to be said.
    "
  `);
  expect((await runCommand('src/platform.ts', RIGHT, { args: ['up', '--settings', '/nowhere.yml'] })).errors).toBe(
    '/nowhere.yml cannot be read (ENOENT).\n',
  );
});

const SAID = [
  "error: could not load plugin for gcp provider: no resource plugin 'pulumi-resource-gcp' found in the workspace at version v9.37.0",
  'google: could not find default credentials. See https://cloud.google.com/docs/authentication',
  'error: incorrect passphrase',
  'error: the stack is currently locked by 1 lock(s).',
  "error: could not list bucket: blob (code=NotFound): storage: bucket doesn't exist",
  'googleapi: Error 400: Billing account for project is not found. BILLING_DISABLED',
  'googleapi: Error 403: Cloud KMS API has not been used in project 1 before or it is disabled. SERVICE_DISABLED',
  "googleapi: Error 404: Project 'acme-previews' not found",
  'googleapi: Error 403: The caller does not have permission, forbidden',
  'Error, failed to delete instance because deletion_protection is set to true.',
  "googleapi: Error 400: The subnetwork 'x' is already being used by 'addresses/serverless-ipv4-1', resourceInUseByAnotherResource",
  'Error creating DatabaseInstance: googleapi: Error 409: The Cloud SQL instance already exists., instanceAlreadyExists',
  'googleapi: Error 404: Secret projects/1/secrets/x not found',
];

test('what stands in the way outside is told with what to do about it; what is not known is shown as it is', () => {
  const place = { project: 'acme-previews', instance: 'mayfly', home: 'europe-west1' };
  expect(SAID.map((text) => explain(text, place) ?? 'as it is').join('\n---\n')).toMatchInlineSnapshot(`
    "The plugin gcp of Pulumi is missing and could not be fetched. Where its download is reachable, \`pulumi plugin install resource gcp\` puts it in place; else put \`pulumi-resource-gcp\` into a folder of PATH.
    ---
    There are no credentials for Google Cloud. On your own machine:

      gcloud auth application-default login

    On Google's machines the attached service account is taken. A key file is never needed.
    ---
    PULUMI_CONFIG_PASSPHRASE is not the one that the state was encrypted with.
    ---
    Somebody else is at work on this platform, or was and was killed. When nobody is, \`pulumi cancel --stack organization/mayfly-platform/acme-previews-mayfly\` frees its state.
    ---
    The bucket of PULUMI_BACKEND_URL is not there. A bucket of the project itself will do:

      gcloud storage buckets create gs://acme-previews-mayfly-state --project=acme-previews --location=europe-west1 \\
        --uniform-bucket-level-access --public-access-prevention
      gcloud storage buckets update gs://acme-previews-mayfly-state --versioning
      export PULUMI_BACKEND_URL=gs://acme-previews-mayfly-state
    ---
    acme-previews has no billing account: \`gcloud billing projects link acme-previews --billing-account=ACCOUNT\`, with one of \`gcloud billing accounts list\`.
    ---
    Google takes some minutes to switch an API on. Run the same command again then.
    ---
    Google knows no project acme-previews, or does not show it to these credentials: \`gcloud projects describe acme-previews\`.
    ---
    These credentials may not do that in acme-previews. Whoever runs this has to be its owner, or to have the roles that docs/google-cloud.md lists.
    ---
    A database is still protected: write \`protected: false\` into its settings, run \`up\`, then destroy again.
    ---
    Cloud Run gives the addresses of a subnetwork back within two hours of its last service. All else is removed; run destroy again then.
    ---
    Google has what the state does not know: an \`up\` was killed while it was made, or somebody else made it. Delete what is named above (a database: \`gcloud sql instances delete NAME --project=acme-previews\`, and choose another name for it in \`names\`, as Google keeps that one for a week), then run the same command again.
    ---
    as it is"
  `);
});

test('the words for what was done', () => {
  expect(summaryWords({ create: 2, update: 1, delete: 3, replace: 1, same: 90 })).toBe(
    '2 to make, 1 to change, 3 to remove, 1 to replace, 90 as they should be.',
  );
  expect(summaryWords({ same: 97 })).toBe('Nothing to change: 97 resources are as they should be.');
  expect(doneWords({ create: 2, same: 90 })).toBe('2 made, 90 as they should be.');
  expect(doneWords({ same: 97 })).toBe('Nothing was changed: 97 resources are as they should be.');
  const told = { platform: { project: 'p', gate: 'g', runAs: BOTH, buildAs: BOTH, regions: {} }, records: [], nameServers: [] };
  const addresses = { control: 'https://mayfly.acme.dev', previews: 'https://preview.acme.dev', ip: '203.0.113.7' };
  expect(outputWords({ ...told, addresses }, 'ours')).toMatchInlineSnapshot(`
    "control plane  https://mayfly.acme.dev
    previews       https://*.preview.acme.dev
    address        203.0.113.7
    "
  `);
});

const BOTH = { trusted: 'a', untrusted: 'b' };
