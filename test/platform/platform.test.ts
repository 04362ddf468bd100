import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { GRANTS, IDENTITIES, type Identity, SITES_PERMISSIONS } from '../../infra/platform/roles.ts';
import { loadConfig } from '../../src/config.ts';
import { gatePassword } from '../../src/derived.ts';
import type { Made } from '../doubles/google/platform/project.ts';
import { GATE_SETTINGS } from '../gate-settings.ts';
import { openPlatformWorld, type PlatformWorld, SETTINGS } from './world.ts';

// Each test runs the real engine several times over a hundred resources.
vi.setConfig({ testTimeout: 600_000 });

let w: PlatformWorld;
beforeAll(async () => {
  w = await openPlatformWorld();
});
afterAll(async () => {
  await w[Symbol.asyncDispose]();
  expect(w.served.unknown).toEqual([]);
});

const WIDER = `${SETTINGS.replace('[europe-west1]', '[eu-belgium, us-iowa]')}
zone: { name: acme-dev, make: acme.dev }
redis: 1
budget: { account: 012345-6789AB-CDEF01, amount: 200, currency: EUR }
settings: { MAYFLY_REPOSITORIES: 'acme/*', MAYFLY_COMMAND: /shop, APP_ID: '123456' }
secrets: { MAYFLY_API_TOKEN: api-token, PRIVATE_KEY: app-key, WEBHOOK_SECRET: app-webhook, GITLAB_TOKEN: gitlab-token, PULUMI_CONFIG_PASSPHRASE: passphrase }
`;

const of = (type: string): readonly Made[] => w.google.all().filter((one) => one.type === type);
const within = (value: unknown, ...path: readonly (string | number)[]): unknown =>
  path.reduce<unknown>((at, key) => (typeof at === 'object' && at !== null ? Reflect.get(at, key) : undefined), value);

/** Who has which role on what, as the project has it; Secret Manager's own agent apart. */
function granted(): readonly string[] {
  const accounts = new Map(IDENTITIES.map((identity) => [memberOf(identity), identity]));
  return w.google
    .all()
    .filter(({ type, inputs }) => 'member' in inputs && /[iI][aA][mM]Member$/.test(type) && !String(inputs.member).includes('gcp-sa-'))
    .map(({ inputs }) => {
      const { member, role, bucket, location, repository, secretId, serviceAccountId, condition } = inputs;
      const on = bucket ?? (repository && `${location}/${repository}`) ?? secretId ?? serviceAccountId ?? 'project';
      const below = condition === undefined ? '' : ` if ${within(condition, 'expression')}`;
      return `${accounts.get(String(member)) ?? member}: ${role} on ${on}${below}`;
    })
    .sort();
}

const memberOf = (identity: Identity): string => `serviceAccount:${accountOf(identity)}`;
function accountOf(identity: Identity): string {
  const found = of('gcp:serviceaccount/account:Account').find(({ inputs }) => inputs.displayName === `Mayfly ${identity}`);
  return String(found?.outputs.email);
}

/** The table, spelled out for the regions that there are. */
function wanted(regions: readonly string[], secrets: Readonly<Partial<Record<Identity, readonly string[]>>>): readonly string[] {
  return GRANTS.flatMap(({ to, role, scope }) => {
    const at = (on: string): string => `${to}: ${role === 'sites' ? 'projects/acme-previews/roles/mayfly.sites' : role} on ${on}`;
    if (scope.on === 'project') return [at('project')];
    if (scope.on === 'secrets') return (secrets[to] ?? []).map(at);
    if (scope.on === 'accounts') return scope.accounts.map((other) => at(`projects/acme-previews/serviceAccounts/${accountOf(other)}`));
    if (scope.on === 'buckets') {
      return regions.map((region) => {
        const bucket = `acme-previews-mayfly-${region}`;
        const path = `projects/_/buckets/${bucket}/objects/${scope.below}`;
        return `${at(bucket)}${scope.below === '' ? '' : ` if resource.name.startsWith("${path}")`}`;
      });
    }
    const names = scope.kinds.flatMap((kind) => scope.trusts.map((trust) => `mayfly-${kind}${trust === 'trusted' ? '' : '-fork'}`));
    return regions.flatMap((region) => names.map((name) => at(`${region}/${name}`)));
  }).sort();
}

test('preview of an empty project makes nothing, not even a stack', async () => {
  const said = await w.run(SETTINGS, 'preview');
  expect(said.errors).toBe('');
  expect(said.out).toMatch(/^\d+ to make, 0 as they should be\.$/m);
  expect(said.code).toBe(0);
  expect(w.google.deeds).toEqual([]);
  expect(await w.run(SETTINGS, 'outputs')).toEqual({
    code: 1,
    out: '',
    errors: 'There is no platform here yet: `npm run platform -- up` makes it.\n',
  });
});

test('an up that fails half way goes on where it stopped, with the same passwords and names', async () => {
  w.google.failNext('services/mayfly-web', 'Error 429: QUOTA_EXCEEDED services per region');
  const failed = await w.run(SETTINGS, 'up');
  expect(failed).toMatchObject({ code: 1, out: '' });
  expect(failed.errors).toContain('QUOTA_EXCEEDED');
  const once = () => [
    ...of('gcp:sql/databaseInstance:DatabaseInstance').map(({ id }) => id),
    ...of('gcp:sql/user:User').map(({ inputs }) => inputs.password),
    ...of('gcp:secretmanager/secretVersion:SecretVersion').map(({ inputs }) => inputs.secretData),
  ];
  const before = once();
  expect(before).toHaveLength(8);
  const done = await w.run(SETTINGS, 'up');
  expect(done.code).toBe(0);
  expect(done.errors).toMatch(/^\d+ made, \d+ as they should be\.$/m);
  expect(done.out).toMatchInlineSnapshot(`
    "control plane  https://mayfly.acme.dev
    previews       https://*.preview.acme.dev
    address        203.0.113.7

    Enter these in your DNS; the certificate comes some minutes after them:

    NAME                               TYPE   VALUE
    mayfly.acme.dev.                   A      203.0.113.7
    preview.acme.dev.                  A      203.0.113.7
    *.preview.acme.dev.                A      203.0.113.7
    _acme-challenge.mayfly.acme.dev.   CNAME  0123.4.authorize.certificatemanager.goog.
    _acme-challenge.preview.acme.dev.  CNAME  0123.4.authorize.certificatemanager.goog.
    "
  `);
  expect(once()).toEqual(before);
});

test('up again changes nothing', async () => {
  const before = w.google.deeds.length;
  const said = await w.run(SETTINGS, 'up');
  expect(said.errors).toMatch(/^Nothing was changed: \d+ resources are as they should be\.$/m);
  expect(w.google.deeds.slice(before)).toEqual([]);
});

test('every identity has the roles of the table and no other; sites have none', () => {
  const own = ['mayfly-secret-key', 'mayfly-database-url'];
  const secrets = { web: own, gate: ['mayfly-gate-database-url'], worker: [...own, 'mayfly-preview-database-url'] };
  expect(granted()).toEqual(wanted(['europe-west1'], secrets));
  expect(granted().filter((line) => line.startsWith('site-'))).toEqual([]);
  expect(of('gcp:projects/iAMCustomRole:IAMCustomRole').map(({ inputs }) => inputs.permissions)).toEqual([[...SITES_PERMISSIONS]]);
});

test('nothing is public, nothing is kept after it was deleted, and no secret stands where it can be read', () => {
  for (const { inputs } of of('gcp:storage/bucket:Bucket')) {
    expect(inputs).toMatchObject({
      publicAccessPrevention: 'enforced',
      uniformBucketLevelAccess: true,
      softDeletePolicy: { retentionDurationSeconds: 0 },
    });
  }
  for (const { inputs } of of('gcp:sql/databaseInstance:DatabaseInstance')) {
    expect(within(inputs, 'settings', 'ipConfiguration')).toMatchObject({ ipv4Enabled: false });
  }
  for (const { inputs } of of('gcp:cloudrunv2/service:Service')) {
    expect(inputs).toMatchObject({ ingress: 'INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER', defaultUriDisabled: true });
  }
  const secrets = of('gcp:secretmanager/secretVersion:SecretVersion').map(({ inputs }) => String(inputs.secretData));
  const passwords = secrets.flatMap((secret) => /:\/\/\w+:([^@]+)@/.exec(secret)?.[1] ?? (secret.includes('://') ? [] : [secret]));
  expect(new Set(passwords).size).toBe(4);
  const seen = w.google
    .all()
    .filter(({ type, inputs }) => !/SecretVersion|sql\/user/.test(type) && passwords.some((it) => JSON.stringify(inputs).includes(it)));
  expect(seen).toEqual([]);
});

test('nothing of the platform looks like a site’s, which reconciling would remove', () => {
  const labelled = w.google.all().filter(({ inputs }) => JSON.stringify(inputs).includes('"mayfly-platform":"mayfly"'));
  expect(labelled.length).toBeGreaterThan(15);
  expect(w.google.all().filter(({ inputs }) => JSON.stringify(inputs).includes('"mayfly-instance"'))).toEqual([]);
});

test('what the parts of Mayfly are given is what Mayfly takes', async () => {
  const outputs = await w.run(SETTINGS, 'outputs');
  expect(outputs.code).toBe(0);
  const given = givenTo();
  for (const environment of Object.values(given)) {
    const config = loadConfig(environment);
    expect(config.google?.platform).toEqual(JSON.parse(outputs.out));
    expect(config.roles.has('gate') ? config.gatePort : config.port).toBe(Number(environment.PORT ?? 3000));
  }
  const key = Buffer.from(given.web?.MAYFLY_SECRET_KEY ?? '', 'base64');
  const url = new URL(given.web?.DATABASE_URL ?? '');
  expect([url.username, url.pathname]).toEqual(['mayfly', '/mayfly']);
  [url.username, url.password] = ['mayfly_gate', gatePassword(key)];
  expect(given.gate?.DATABASE_URL).toBe(url.href);
  expect(Object.keys(given.gate ?? {}).sort()).toEqual([...GATE_SETTINGS, 'PORT'].sort());
  expect(JSON.parse(outputs.out)).toMatchInlineSnapshot(`
    {
      "buildAs": {
        "trusted": "mayfly-build@acme-previews.iam.gserviceaccount.com",
        "untrusted": "mayfly-build-fork@acme-previews.iam.gserviceaccount.com",
      },
      "gate": "mayfly-gate@acme-previews.iam.gserviceaccount.com",
      "project": "acme-previews",
      "regions": {
        "europe-west1": {
          "bucket": "acme-previews-mayfly-europe-west1",
          "caches": {
            "trusted": "mayfly-caches",
            "untrusted": "mayfly-caches-fork",
          },
          "database": "10.82.0.41:5432",
          "images": {
            "trusted": "mayfly-images",
            "untrusted": "mayfly-images-fork",
          },
          "network": "mayfly",
          "subnetwork": "mayfly-sites-europe-west1",
        },
      },
      "runAs": {
        "trusted": "mayfly-site@acme-previews.iam.gserviceaccount.com",
        "untrusted": "mayfly-site-fork@acme-previews.iam.gserviceaccount.com",
      },
    }
  `);
});

/** The environment of each part, by its name. */
function givenTo(): Readonly<Record<string, Readonly<Record<string, string>>>> {
  const services = [...of('gcp:cloudrunv2/service:Service'), ...of('gcp:cloudrunv2/workerPool:WorkerPool')];
  expect(services).toHaveLength(3);
  const given = services.map(({ inputs }) => {
    const envs = within(inputs, 'template', 'containers', 0, 'envs');
    const port = within(inputs, 'template', 'containers', 0, 'ports', 'containerPort');
    const variables = (Array.isArray(envs) ? envs : []).map((env): readonly [string, string] => [
      env.name,
      env.value ?? secretOf(String(within(env, 'valueSource', 'secretKeyRef', 'secret'))),
    ]);
    const own = [...variables, ...(port === undefined ? [] : [['PORT', String(port)] as const])];
    return [String(inputs.name).replace('mayfly-', ''), Object.fromEntries(own)] as const;
  });
  return Object.fromEntries(given);
}

function secretOf(id: string): string {
  const version = of('gcp:secretmanager/secretVersion:SecretVersion').find(({ inputs }) => String(inputs.secret).endsWith(`/${id}`));
  return String(version?.inputs.secretData);
}

test('another region, a zone, a Redis and a budget are shown, then added; what stands stays', async () => {
  const before = w.google.deeds.length;
  const shown = await w.run(WIDER, 'preview');
  expect(shown.out).toMatch(/gcp:storage:Bucket bucket-us-central1 create/);
  expect(w.google.deeds.slice(before)).toEqual([]);
  const done = await w.run(WIDER, 'up');
  expect({ code: done.code, out: done.out }).toMatchInlineSnapshot(`
    {
      "code": 0,
      "out": "control plane  https://mayfly.acme.dev
    previews       https://*.preview.acme.dev
    address        203.0.113.7

    Tell the domain's registrar these name servers:

    ns-cloud-a1.googledomains.com.
    ns-cloud-a2.googledomains.com.
    ",
    }
  `);
  const deeds = w.google.deeds.slice(before);
  expect(deeds.filter((deed) => deed.startsWith('delete'))).toEqual([]);
  expect(deeds.filter((deed) => deed.startsWith('update')).map((deed) => deed.split('/').at(-1))).toEqual(
    expect.arrayContaining(['mayfly-web', 'mayfly-gate', 'mayfly-worker']),
  );
  const shared = ['mayfly-secret-key', 'mayfly-database-url', 'mayfly-redis-url', 'app-key', 'app-webhook', 'gitlab-token'];
  const secrets = {
    web: [...shared, 'api-token'],
    gate: ['mayfly-gate-database-url'],
    worker: [...shared, 'mayfly-preview-database-url', 'passphrase'],
  };
  expect(granted()).toEqual(wanted(['europe-west1', 'us-central1'], secrets));
  const chosen = ['MAYFLY_REPOSITORIES', 'MAYFLY_COMMAND', 'APP_ID'];
  const seen = Object.entries(givenTo()).map(([part, given]) => [part, chosen.filter((variable) => variable in given)]);
  expect(Object.fromEntries(seen)).toEqual({ web: chosen, gate: ['MAYFLY_COMMAND'], worker: chosen });
});

test('a protected database is not destroyed, and without a person to ask nothing is', async () => {
  const guarded = WIDER.replace('protected: false', 'protected: true');
  expect(await w.run(guarded, 'destroy', '--yes')).toMatchObject({
    code: 1,
    errors: expect.stringContaining('The database of mayfly is protected'),
  });
  expect(await w.run(WIDER, 'destroy')).toEqual({
    code: 1,
    out: '',
    errors: 'There is nobody to ask here for the project’s name: give --yes.\n',
  });
});

test('destroy removes everything that it can, says what has to wait, and leaves nothing the second time', async () => {
  const [network] = of('gcp:compute/subnetwork:Subnetwork').filter(({ id }) => id.includes('sites'));
  w.google.servesFrom.add(network?.id ?? '');
  const first = await w.run(WIDER, 'destroy', '--yes');
  expect(first.code).toBe(1);
  expect(first.errors).toContain('Cloud Run gives the addresses of a subnetwork back within two hours of its last service.');
  w.google.servesFrom.clear();
  const second = await w.run(WIDER, 'destroy', '--yes');
  expect(second.code).toBe(0);
  expect(second.errors).toContain('Everything is removed.');
  expect(w.google.all()).toEqual([]);
  expect(await w.run(WIDER, 'destroy', '--yes')).toEqual({ code: 0, out: '', errors: 'There is no platform here: nothing to remove.\n' });
});
