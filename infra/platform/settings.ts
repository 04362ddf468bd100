import * as gcp from '@pulumi/gcp';
import { type Input, type Resource, secret } from '@pulumi/pulumi';
import type { Databases } from './databases.ts';
import type { Ground } from './ground.ts';
import type { Identities } from './identities.ts';
import type { NameKey } from './names.ts';
import type { Redis } from './redis.ts';
import type { Identity } from './roles.ts';

/** Who runs as part of Mayfly and reads settings. */
export type Part = Extract<Identity, 'web' | 'gate' | 'worker'>;

/** A variable whose value is in Secret Manager: `secret` is the id there. */
export type SecretSetting = {
  readonly variable: string;
  readonly secret: Input<string>;
  readonly version: Input<string>;
  readonly for: readonly Part[];
};

export type Settings = {
  readonly secrets: readonly SecretSetting[];
  /** Granted, so that who reads them can start. */
  readonly readable: readonly Resource[];
};

const EVERYBODY: readonly Part[] = ['web', 'gate', 'worker'];
/** Hostile sites' traffic goes through the gate, so it has nothing that speaks for Mayfly to forges, to Google or in the database. */
const NOT_THE_GATE: readonly Part[] = ['web', 'worker'];
/** Who reads a setting that the operator chose, where that is not `NOT_THE_GATE`. */
const READERS: Readonly<Record<string, readonly Part[]>> = {
  LOG_LEVEL: EVERYBODY,
  MAYFLY_COMMAND: EVERYBODY,
  MAYFLY_DATA_DIR: EVERYBODY,
  NODE_EXTRA_CA_CERTS: EVERYBODY,
  NODE_OPTIONS: EVERYBODY,
  TZ: EVERYBODY,
  MAYFLY_API_TOKEN: ['web'],
  GITHUB_CLIENT_ID: ['web'],
  GITHUB_CLIENT_SECRET: ['web'],
  PULUMI_BACKEND_URL: ['worker'],
  PULUMI_CONFIG_PASSPHRASE: ['worker'],
  PULUMI_SECRETS_PROVIDER: ['worker'],
};
export const readersOf = (variable: string): readonly Part[] => READERS[variable] ?? NOT_THE_GATE;

const ROTATION_SECONDS = 90 * 86_400;

/** Google never deletes a key ring, so each generation has one of its own. It costs nothing. */
export function declareKeyRing({ plan, name, after }: Ground): gcp.kms.KeyRing {
  return new gcp.kms.KeyRing('key-ring', { project: plan.project, name: name('key-ring'), location: plan.places.home }, after());
}

/** The key that Secret Manager encrypts with, used by Secret Manager and nobody else. */
function declareKey({ plan, labels, name, after }: Ground, ring: gcp.kms.KeyRing): { key: gcp.kms.CryptoKey; usable: Resource } {
  const key = new gcp.kms.CryptoKey(
    'key',
    { name: name('key'), keyRing: ring.id, purpose: 'ENCRYPT_DECRYPT', rotationPeriod: `${ROTATION_SECONDS}s`, labels },
    after(),
  );
  const manager = new gcp.projects.ServiceIdentity(
    'secret-manager',
    { project: plan.project, service: 'secretmanager.googleapis.com' },
    after(ring),
  );
  const role = 'roles/cloudkms.cryptoKeyEncrypterDecrypter';
  const usable = new gcp.kms.CryptoKeyIAMMember('key-secret-manager', { cryptoKeyId: key.id, role, member: manager.member }, after());
  return { key, usable };
}

type Stored = {
  readonly id: string;
  readonly name: NameKey;
  readonly variable: string;
  readonly value: Input<string>;
  readonly for: readonly Part[];
};

/** Mayfly's own settings in Secret Manager, at home alone. Sites have none there: their account could read nothing. */
export function declareSettings(
  ground: Ground,
  ring: gcp.kms.KeyRing,
  from: { readonly identities: Identities; readonly databases: Databases; readonly redis: Redis | null },
): Settings {
  const { key, usable } = declareKey(ground, ring);
  const { databases, redis } = from;
  const { kept, mayfly } = ground.plan;
  const stored: readonly Stored[] = [
    { id: 'secret-key', name: 'key-secret', variable: 'MAYFLY_SECRET_KEY', value: secret(kept.secretKey), for: NOT_THE_GATE },
    { id: 'database-url', name: 'database-secret', variable: 'DATABASE_URL', value: databases.url, for: NOT_THE_GATE },
    { id: 'gate-database-url', name: 'gate-database-secret', variable: 'DATABASE_URL', value: databases.gateUrl, for: ['gate'] },
    {
      id: 'preview-database-url',
      name: 'preview-database-secret',
      variable: 'MAYFLY_PREVIEW_DATABASE_URL',
      value: databases.previewUrl,
      for: ['worker'],
    },
    ...(redis === null
      ? []
      : [{ id: 'redis-url', name: 'redis-secret', variable: 'REDIS_URL', value: redis.url, for: NOT_THE_GATE } as const]),
  ];
  const made = stored.map((one) => declareSecret(ground, one, { key, usable }));
  const given = Object.entries(mayfly.secrets).map(([variable, id]) => ({
    variable,
    secret: id,
    version: 'latest',
    for: readersOf(variable),
  }));
  const secrets = [...made, ...given];
  const readable = secrets.flatMap((one) => declareReaders(ground, one, from.identities));
  return { secrets, readable };
}

function declareSecret(
  { plan, labels, name, after }: Ground,
  stored: Stored,
  { key, usable }: { readonly key: gcp.kms.CryptoKey; readonly usable: Resource },
): SecretSetting {
  const replica = { location: plan.places.home, customerManagedEncryption: { kmsKeyName: key.id } };
  const made = new gcp.secretmanager.Secret(
    `secret-${stored.id}`,
    {
      project: plan.project,
      secretId: name(stored.name),
      replication: { userManaged: { replicas: [replica] } },
      deletionProtection: false,
      labels,
    },
    after(usable),
  );
  const version = new gcp.secretmanager.SecretVersion(`version-${stored.id}`, { secret: made.id, secretData: stored.value }, after());
  // By its number: a changed setting is a new revision of whoever reads it.
  return { variable: stored.variable, secret: made.secretId, version: version.version, for: stored.for };
}

function declareReaders({ plan, after }: Ground, setting: SecretSetting, { accounts }: Identities): readonly Resource[] {
  return setting.for.map((part) => {
    const props = { project: plan.project, secretId: setting.secret, role: 'roles/secretmanager.secretAccessor' };
    const id = `${part}-secretAccessor-${setting.variable.toLowerCase().replaceAll('_', '-')}`;
    return new gcp.secretmanager.SecretIamMember(id, { ...props, member: accounts[part].member }, after());
  });
}
