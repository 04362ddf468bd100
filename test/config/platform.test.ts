import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ConfigError, loadConfig } from '../../src/config.ts';
import type { ConfigProblem, Environment } from '../../src/config-reader.ts';
import { secretsOf } from '../../src/config-secrets.ts';

const account = (name: string): string => `${name}@acme-previews.iam.gserviceaccount.com`;
const byTrust = (name: string) => ({ trusted: name, untrusted: `${name}-forks` });
const region = (database: string | null) => ({
  bucket: 'acme-previews-sources',
  images: byTrust('images'),
  caches: byTrust('caches'),
  network: 'mayfly',
  subnetwork: 'mayfly-europe-west1',
  database,
});
const platform = {
  project: 'acme-previews',
  gate: account('gate'),
  runAs: { trusted: account('run'), untrusted: account('run-forks') },
  buildAs: { trusted: account('build'), untrusted: account('build-forks') },
  regions: { 'europe-west1': region('10.1.0.3:5432') },
};
const google: Environment = {
  MAYFLY_TARGET: 'gcp',
  MAYFLY_PREVIEW_URL: 'https://preview.acme.dev',
  GOOGLE_CLOUD_PROJECT: 'acme-previews',
  MAYFLY_PLATFORM: JSON.stringify(platform),
  MAYFLY_PREVIEW_DATABASE_URL: 'postgres://admin:pw@previews/postgres',
};
const withPlatform = (changes: object): Environment => ({ ...google, MAYFLY_PLATFORM: JSON.stringify({ ...platform, ...changes }) });

function problemsOf(environment: Environment): readonly ConfigProblem[] {
  try {
    loadConfig(environment);
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
}

test('a project, a wildcard domain and a description of the platform are enough for Google Cloud', () => {
  const config = loadConfig(google);
  expect(config).toMatchObject({ target: 'gcp', google: { project: 'acme-previews', platform }, pulumiSecrets: null });
});

test('the description may be in a file', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'mayfly-platform-'));
  try {
    const path = join(folder, 'platform.json');
    await writeFile(path, JSON.stringify(platform));
    expect(loadConfig({ ...google, MAYFLY_PLATFORM: path }).google?.platform).toEqual(platform);
    await writeFile(path, '{');
    expect(problemsOf({ ...google, MAYFLY_PLATFORM: path })).toMatchObject([{ name: 'MAYFLY_PLATFORM', wrong: 'is not JSON' }]);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('on the target local nothing of it is looked at', () => {
  const others = { GOOGLE_CLOUD_PROJECT: 'x', PULUMI_CONFIG_PASSPHRASE: '', PULUMI_SECRETS_PROVIDER: 'default', MAYFLY_PLATFORM: '{' };
  expect(loadConfig(others)).toMatchObject({ target: 'local', google: null, pulumiSecrets: null });
});

test('gate and worker may be processes of their own, and one that has the gate alone may listen where Cloud Run says', () => {
  const gate = loadConfig({ ...google, MAYFLY_ROLES: 'gate', DATABASE_URL: 'postgres://m:pw@db/mayfly', PORT: '8080' });
  expect([...gate.roles]).toEqual(['gate']);
  expect(loadConfig({ ...google, MAYFLY_ROLES: 'worker', DATABASE_URL: 'postgres://m:pw@db/mayfly' }).roles.size).toBe(1);
});

test('what is missing for Google Cloud is told all at once, as the operator reads it', () => {
  expect(() => loadConfig({ MAYFLY_TARGET: 'gcp' })).toThrowErrorMatchingInlineSnapshot(`
    [ConfigError: Mayfly cannot start with these settings:
      GOOGLE_CLOUD_PROJECT is missing: MAYFLY_TARGET is gcp
        for example: GOOGLE_CLOUD_PROJECT=acme-previews
      MAYFLY_PLATFORM is missing: MAYFLY_TARGET is gcp
        for example: MAYFLY_PLATFORM=/etc/mayfly/platform.json, written by: npm run platform -- outputs
      MAYFLY_PREVIEW_URL is missing: on Google Cloud the gate needs a domain with a wildcard of its own
        for example: MAYFLY_PREVIEW_URL=https://preview.acme.dev]
  `);
});

test('every mistake in the description is told with where it is', () => {
  const regions = {
    'eu-belgium': region(null),
    'europe-west3': { ...region('10.1.0.3'), images: byTrust('Images!'), bucket: undefined, zone: 'a' },
  };
  const environment = withPlatform({
    gate: account('run'),
    project: 'other-project',
    buildAs: { trusted: account('build'), untrusted: account('build') },
    regions,
    key: 1,
  });
  expect(problemsOf(environment).map(({ name, wrong }) => `${name} ${wrong}`)).toMatchInlineSnapshot(`
    [
      "MAYFLY_PLATFORM at buildAs has the same for trusted and untrusted; what comes from a fork must have its own",
      "MAYFLY_PLATFORM at regions.eu-belgium is no region of Google's",
      "MAYFLY_PLATFORM at regions.europe-west3.bucket is missing",
      "MAYFLY_PLATFORM at regions.europe-west3.images.trusted is not an Artifact Registry repository's id",
      "MAYFLY_PLATFORM at regions.europe-west3.images.untrusted is not an Artifact Registry repository's id",
      "MAYFLY_PLATFORM at regions.europe-west3.database is not host:port",
      "MAYFLY_PLATFORM at regions.europe-west3.zone has what is not known there",
      "MAYFLY_PLATFORM at key has what is not known there",
    ]
  `);
  expect(problemsOf(withPlatform({ gate: 7, runAs: undefined, regions: [] })).map(({ wrong }) => wrong)).toMatchInlineSnapshot(`
    [
      "at gate is not text",
      "at runAs is missing",
      "at regions is not an object",
    ]
  `);
});

/** What is set beside what Google Cloud needs, whose name the problem bears, and what it says. */
const BAD: readonly [Environment, string, RegExp][] = [
  [{ MAYFLY_PREVIEW_URL: 'http://preview.localhost:8080' }, 'MAYFLY_PREVIEW_URL', /is this machine alone/],
  [{ GOOGLE_CLOUD_PROJECT: 'Acme' }, 'GOOGLE_CLOUD_PROJECT', /"Acme" is not a project's id/],
  [
    { GOOGLE_CLOUD_PROJECT: 'acme-other' },
    'MAYFLY_PLATFORM',
    /describes the project "acme-previews", and GOOGLE_CLOUD_PROJECT is "acme-other"/,
  ],
  [{ MAYFLY_PLATFORM: '/no/such.json' }, 'MAYFLY_PLATFORM', /names the file "\/no\/such.json", which cannot be read \(ENOENT\)/],
  [{ MAYFLY_PLATFORM: '{' }, 'MAYFLY_PLATFORM', /^is not JSON$/],
  [{ MAYFLY_REGIONS: 'europe-west1,us-iowa' }, 'MAYFLY_PLATFORM', /does not describe us-central1, .*; it describes europe-west1$/],
  [{ MAYFLY_PREVIEW_DATABASE_URL: undefined }, 'MAYFLY_PREVIEW_DATABASE_URL', /is missing: .* of europe-west1$/],
  [{ PULUMI_CONFIG_PASSPHRASE: '' }, 'PULUMI_CONFIG_PASSPHRASE', /set but empty/],
  [{ PULUMI_CONFIG_PASSPHRASE: 'short' }, 'PULUMI_CONFIG_PASSPHRASE', /has 5 characters; at least 16/],
  [{ PULUMI_SECRETS_PROVIDER: 'passphrase' }, 'PULUMI_SECRETS_PROVIDER', /starts with gcpkms/],
  [{ PULUMI_CONFIG_PASSPHRASE: 'a'.repeat(32), PULUMI_SECRETS_PROVIDER: 'gcpkms://x' }, 'PULUMI_SECRETS_PROVIDER', /both set/],
];
test.each(BAD)('%o is told as a problem of %s', (environment, name, wrong) => {
  expect(problemsOf({ ...google, ...environment })).toContainEqual({
    name,
    wrong: expect.stringMatching(wrong),
    example: expect.stringMatching(/\S/),
  });
});

test('Pulumi’s secrets are encrypted by what is said, and a passphrase is never written anywhere', () => {
  const provider = 'gcpkms://projects/acme-previews/locations/europe-west1/keyRings/mayfly/cryptoKeys/pulumi';
  expect(loadConfig({ ...google, PULUMI_SECRETS_PROVIDER: provider }).pulumiSecrets).toEqual({ provider });
  const config = loadConfig({ ...google, PULUMI_CONFIG_PASSPHRASE: 'correct horse battery' });
  expect(config.pulumiSecrets).toEqual({ passphrase: 'correct horse battery' });
  expect(secretsOf(config)).toContain('correct horse battery');
});

test('a region without a database of its own needs no server for them', () => {
  const environment = withPlatform({ regions: { 'europe-west1': region(null) } });
  expect(problemsOf({ ...environment, MAYFLY_PREVIEW_DATABASE_URL: undefined })).toEqual([]);
});

test('credentials that gcloud has left at home are found, as by Google’s own libraries; a file that is named comes first', async () => {
  const home = await mkdtemp(join(tmpdir(), 'mayfly-home-'));
  try {
    const credentials = (environment: Environment) => loadConfig({ ...google, HOME: home, ...environment }).google?.credentials;
    expect(credentials({})).toBeNull();
    await mkdir(join(home, '.config/gcloud'), { recursive: true });
    const left = join(home, '.config/gcloud/application_default_credentials.json');
    await writeFile(left, '{}');
    expect(credentials({})).toBe(left);
    expect(credentials({ GOOGLE_APPLICATION_CREDENTIALS: '/run/key.json' })).toBe('/run/key.json');
    expect(loadConfig(google).google?.credentials).toBeNull();
  } finally {
    await rm(home, { recursive: true });
  }
});
