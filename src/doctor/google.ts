import { existsSync } from 'node:fs';
import { join } from 'node:path';
import gcpPackage from '@pulumi/gcp/package.json' with { type: 'json' };
import { z } from 'zod';
import type { Config } from '../config.ts';
import type { GoogleConfig, Platform } from '../config-platform.ts';
import { PULUMI_PATH } from '../provision/pulumi-cli.ts';
import type { Google } from '../provision/targets/gcp/google.ts';
import { sitesRoleIn } from '../provision/targets/gcp/run-attempts.ts';
import { lookAtServer } from '../provision/targets/look-at-server.ts';
import { examined, type Finding, fail, ok, warn } from './finding.ts';
import { BUCKET_PERMISSIONS, PROJECT_PERMISSIONS, REPOSITORY_PERMISSIONS, type Resource, resourcePath } from './google-permissions.ts';

/** What is looked at, and with what. `endpoint` and `path`: of tests, in place of each API's own address and of the engine's PATH. */
export type GoogleLook = { readonly google: Google; readonly endpoint: URL | null; readonly path?: string };

const UP = 'Run npm run platform -- up with the settings of this Mayfly, then outputs into MAYFLY_PLATFORM.';
const CREDENTIALS =
  'Run as the service account of this role on Google Cloud; elsewhere: gcloud auth application-default login --impersonate-service-account=ACCOUNT.';

/** What Mayfly rests on in the project, as far as this process needs it. Without credentials nothing else can be looked at. */
export async function examineGoogle(config: Config, look: GoogleLook): Promise<readonly Finding[]> {
  const { google: settings, roles } = config;
  if (settings === null) return [];
  const identity = await examined('Google credentials', CREDENTIALS, () => credentials(config, settings, look));
  if (identity.some(({ state }) => state === 'fail')) return identity;
  const looks = roles.has('worker')
    ? [
        asked('Google project', 'See to GOOGLE_CLOUD_PROJECT.', () => project(settings, look)),
        asked('service accounts', UP, () => accounts(settings.platform, look)),
        ...config.regions.map((region) => asked(`region ${region}`, UP, () => place(settings, region, look))),
        ...config.regions.map((region) => examined(`databases in ${region}`, DATABASE_TODO, () => database(config, settings, region))),
        examined('gcp plugin', 'Set MAYFLY_DATA_DIR to a folder that Mayfly may read.', async () => [
          plugin(config, look.path ?? PULUMI_PATH),
        ]),
      ]
    : [];
  return [...identity, ...(await Promise.all(looks)).flat()];
}

/** Thrown where an API that only we would ask is not enabled: Mayfly itself does without. */
class NotEnabled extends Error {
  override readonly name = 'NotEnabled';
}

/** What cannot be told is no failure. */
const asked = (what: string, todo: string, look: () => Promise<readonly Finding[]>): Promise<readonly Finding[]> =>
  examined(what, todo, () =>
    look().catch((error: unknown) => {
      if (!(error instanceof NotEnabled)) throw error;
      const { message: api } = error;
      return [warn(what, `what we may cannot be told: the API ${api} is not enabled`, `To be told: gcloud services enable ${api}`)];
    }),
  );

async function credentials({ roles, previewUrl }: Config, { platform }: GoogleConfig, { google }: GoogleLook): Promise<readonly Finding[]> {
  const what = 'Google credentials';
  await google.auth.getAccessToken();
  const account = await google.account();
  const known = account === null ? warn(what, "they work, and are a person's own", CREDENTIALS) : ok(what, `they work, as ${account}`);
  if (!roles.has('gate')) return [known];
  const client = await google.auth.getIdTokenClient(previewUrl.origin);
  await client.idTokenProvider.fetchIdToken(previewUrl.origin);
  const gate = "gate's identity";
  if (account === platform.gate) return [known, ok(gate, 'it can prove that it is the gate')];
  const found = `it is ${account ?? 'a person'}, and sites let in ${platform.gate} alone`;
  return [known, fail(gate, found, 'Run the gate as that account, or see to `gate` in MAYFLY_PLATFORM.')];
}

async function project({ project: id }: GoogleConfig, look: GoogleLook): Promise<readonly Finding[]> {
  const lacking = await lackingOn(look, { kind: 'project', project: id }, Object.values(PROJECT_PERMISSIONS).flat());
  if (lacking === 'missing') return [fail('Google project', `${id} is not there, or not for us`, 'See to GOOGLE_CLOUD_PROJECT.')];
  if (lacking.length === 0) return [ok('Google project', `${id}, with what the worker needs`)];
  const roles = Object.entries(PROJECT_PERMISSIONS).filter(([, permissions]) => permissions.some((one) => lacking.includes(one)));
  const account = (await look.google.account()) ?? 'ACCOUNT';
  const grant = `gcloud projects add-iam-policy-binding ${id} --member=serviceAccount:${account} --role=ROLE`;
  const names = roles.map(([role]) => (role === 'sites' ? sitesRoleIn(id) : role)).join(', ');
  return [fail('Google project', `lacks ${lacking.join(', ')}`, `Run npm run platform -- up, or grant ${names} by: ${grant}`)];
}

/** Builds and sites are started as these. */
async function accounts({ runAs, buildAs }: Platform, look: GoogleLook): Promise<readonly Finding[]> {
  const what = 'service accounts';
  const all = [runAs.trusted, runAs.untrusted, buildAs.trusted, buildAs.untrusted];
  const looked = await Promise.all(
    all.map(async (email) => ({ email, lacking: await lackingOn(look, { kind: 'account', email }, ['iam.serviceAccounts.actAs']) })),
  );
  const gone = looked.filter(({ lacking }) => lacking === 'missing').map(({ email }) => email);
  if (gone.length > 0) return [fail(what, `${gone.join(', ')} not there, or not for us`, UP)];
  const closed = looked.filter(({ lacking }) => lacking.length > 0).map(({ email }) => email);
  if (closed.length === 0) return [ok(what, 'all four may be used')];
  return [fail(what, `may not act as ${closed.join(', ')}`, `${UP} It grants roles/iam.serviceAccountUser on each.`)];
}

/** What a region's builds and images need. */
async function place({ project: id, platform }: GoogleConfig, region: string, look: GoogleLook): Promise<readonly Finding[]> {
  const what = `region ${region}`;
  const described = platform.regions[region];
  if (described === undefined) return [fail(what, 'MAYFLY_PLATFORM does not describe it', UP)];
  const { bucket, images, caches } = described;
  const repositories = [images.trusted, images.untrusted, caches.trusted, caches.untrusted];
  const looked = await Promise.all([
    lackingOn(look, { kind: 'bucket', bucket }, BUCKET_PERMISSIONS).then((lacking) => ({ name: `bucket ${bucket}`, lacking })),
    ...repositories.map(async (repository) => {
      const resource: Resource = { kind: 'repository', project: id, region, repository };
      return { name: `repository ${repository}`, lacking: await lackingOn(look, resource, REPOSITORY_PERMISSIONS) };
    }),
  ]);
  const gone = looked.filter(({ lacking }) => lacking === 'missing').map(({ name }) => name);
  if (gone.length > 0) return [fail(what, `${gone.join(', ')} not there, or not for us`, UP)];
  const closed = looked.flatMap(({ name, lacking }) =>
    lacking === 'missing' || lacking.length === 0 ? [] : [`${lacking.join(', ')} on ${name}`],
  );
  return closed.length === 0 ? [ok(what, 'bucket and repositories are there')] : [fail(what, `lacks ${closed.join('; ')}`, UP)];
}

const DATABASE_TODO = 'See to MAYFLY_PREVIEW_DATABASE_URL; a private address answers in the network of its region alone.';
/** A small shared server has room for so few sites that people notice. */
const FEW_CONNECTIONS = 100;

async function database({ previewDatabaseUrl }: Config, { platform }: GoogleConfig, region: string): Promise<readonly Finding[]> {
  const what = `databases in ${region}`;
  if (previewDatabaseUrl === null)
    return [warn(what, 'there is no server for them', 'Sites that ask for a database fail: set MAYFLY_PREVIEW_DATABASE_URL.')];
  const url = new URL(previewDatabaseUrl);
  const server = platform.regions[region]?.database ?? null;
  if (server !== null) url.host = server;
  const { mayMake, connections } = await lookAtServer(url.href);
  if (!mayMake) return [fail(what, 'its user may not make databases and roles', 'Give it CREATEDB and CREATEROLE.')];
  const found = `${url.host} answers, with ${connections} connections`;
  return connections < FEW_CONNECTIONS ? [warn(what, found, 'Each site may take 20: a larger server has more.')] : [ok(what, found)];
}

/** Pulumi's plugin for Google Cloud, where its children look: what is on their PATH comes before what is in the folder. */
function plugin({ dataDir }: Config, path: string): Finding {
  const { version } = gcpPackage;
  const onPath = path.split(':').map((folder) => join(folder, 'pulumi-resource-gcp'));
  const found = onPath.find((file) => existsSync(file));
  if (found !== undefined) return ok('gcp plugin', found);
  const folder = join(dataDir, 'pulumi/home/plugins', `resource-gcp-v${version}`);
  if (existsSync(folder)) return ok('gcp plugin', version);
  return warn('gcp plugin', `${version} is not here yet`, 'The first launch has Pulumi fetch it, which takes the internet and a minute.');
}

const granted = z.object({ permissions: z.array(z.string()).optional() });

/** Which of the permissions we lack on it; `missing`: it is not there, or nobody tells us. */
async function lackingOn(
  { google, endpoint }: GoogleLook,
  resource: Resource,
  permissions: readonly string[],
): Promise<readonly string[] | 'missing'> {
  const { host, method, path } = resourcePath(resource, permissions);
  const url = new URL(path, endpoint ?? `https://${host}`).href;
  const body = method === 'POST' ? { data: { permissions } } : {};
  const answer = await google.auth.request({ url, method, ...body, responseType: 'json', retry: false, validateStatus: () => true });
  if (answer.status === 403 || answer.status === 404) {
    const disabled = /has not been used in project|it is disabled/.test(JSON.stringify(answer.data));
    if (disabled) throw new NotEnabled(host);
    return 'missing';
  }
  if (answer.status !== 200) throw new Error(`${host} answers ${answer.status}`);
  const has = granted.parse(answer.data).permissions ?? [];
  return permissions.filter((permission) => !has.includes(permission));
}
