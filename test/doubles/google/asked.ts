import type { IncomingMessage, ServerResponse } from 'node:http';
import type { GoogleCloud } from './cloud.ts';
import { CODES, GoogleError, type Status } from './faults.ts';
import type { Json } from './run-types.ts';

/** A request as it came in. `path` is raw: a `%2F` in it is part of a name. */
export type Asked = {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
  readonly request: IncomingMessage;
};
export type Answer = {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: Json | string | Buffer;
};
/** The answer of the API that knows the request; undefined where it is another's. `account` is whose access token came with it. */
export type Api = (asked: Asked, account: string) => Promise<Answer> | undefined;

/** Thrown where Google would answer something else than its usual error. */
export class Refused extends Error {
  readonly answer: Answer;
  constructor(answer: Answer) {
    super(`refused with ${answer.status}`);
    this.answer = answer;
  }
}
/** Thrown where the answer never arrives. */
export class Lost extends Error {}

/** `google.rpc.Status` as the REST APIs give it. */
export const errorBody = (status: Status, message: string, details: readonly Json[] = []): Json => ({
  error: { code: CODES[status].http, message, status, ...(details.length > 0 ? { details } : {}) },
});
export const errorAnswer = (error: GoogleError, details: readonly Json[] = []): Answer => ({
  status: error.http,
  body: errorBody(error.status, error.message, details),
});
/** What says which permission is missing, where Google says it. */
export const iamDenied = (service: string, permission: string, resource: string): Json => ({
  '@type': 'type.googleapis.com/google.rpc.ErrorInfo',
  reason: 'IAM_PERMISSION_DENIED',
  domain: service,
  metadata: { permission, resource },
});

/** Notes what no stand-in knows, and refuses it. */
export function unknownTo(cloud: GoogleCloud, what: string): Refused {
  cloud.unknown.push(what);
  return new Refused({ status: 400, body: errorBody('INVALID_ARGUMENT', `The stand-in does not know this: ${what}`) });
}

/** What befalls a call: planned faults, a region that is down, a permission that is missing. Returns what befalls it later on. */
export function befall(cloud: GoogleCloud, permission: string, region: string | null): { readonly lose: boolean; readonly later: Later } {
  if (region !== null) cloud.faults.check(region);
  const fault = cloud.faults.take(permission);
  if (fault?.kind === 'refuse') throw new GoogleError(fault.status, fault.message ?? 'Planned fault');
  const later = fault?.kind === 'fail' || fault?.kind === 'hang' ? fault : null;
  return { lose: fault?.kind === 'lose', later };
}
export type Later = { readonly kind: 'fail'; readonly status: Status; readonly message: string } | { readonly kind: 'hang' } | null;

export function send(response: ServerResponse, { status, headers = {}, body }: Answer): void {
  const isJson = typeof body === 'object' && !Buffer.isBuffer(body);
  const bytes = Buffer.isBuffer(body) ? body : Buffer.from(typeof body === 'string' ? body : `${JSON.stringify(body, null, 2)}\n`);
  const type = isJson ? { 'content-type': 'application/json; charset=UTF-8' } : {};
  response.writeHead(status, { ...type, 'content-length': String(bytes.length), ...headers });
  response.end(bytes);
}

/** One page of a list, by a token that leads to the next; the size is `most` unless a smaller one was asked for. */
export function pageOf<T>(
  items: readonly T[],
  asked: { readonly size: number | undefined; readonly token: string | undefined },
  most: number,
) {
  const from = asked.token ? Number(Buffer.from(asked.token, 'base64url').toString()) : 0;
  if (!Number.isSafeInteger(from)) throw new GoogleError('INVALID_ARGUMENT', 'Request contains an invalid argument.');
  const to = from + Math.min(asked.size && asked.size > 0 ? asked.size : most, most);
  const next = to < items.length ? { nextPageToken: Buffer.from(String(to)).toString('base64url') } : {};
  return { items: items.slice(from, to), next };
}
