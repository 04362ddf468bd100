import { type Answer, type Api, type Asked, befall, Lost, pageOf, unknownTo } from './asked.ts';
import type { Bucket, GoogleCloud } from './cloud.ts';
import { GoogleError } from './faults.ts';
import type { Json } from './run-types.ts';
import { checkGeneration, crc32c, md5, objectJson, refused, storageError } from './storage-objects.ts';
import { openUploads } from './storage-uploads.ts';

/** What every method takes: https://cloud.google.com/storage/docs/json_api/v1/parameters. */
const COMMON = ['alt', 'fields', 'prettyPrint', 'userProject', 'projection'];
const PAGES = ['maxResults', 'pageToken', 'prefix'];
const PRECONDITIONS = ['generation', 'ifGenerationMatch'];
/** Objects and buckets of a page at most. */
const MOST = 1000;

type Route = {
  readonly verb: string;
  readonly path: RegExp;
  readonly permission: string;
  readonly query: readonly string[];
  readonly answer: Handler;
};
type Handler = (came: { readonly asked: Asked; readonly bucket: string; readonly object: string }) => Answer;

/** Cloud Storage's JSON API: buckets as they are, objects written, read, listed and deleted. */
export function openStorage(cloud: GoogleCloud, origin: () => string): Api {
  const uploads = openUploads(cloud, origin);
  const bucketOf = (name: string): Bucket => {
    const bucket = cloud.buckets.get(name);
    if (!bucket) throw refused(404, 'notFound', 'The specified bucket does not exist.');
    return bucket;
  };
  const objectOf = (name: string, object: string, query: URLSearchParams) => {
    const found = bucketOf(name).objects.get(object);
    const generation = query.get('generation');
    if (!found || (generation !== null && generation !== String(found.generation)))
      throw refused(404, 'notFound', `No such object: ${name}/${object}`);
    return found;
  };
  const listObjects: Handler = ({ asked: { query }, bucket }) => {
    const own = bucketOf(bucket);
    const names = [...own.objects.keys()].filter((name) => name.startsWith(query.get('prefix') ?? '')).sort();
    const { items, next } = pageOf(
      names,
      { size: Number(query.get('maxResults') ?? MOST), token: query.get('pageToken') ?? undefined },
      MOST,
    );
    const found = items.flatMap((name) => {
      const object = own.objects.get(name);
      return object ? [objectJson(own, name, object, origin())] : [];
    });
    return ok({ kind: 'storage#objects', ...next, ...(found.length > 0 ? { items: found } : {}) });
  };
  const getObject: Handler = ({ asked: { query }, bucket, object }) => {
    const found = objectOf(bucket, object, query);
    checkGeneration(found, query);
    if (query.get('alt') !== 'media') return ok(objectJson(bucketOf(bucket), object, found, origin()));
    const hashes = `crc32c=${crc32c(found.bytes)},md5=${md5(found.bytes)}`;
    const headers = { 'x-goog-hash': hashes, 'x-goog-generation': String(found.generation), 'x-goog-stored-content-encoding': 'identity' };
    return { status: 200, headers: { 'content-type': found.contentType, ...headers }, body: found.bytes };
  };
  const deleteObject: Handler = ({ asked: { query }, bucket, object }) => {
    checkGeneration(objectOf(bucket, object, query), query);
    bucketOf(bucket).objects.delete(object);
    return { status: 204, body: '' };
  };
  const listBuckets: Handler = ({ asked: { query } }) => {
    if (query.get('project') !== cloud.project) throw refused(403, 'forbidden', 'The project is another one.');
    const all = [...cloud.buckets.values()].filter(({ name }) => name.startsWith(query.get('prefix') ?? ''));
    const { items, next } = pageOf(
      all,
      { size: Number(query.get('maxResults') ?? MOST), token: query.get('pageToken') ?? undefined },
      MOST,
    );
    return ok({ kind: 'storage#buckets', ...next, items: items.map(bucketJson) });
  };
  const routes: readonly Route[] = [
    { verb: 'GET', path: /^\/storage\/v1\/b$/, permission: 'storage.buckets.list', query: ['project', ...PAGES], answer: listBuckets },
    {
      verb: 'GET',
      path: /^\/storage\/v1\/b\/([^/]+)$/,
      permission: 'storage.buckets.get',
      query: [],
      answer: ({ bucket }) => ok(bucketJson(bucketOf(bucket))),
    },
    { verb: 'GET', path: /^\/storage\/v1\/b\/([^/]+)\/o$/, permission: 'storage.objects.list', query: PAGES, answer: listObjects },
    { verb: 'GET', path: OBJECT, permission: 'storage.objects.get', query: PRECONDITIONS, answer: getObject },
    { verb: 'DELETE', path: OBJECT, permission: 'storage.objects.delete', query: PRECONDITIONS, answer: deleteObject },
    { verb: 'POST', path: UPLOAD, permission: 'storage.objects.create', query: uploads.query, answer: uploads.start },
    { verb: 'PUT', path: UPLOAD, permission: 'storage.objects.create', query: uploads.query, answer: uploads.go },
  ];
  return (asked, account) =>
    /^(\/upload|\/download)?\/storage\/v1\//.test(asked.path) ? answered(cloud, routes, asked, account) : undefined;
}
const OBJECT = /^(?:\/download)?\/storage\/v1\/b\/([^/]+)\/o\/([^/]+)$/;
const UPLOAD = /^\/upload\/storage\/v1\/b\/([^/]+)\/o$/;
const ok = (body: Json): Answer => ({ status: 200, body });

async function answered(cloud: GoogleCloud, routes: readonly Route[], asked: Asked, account: string): Promise<Answer> {
  const what = `${asked.method} ${asked.path}`;
  for (const route of routes) {
    const match = route.verb === asked.method ? route.path.exec(asked.path) : null;
    if (!match) continue;
    const strange = [...asked.query.keys()].filter((name) => ![...COMMON, ...route.query].includes(name));
    if (strange.length > 0) throw unknownTo(cloud, `${what} with the query ${strange.join(', ')}`);
    const bucket = decodeURIComponent(match[1] ?? '');
    return permitted(cloud, route, { asked, account, bucket, object: decodeURIComponent(match[2] ?? '') });
  }
  throw unknownTo(cloud, what);
}

type Came = Parameters<Handler>[0] & { readonly account: string };
function permitted(cloud: GoogleCloud, { permission, answer }: Route, came: Came): Answer {
  const location = cloud.buckets.get(came.bucket)?.location.toLowerCase() ?? null;
  try {
    if (cloud.faults.isWithheld(permission)) throw new GoogleError('PERMISSION_DENIED', denied(permission, came));
    const { lose } = befall(cloud, permission, location);
    const said = answer(came);
    if (lose) throw new Lost();
    return said;
  } catch (error) {
    if (!(error instanceof GoogleError)) throw error;
    return storageError(error.http, REASONS[error.http] ?? 'backendError', error.message);
  }
}
const REASONS: Readonly<Record<number, string>> = { 401: 'authError', 403: 'forbidden', 404: 'notFound', 429: 'rateLimitExceeded' };
const denied = (permission: string, { account }: Came): string =>
  `${account} does not have ${permission} access to the Google Cloud Storage ${/objects\.(?!list)/.test(permission) ? 'object' : 'bucket'}. Permission '${permission}' denied on resource (or it may not exist).`;

function bucketJson({ name, location, resource }: Bucket): Json {
  const own = { kind: 'storage#bucket', id: name, name, location, locationType: 'region', storageClass: 'STANDARD' };
  // What a bucket has unless it is told otherwise: deleted objects stay for a week, and cost.
  return { ...own, etag: 'CAE=', metageneration: '1', softDeletePolicy: { retentionDurationSeconds: '604800' }, ...resource };
}
