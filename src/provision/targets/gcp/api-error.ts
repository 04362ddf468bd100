import { GoogleAuthExceptionMessages } from 'google-auth-library/build/src/auth/googleauth.js';
import { z } from 'zod';
import { Fault } from '../../../site/problem.ts';
import { regionLabel } from '../../../site/region.ts';

/**
 * `missing`, `exists`: the thing that was asked for. `forbidden`: an identity lacks a role. `disabled`: the project does not have the API.
 * `limited`: a quota or a rate. `refused`: the project's state does not allow it. `unreachable`: no answer, or one that says to try again.
 */
export type ApiFailureKind =
  | 'missing'
  | 'exists'
  | 'forbidden'
  | 'disabled'
  | 'limited'
  | 'refused'
  | 'unreachable'
  | 'credentials'
  | 'other';
export type ApiFailure = {
  readonly kind: ApiFailureKind;
  /** Google's own, for people. */
  readonly words: string;
  /** The permission that is missing, where Google says which. */
  readonly permission: string | null;
};

/** What Google's clients throw: gax with the numbers of gRPC, Storage with those of HTTP, the credentials' library with either. */
const Thrown = z.object({
  message: z.string(),
  code: z.union([z.number(), z.string()]).optional(),
  reason: z.string().nullish(),
  errorInfoMetadata: z.record(z.string(), z.string()).nullish().catch(undefined),
  cause: z.unknown().optional(),
  response: z
    .object({ data: z.object({ error: z.string() }) })
    .optional()
    .catch(undefined),
});

const BY_STATUS: Readonly<Record<number, ApiFailureKind>> = {
  // https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto
  4: 'unreachable',
  5: 'missing',
  6: 'exists',
  7: 'forbidden',
  8: 'limited',
  9: 'refused',
  10: 'unreachable',
  13: 'unreachable',
  14: 'unreachable',
  16: 'credentials',
  401: 'credentials',
  403: 'forbidden',
  404: 'missing',
  408: 'unreachable',
  409: 'exists',
  412: 'refused',
  429: 'limited',
};
const NETWORK: ReadonlySet<string> = new Set([
  'EAI_AGAIN',
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EPIPE',
  'EPROTO',
  'ERR_STREAM_PREMATURE_CLOSE',
  'ETIMEDOUT',
]);
const BY_REASON: Readonly<Record<string, ApiFailureKind>> = {
  SERVICE_DISABLED: 'disabled',
  // Refused as a missing permission is, and no role helps.
  BILLING_DISABLED: 'other',
  CONSUMER_INVALID: 'other',
  RATE_LIMIT_EXCEEDED: 'limited',
  RESOURCE_QUOTA_EXCEEDED: 'limited',
};

/** Lending an identity to a build or a service. */
export const ACT_AS = 'iam.serviceAccounts.actAs';

/** What an error of a Google client means; undefined for what is none. */
export function toApiFailure(error: unknown): ApiFailure | undefined {
  const thrown = Thrown.safeParse(error).data;
  if (thrown === undefined || !(error instanceof Error)) return undefined;
  // The one permission that Google names in words alone, and beside it what was asked for.
  const permission = /\bact as service account\b/.test(thrown.message) ? ACT_AS : (thrown.errorInfoMetadata?.permission ?? null);
  const said = (kind: ApiFailureKind): ApiFailure => ({ kind, words: wordsOf(thrown.message), permission });
  // The library has no code for it but this text, which it exports.
  if (isStale(thrown) || thrown.message.includes(GoogleAuthExceptionMessages.NO_ADC_FOUND)) return said('credentials');
  const known = thrown.reason ? BY_REASON[thrown.reason] : undefined;
  if (known) return said(known);
  const code = Number(thrown.code);
  if (Number.isInteger(code)) return said(BY_STATUS[code] ?? (code >= 500 ? 'unreachable' : 'other'));
  return typeof thrown.code === 'string' && NETWORK.has(thrown.code) ? said('unreachable') : undefined;
}

/** Credentials that can't be renewed are refused by whoever renews them, which is wrapped once or not at all. */
function isStale({ response, cause }: z.infer<typeof Thrown>): boolean {
  const inner = Thrown.safeParse(cause).data;
  return response?.data.error === 'invalid_grant' || inner?.response?.data.error === 'invalid_grant';
}

/** The number that clients put before is of no use to people. */
const wordsOf = (message: string): string =>
  message
    .replace(/^\d+ [A-Z_]+: /, '')
    .replace(/\s+/g, ' ')
    .slice(0, 300)
    .replace(/\.$/, '');

/** What was tried, for the sentence that says what is wanting. */
export type Attempt = {
  /** `start a build`: after "does not let Mayfly". */
  readonly action: string;
  readonly project: string;
  readonly region: string;
  /** `cloudbuild.googleapis.com` */
  readonly api: string;
  /** What Mayfly's identity needs for it, and the `gcloud` command that grants it but for the member. */
  readonly role: string;
  readonly grant: string;
  /** Mayfly's own identity, where it is known. */
  readonly account: () => Promise<string | null>;
};

/**
 * An error of Google's as what a person may do about it: Fault `google-forbidden`, `google-disabled`, `google-limited`,
 * `google-unreachable`, `google-credentials` or `google-refused`. Anything else as it is.
 */
export async function explained(error: unknown, attempt: Attempt): Promise<unknown> {
  const failure = error instanceof Fault ? undefined : toApiFailure(error);
  if (failure === undefined) return error;
  const { action, project, api, role, grant } = attempt;
  const region = regionLabel(attempt.region);
  // Not the error itself: it carries the request, whose headers are nobody's to read.
  const cause = new Error(failure.words);
  switch (failure.kind) {
    case 'forbidden': {
      const member = (await attempt.account()) ?? 'MAYFLY_ACCOUNT';
      const command = `${grant} --member=serviceAccount:${member} --role=${role}`;
      return new Fault('google-forbidden', { details: { action, role, command }, cause });
    }
    case 'disabled':
      return new Fault('google-disabled', {
        details: { api, project, command: `gcloud services enable ${api} --project=${project}` },
        cause,
      });
    case 'limited':
      return new Fault('google-limited', { details: { action, region }, cause });
    case 'unreachable':
      return new Fault('google-unreachable', { details: { region, cause: failure.words }, cause });
    case 'credentials':
      return new Fault('google-credentials', { details: { cause: failure.words }, cause });
    case 'missing':
    case 'exists':
    case 'refused':
    case 'other':
      return new Fault('google-refused', { details: { action, cause: failure.words }, cause });
    default:
      return failure.kind satisfies never;
  }
}
