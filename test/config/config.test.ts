import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ConfigError, loadConfig } from '../../src/config.ts';
import type { ConfigProblem, Environment } from '../../src/config-reader.ts';

const { privateKey: PEM } = generateKeyPairSync('rsa', {
  modulusLength: 2048,
  publicKeyEncoding: { type: 'spki', format: 'pem' },
  privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
});
const SECRET = 'a'.repeat(32);
const github = { APP_ID: '7', PRIVATE_KEY: PEM, WEBHOOK_SECRET: SECRET };
const gitlab = { GITLAB_URL: 'https://gitlab.acme.dev', GITLAB_TOKEN: 'glpat-1', GITLAB_WEBHOOK_SECRET: SECRET };
const KEY = Buffer.alloc(32, 7).toString('base64');
const DATABASE = 'postgres://mayfly:pw@db/mayfly';

function problemsOf(environment: Environment): readonly ConfigProblem[] {
  try {
    loadConfig(environment);
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
}
const named = (environment: Environment): readonly string[] => problemsOf(environment).map(({ name }) => name);

test('a GitHub App alone is enough: everything else has a default', () => {
  const config = loadConfig(github);
  expect(config).toMatchObject({
    port: 3000,
    gatePort: 8080,
    target: 'local',
    sandbox: 'auto',
    terms: { ttlMs: 3 * 86_400_000, maxTtlMs: 14 * 86_400_000 },
    maxSites: 5,
    idleMs: 900_000,
    sweepEveryMs: 5_000,
    repositories: [{ pattern: '*', allow: true }],
    region: 'europe-west1',
    regions: ['europe-west1'],
    command: '/preview',
    databaseUrl: null,
    redisUrl: null,
    secretKey: null,
    apiToken: null,
    gitlab: null,
    github: { appId: 7, apiUrl: 'https://api.github.com', serverUrl: 'https://github.com', clientId: null },
  });
  expect(config.publicUrl.href).toBe('http://localhost:3000/');
  expect(config.previewUrl.href).toBe('http://preview.localhost:8080/');
  expect([...config.roles]).toEqual(['web', 'gate', 'worker', 'clock']);
  expect(config.dataDir).toBe(join(process.cwd(), '.mayfly'));
});

/** Setting, what it is set to, and what comes of it in the Config. */
const GOOD: readonly [string, string, object][] = [
  ['PORT', '0', { port: 0 }],
  ['MAYFLY_GATE_PORT', '9090', { gatePort: 9090, previewUrl: new URL('http://preview.localhost:9090') }],
  ['MAYFLY_PUBLIC_URL', 'https://mayfly.acme.dev/', { publicUrl: new URL('https://mayfly.acme.dev') }],
  ['MAYFLY_TTL', '36h', { terms: { ttlMs: 129_600_000, maxTtlMs: 1_209_600_000 } }],
  ['MAYFLY_TTL', '3w', { terms: { ttlMs: 1_814_400_000, maxTtlMs: 1_814_400_000 } }],
  ['MAYFLY_TRUSTED_PROXIES', '10.0.0.0/8, ::1', { trustedProxies: ['10.0.0.0/8', '::1/128'] }],
  [
    'MAYFLY_REPOSITORIES',
    'acme/*,!acme/secret',
    {
      repositories: [
        { pattern: 'acme/*', allow: true },
        { pattern: 'acme/secret', allow: false },
      ],
    },
  ],
  ['MAYFLY_REGION', 'eu-frankfurt', { region: 'europe-west3', regions: ['europe-west3'] }],
  ['MAYFLY_REGIONS', 'eu-belgium,eu-london', { regions: ['europe-west1', 'europe-west2'] }],
  ['MAYFLY_COMMAND', '/Deploy', { command: '/deploy' }],
  ['MAYFLY_INSTANCE', 'team-a', { instance: 'team-a' }],
  ['MAYFLY_SECRET_KEY', Buffer.alloc(32, 1).toString('base64'), { secretKey: Buffer.alloc(32, 1) }],
  ['MAYFLY_API_TOKEN', SECRET, { apiToken: SECRET }],
  ['MAYFLY_SANDBOX', 'none', { sandbox: 'none' }],
  ['REDIS_URL', 'rediss://cache:6380', { redisUrl: 'rediss://cache:6380' }],
  ['REDIS_URL', 'unix:///run/redis.sock', { redisUrl: '/run/redis.sock' }],
  ['MAYFLY_TTL', '4s', { terms: { ttlMs: 4_000, maxTtlMs: 1_209_600_000 } }],
  ['MAYFLY_IDLE', '1s', { idleMs: 1_000 }],
  ['DATABASE_URL', '', { databaseUrl: null }],
];
test.each(GOOD)('%s=%s is understood', (name, value, expected) => {
  expect(loadConfig({ ...github, [name]: value })).toMatchObject(expected);
});

/** What is set beside a GitHub App, whose name the problem bears, and what it says. */
const BAD: readonly [Environment, string, RegExp][] = [
  [{ PORT: '-1' }, 'PORT', /"-1" is not a whole number from 0 to 65535/],
  [{ PORT: '8080' }, 'MAYFLY_GATE_PORT', /so is PORT/],
  [{ MAYFLY_PUBLIC_URL: 'mayfly.acme.dev' }, 'MAYFLY_PUBLIC_URL', /not an http/],
  [{ MAYFLY_PUBLIC_URL: 'https://a.dev/mayfly' }, 'MAYFLY_PUBLIC_URL', /has a path/],
  [{ MAYFLY_PREVIEW_URL: 'http://10.0.0.1' }, 'MAYFLY_PREVIEW_URL', /IP address/],
  [{ MAYFLY_PREVIEW_URL: 'http://[::1]:8080' }, 'MAYFLY_PREVIEW_URL', /IP address/],
  [{ MAYFLY_ROLES: 'web,worke', DATABASE_URL: DATABASE }, 'MAYFLY_ROLES', /"worke" is no role; did you mean worker\?/],
  [{ MAYFLY_ROLES: ',', DATABASE_URL: DATABASE }, 'MAYFLY_ROLES', /names no role/],
  [{ MAYFLY_ROLES: 'web,clock' }, 'DATABASE_URL', /is missing/],
  [{ MAYFLY_ROLES: 'web,gate', DATABASE_URL: DATABASE }, 'MAYFLY_ROLES', /one of gate and worker/],
  [{ MAYFLY_TARGET: 'aws' }, 'MAYFLY_TARGET', /not one of local, gcp/],
  [{ MAYFLY_SANDBOX: 'off' }, 'MAYFLY_SANDBOX', /not one of auto, bubblewrap, none/],
  [{ MAYFLY_API_TOKEN: 'short' }, 'MAYFLY_API_TOKEN', /has 5 characters; at least 32/],
  [{ MAYFLY_API_TOKEN: '' }, 'MAYFLY_API_TOKEN', /set but empty/],
  [{ MAYFLY_REPOSITORIES: 'acme' }, 'MAYFLY_REPOSITORIES', /"acme" is no pattern/],
  [{ MAYFLY_TTL: '3 days' }, 'MAYFLY_TTL', /"3 days" is not a duration/],
  [{ MAYFLY_TTL: '20d', MAYFLY_MAX_TTL: '14d' }, 'MAYFLY_MAX_TTL', /shorter than MAYFLY_TTL/],
  [{ MAYFLY_MAX_SITES: '0' }, 'MAYFLY_MAX_SITES', /from 1 to/],
  [{ MAYFLY_SWEEP_EVERY: '1h' }, 'MAYFLY_SWEEP_EVERY', /between 1s and 5m/],
  [{ MAYFLY_TRUSTED_PROXIES: '10.0.0.0/40' }, 'MAYFLY_TRUSTED_PROXIES', /not an address range/],
  [{ MAYFLY_PREVIEW_DATABASE_URL: 'mysql://x' }, 'MAYFLY_PREVIEW_DATABASE_URL', /starts with postgres/],
  [{ MAYFLY_PREVIEW_DATABASE_URL: DATABASE, DATABASE_URL: DATABASE }, 'MAYFLY_PREVIEW_DATABASE_URL', /Mayfly's own/],
  [{ MAYFLY_REGION: 'europe' }, 'MAYFLY_REGION', /is a group/],
  [{ MAYFLY_REGION: 'eu-frankfrut' }, 'MAYFLY_REGION', /did you mean eu-frankfurt\?/],
  [{ MAYFLY_REGIONS: 'us-iowa' }, 'MAYFLY_REGIONS', /does not allow the default region europe-west1/],
  [{ MAYFLY_COMMAND: 'preview' }, 'MAYFLY_COMMAND', /is not a slash and a word/],
  [{ MAYFLY_INSTANCE: 'Team A' }, 'MAYFLY_INSTANCE', /not a label/],
  [{ MAYFLY_SECRET_KEY: 'c2hvcnQ=' }, 'MAYFLY_SECRET_KEY', /base64 of 32 bytes/],
  [{ REDIS_URL: 'unix://run/redis.sock' }, 'REDIS_URL', /starts with redis/],
  [{ REDIS_URL: 'http://cache' }, 'REDIS_URL', /starts with redis/],
  [{ MAYFLY_TLL: '3d' }, 'MAYFLY_TLL', /did you mean MAYFLY_TTL\?/],
  [{ MAYFLY_QUUX: '1' }, 'MAYFLY_QUUX', /is not a setting of Mayfly$/],
  [{ LOG_LEVEL: 'loud' }, 'LOG_LEVEL', /not one of trace/],
  [{ WEBHOOK_SECRET: 'development' }, 'WEBHOOK_SECRET', /everybody knows/],
  [{ WEBHOOK_SECRET: 'a'.repeat(31) }, 'WEBHOOK_SECRET', /has 31 characters/],
  [{ WEBHOOK_SECRET: '' }, 'WEBHOOK_SECRET', /set but empty/],
  [{ APP_ID: 'my-app' }, 'APP_ID', /whole number/],
  [{ PRIVATE_KEY: 'not a key' }, 'PRIVATE_KEY', /not the PEM/],
  [{ PRIVATE_KEY_PATH: '/key' }, 'PRIVATE_KEY', /both set/],
  [{ PRIVATE_KEY: undefined, PRIVATE_KEY_PATH: '/no/such.pem' }, 'PRIVATE_KEY_PATH', /cannot be read \(ENOENT\)/],
  [{ GITHUB_CLIENT_ID: 'Iv1.0' }, 'GITHUB_CLIENT_SECRET', /half set/],
  [{ GITHUB_API_URL: 'ftp://x' }, 'GITHUB_API_URL', /not an http/],
  [{ ...gitlab, GITLAB_WEBHOOK_SECRET: undefined }, 'GITLAB_WEBHOOK_SECRET', /GitLab is half set/],
  [{ ...gitlab, GITLAB_SIGNING_TOKEN: 'whsec_AAAA' }, 'GITLAB_SIGNING_TOKEN', /24 bytes/],
  [{ ...gitlab, GITLAB_SIGNING_TOKEN: `whsec_${KEY} ${KEY}` }, 'GITLAB_SIGNING_TOKEN', /several such/],
  [{ ...gitlab, GITLAB_SIGNING_TOKEN: `whsec_${KEY}é` }, 'GITLAB_SIGNING_TOKEN', /base64/],
];
test.each(BAD)('%o is told as a problem of %s', (environment, name, wrong) => {
  expect(problemsOf({ ...github, ...environment })).toContainEqual({
    name,
    wrong: expect.stringMatching(wrong),
    example: expect.stringMatching(/\S/),
  });
});

describe('a group', () => {
  test.each(['APP_ID', 'PRIVATE_KEY', 'WEBHOOK_SECRET'])('without %s is half set', (name) => {
    expect(named({ ...github, [name]: undefined })).toEqual([name]);
  });
  test('of either forge is enough, and GitLab is known by either of its secrets', () => {
    const { GITLAB_WEBHOOK_SECRET: _, ...signed } = { ...gitlab, GITLAB_URL: 'https://acme.dev/gitlab/' };
    expect(loadConfig(gitlab)).toMatchObject({ github: null, gitlab: { webhookSecret: SECRET, signingTokens: [] } });
    const config = loadConfig({ ...signed, GITLAB_SIGNING_TOKEN: `whsec_${KEY}  whsec_${KEY}` });
    expect(config.gitlab).toEqual({
      ...{ url: 'https://acme.dev/gitlab', token: 'glpat-1', webhookSecret: null, signingTokens: [`whsec_${KEY}`, `whsec_${KEY}`] },
    });
    expect(loadConfig({ ...github, ...gitlab })).toMatchObject({ github: { appId: 7 }, gitlab: { token: 'glpat-1' } });
  });
  test('that is not there at all leaves it to be set up while Mayfly runs', () => {
    expect(loadConfig({})).toMatchObject({ github: null, gitlab: null, githubAddresses: { serverUrl: 'https://github.com' } });
  });
});

test.each([
  ['with its line ends written \\n', PEM.replaceAll('\n', '\\n')],
  ['as base64', Buffer.from(PEM).toString('base64')],
])('the private key may come %s', (_, key) => {
  expect(loadConfig({ ...github, PRIVATE_KEY: key }).github?.privateKey.trim()).toBe(PEM.trim());
});

test('the private key may be in a file', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'mayfly-config-'));
  try {
    const path = join(folder, 'key.pem');
    await writeFile(path, PEM);
    expect(loadConfig({ ...github, PRIVATE_KEY: undefined, PRIVATE_KEY_PATH: path }).github?.privateKey).toBe(PEM);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('every problem is told at once, as the operator reads it', () => {
  const environment = { MAYFLY_TLL: '3d', PORT: 'x', MAYFLY_MAX_SITES: 'many', WEBHOOK_SECRET: 'development' };
  expect(() => loadConfig(environment)).toThrowErrorMatchingInlineSnapshot(`
    [ConfigError: Mayfly cannot start with these settings:
      MAYFLY_TLL is not a setting of Mayfly; did you mean MAYFLY_TTL?
        for example: MAYFLY_TTL=…
      PORT "x" is not a whole number from 0 to 65535
        for example: PORT=3000
      MAYFLY_MAX_SITES "many" is not a whole number from 1 to 10000
        for example: MAYFLY_MAX_SITES=5
      PRIVATE_KEY is missing: the GitHub App is half set (or set PRIVATE_KEY_PATH)
        for example: PRIVATE_KEY_PATH=/etc/mayfly/app.private-key.pem
      WEBHOOK_SECRET is a word that everybody knows; make a secret of your own
        for example: WEBHOOK_SECRET=$(openssl rand -hex 32)
      APP_ID is missing: the GitHub App is half set
        for example: APP_ID=123456]
  `);
});

test('no problem ever quotes a secret', () => {
  const secrets = [
    'PRIVATE_KEY',
    'WEBHOOK_SECRET',
    'GITHUB_CLIENT_SECRET',
    'GITLAB_TOKEN',
    'GITLAB_WEBHOOK_SECRET',
    'GITLAB_SIGNING_TOKEN',
  ];
  const stores = [
    'MAYFLY_API_TOKEN',
    'MAYFLY_SECRET_KEY',
    'DATABASE_URL',
    'REDIS_URL',
    'MAYFLY_PREVIEW_DATABASE_URL',
    'PULUMI_BACKEND_URL',
  ];
  const canary = randomBytes(6).toString('hex');
  fc.assert(
    fc.property(fc.subarray([...secrets, ...stores], { minLength: 1 }), fc.string(), (names, noise) => {
      const environment = Object.fromEntries(names.map((name) => [name, `${noise}://u:${canary}@h`]));
      expect(JSON.stringify(problemsOf(environment))).not.toContain(canary);
    }),
  );
});
