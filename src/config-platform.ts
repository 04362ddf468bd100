import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { Config } from './config.ts';
import { type Parsed, quoted, type Reader } from './config-reader.ts';
import { regionsOf } from './site/region.ts';

/** One for the repository's own code, one for what comes from outside: they share nothing. */
export type ByTrust = { readonly trusted: string; readonly untrusted: string };

export type PlatformRegion = {
  /** Of source archives: `sources/<trust>/<site>/<key>.tar.gz`. */
  readonly bucket: string;
  /** Ids of Artifact Registry repositories. */
  readonly images: ByTrust;
  readonly caches: ByTrust;
  /** For Direct VPC egress. */
  readonly network: string;
  readonly subnetwork: string;
  /** `host:port` of the private PostgreSQL for previews; null: none there, `MAYFLY_PREVIEW_DATABASE_URL` is asked as it is. */
  readonly database: string | null;
};

/** What Mayfly needs in a Google Cloud project and did not make itself. Emails are of service accounts; nothing here is secret. */
export type Platform = {
  readonly project: string;
  /** The gate's identity, the only invoker of sites. */
  readonly gate: string;
  /** Without any role. */
  readonly runAs: ByTrust;
  readonly buildAs: ByTrust;
  readonly regions: Readonly<Record<string, PlatformRegion>>;
};

export type GoogleConfig = {
  readonly project: string;
  readonly platform: Platform;
  /** The file of Application Default Credentials, where there is one: Pulumi's children have neither our environment nor our home. */
  readonly credentials: string | null;
};
/** What encrypts the secrets in Pulumi's state; null: a passphrase derived from `MAYFLY_SECRET_KEY`. */
export type PulumiSecrets = { readonly passphrase: string } | { readonly provider: string } | null;

const PROJECT = /^(?:[a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]$/;
const EXAMPLE = 'MAYFLY_PLATFORM=/etc/mayfly/platform.json, written by: npm run platform -- outputs';

const text = (pattern: RegExp, what: string) => z.string().regex(pattern, `is not ${what}`);
const account = text(/^[^\s@]+@[^\s@]+\.gserviceaccount\.com$/, "a service account's email");
const byTrust = (of: z.ZodType<string>) =>
  z.strictObject({ trusted: of, untrusted: of }).refine(({ trusted, untrusted }) => trusted !== untrusted, {
    message: 'has the same for trusted and untrusted; what comes from a fork must have its own',
  });
const repository = text(/^[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?$/, "an Artifact Registry repository's id");
const network = text(/^[a-z0-9][a-z0-9/_.:-]*$/i, 'the name of a network');

const region = z.strictObject({
  bucket: text(/^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$/, "a bucket's name"),
  images: byTrust(repository),
  caches: byTrust(repository),
  network,
  subnetwork: network,
  database: text(/^(?:\[[0-9a-f:]+\]|[a-z0-9.-]+):[0-9]{1,5}$/i, 'host:port').nullable(),
});

const platform = z
  .strictObject({
    project: text(PROJECT, "a project's id"),
    gate: account,
    runAs: byTrust(account),
    buildAs: byTrust(account),
    regions: z.record(
      z.string().refine((name) => regionsOf(name).length === 1 && regionsOf(name)[0] === name, { message: 'is no region of Google’s' }),
      region,
    ),
  })
  .refine(({ gate, runAs, buildAs }) => ![runAs, buildAs].some(({ trusted, untrusted }) => gate === trusted || gate === untrusted), {
    message: "is what sites or builds run as, too; only the gate may have the gate's identity",
    path: ['gate'],
  });

/** The settings of target `gcp`; null on any other, where the same variables may be another program's. */
export function readGoogle(reader: Reader, target: Config['target']): GoogleConfig | null {
  if (target !== 'gcp') return null;
  const example = 'GOOGLE_CLOUD_PROJECT=acme-previews';
  const project = reader.parsed<string | null>({ name: 'GOOGLE_CLOUD_PROJECT', example, fallback: null }, (set) =>
    PROJECT.test(set) ? { value: set } : { wrong: `${quoted(set)} is not a project's id` },
  );
  const found = readPlatform(reader);
  const because = 'is missing: MAYFLY_TARGET is gcp';
  if (reader.text('GOOGLE_CLOUD_PROJECT') === undefined) reader.problem({ name: 'GOOGLE_CLOUD_PROJECT', wrong: because, example });
  if (reader.text('MAYFLY_PLATFORM') === undefined) reader.problem({ name: 'MAYFLY_PLATFORM', wrong: because, example: EXAMPLE });
  if (project === null || found === null) return null;
  if (found.project !== project) {
    const wrong = `describes the project ${quoted(found.project)}, and GOOGLE_CLOUD_PROJECT is ${quoted(project)}`;
    reader.problem({ name: 'MAYFLY_PLATFORM', wrong, example: EXAMPLE });
  }
  return { project, platform: found, credentials: findCredentials(reader) };
}

/** Where Google's own libraries look: the file that is named, or else what `gcloud auth application-default login` leaves at home. */
function findCredentials(reader: Reader): string | null {
  const named = reader.text('GOOGLE_APPLICATION_CREDENTIALS');
  if (named !== undefined) return named;
  const home = reader.text('HOME');
  const left = home === undefined ? null : join(home, '.config/gcloud/application_default_credentials.json');
  return left !== null && existsSync(left) ? left : null;
}

/** `PULUMI_CONFIG_PASSPHRASE` or `PULUMI_SECRETS_PROVIDER`, on target `gcp`. */
export function readPulumiSecrets(reader: Reader, target: Config['target']): PulumiSecrets {
  if (target !== 'gcp') return null;
  const example = 'PULUMI_SECRETS_PROVIDER=gcpkms://projects/acme-previews/locations/europe-west1/keyRings/mayfly/cryptoKeys/pulumi';
  const passphrase = reader.secret(
    { name: 'PULUMI_CONFIG_PASSPHRASE', example: 'PULUMI_CONFIG_PASSPHRASE=$(openssl rand -base64 32)' },
    16,
  );
  const provider = reader.parsed<string | null>({ name: 'PULUMI_SECRETS_PROVIDER', example, fallback: null }, (set) =>
    /^(?:gcpkms|awskms|azurekeyvault|hashivault):\/\/\S+$/.test(set)
      ? { value: set }
      : { wrong: 'is not an address that starts with gcpkms://… or another service for keys that Pulumi knows' },
  );
  if (reader.isSet('PULUMI_CONFIG_PASSPHRASE') && provider !== null) {
    reader.problem({ name: 'PULUMI_SECRETS_PROVIDER', wrong: 'and PULUMI_CONFIG_PASSPHRASE are both set; set one of them', example });
  }
  if (provider !== null) return { provider };
  return passphrase === null ? null : { passphrase };
}

/** From the JSON itself, or from the file that is named. */
function readPlatform(reader: Reader): Platform | null {
  const set = reader.text('MAYFLY_PLATFORM');
  if (set === undefined) return null;
  const tell = (wrong: string): null => {
    reader.problem({ name: 'MAYFLY_PLATFORM', wrong, example: EXAMPLE });
    return null;
  };
  const json = set.startsWith('{') ? { value: set } : readText(set);
  if ('wrong' in json) return tell(json.wrong);
  const raw = parseJson(json.value);
  if ('wrong' in raw) return tell(raw.wrong);
  const result = platform.safeParse(raw.value, { reportInput: true });
  if (result.success) return result.data;
  for (const issue of result.error.issues) for (const wrong of toWords(issue)) tell(wrong);
  return null;
}

function readText(path: string): Parsed<string> {
  try {
    return { value: readFileSync(path, 'utf8') };
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
    return { wrong: `names the file ${JSON.stringify(path)}, which cannot be read (${code})` };
  }
}

function parseJson(text: string): Parsed<unknown> {
  try {
    return { value: JSON.parse(text) };
  } catch {
    return { wrong: 'is not JSON' };
  }
}

/** Where it is and what it is: `at regions.europe-west1.bucket is missing`. */
function toWords(issue: z.core.$ZodIssue): readonly string[] {
  const at = (path: readonly PropertyKey[]): string => (path.length === 0 ? '' : `at ${path.map(String).join('.')} `);
  if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => `${at([...issue.path, key])}has what is not known there`);
  if (issue.code === 'invalid_key') return [`${at(issue.path)}is no region of Google's`];
  if (issue.code === 'invalid_type')
    return [`${at(issue.path)}${issue.input === undefined ? 'is missing' : `is not ${nounOf(issue.expected)}`}`];
  return [`${at(issue.path)}${issue.message}`];
}

const nounOf = (type: string): string => (type === 'string' ? 'text' : type === 'record' ? 'an object' : `an ${type}`);
