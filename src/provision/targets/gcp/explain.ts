import { Fault } from '../../../site/problem.ts';
import { type ApiFailure, type Attempt, explained, toApiFailure } from './api-error.ts';
import { type Asking, askingRun, askingToActAs } from './run-attempts.ts';

/**
 * Google's provider for Pulumi tells what the API said as text, in the words of its libraries: the call was refused, or the operation that
 * it began has failed (https://github.com/googleapis/google-api-go-client/blob/main/googleapi/googleapi.go).
 */
const REFUSED = /googleapi: (?:Error|got HTTP response code) (\d{3})\b(?:: | with body: )?([^\n]*)/;
const FAILED = /Error code (\d+), message: ([^\n]*)/;
const REASON = /"reason": "([A-Z_]+)"/;
const STALE = /oauth2: ([^\n]*)/;
const UNREACHED = /(dial tcp[^\n]*|connection refused|no such host|i\/o timeout|TLS handshake timeout)/;
const NEVER_ENDED = /timeout while waiting for state/;
const MAY_NOT_ACT_AS = /Permission 'iam\.service[aA]ccounts\.actAs' denied on service account (\S+)/;

/** What the engine's run came to, as far as it was Google that said so. */
export type EngineFailure = ApiFailure & { readonly error: Error };

/** The failure that the engine's text tells of; undefined when it was another. */
export function toEngineFailure(error: unknown): EngineFailure | undefined {
  const text = textOf(error);
  const like = (code: number | string, words: string): EngineFailure | undefined => {
    const reason = REASON.exec(text)?.[1];
    const told = Object.assign(new Error(words.trim()), { code, ...(reason === undefined ? {} : { reason }) });
    const failure = toApiFailure(told);
    return failure && { ...failure, error: told };
  };
  const [, status, said] = REFUSED.exec(text) ?? [];
  if (status !== undefined) return like(Number(status), said ?? '');
  const [, code, message] = FAILED.exec(text) ?? [];
  if (code !== undefined) return like(Number(code), message ?? '');
  const [, stale] = STALE.exec(text) ?? [];
  if (stale !== undefined) return like(401, stale);
  const [, unreached] = UNREACHED.exec(text) ?? [];
  return unreached === undefined ? undefined : like('ENETUNREACH', unreached);
}

/** Whether Google's provider gave up waiting for an operation. */
export const neverEnded = (error: unknown): boolean => NEVER_ENDED.test(textOf(error));

const textOf = (error: unknown): string =>
  error instanceof Fault && error.code === 'deploy-failed' && error.cause instanceof Error ? error.cause.message : '';

/** What was to be done, for the sentence that says what is wanting. */
export function attemptOf(asking: Asking, { error }: EngineFailure, region: string): Attempt {
  const [, as] = MAY_NOT_ACT_AS.exec(error.message) ?? [];
  return as === undefined
    ? askingRun(asking, { action: 'create or change a site', region })
    : askingToActAs(asking, { action: `start sites as ${as}`, region, as });
}

/** The engine's failure as a person may do something about it; anything else as it is. */
export async function explainEngine(error: unknown, asking: Asking, region: string): Promise<unknown> {
  const failure = toEngineFailure(error);
  return failure === undefined ? error : explained(failure.error, attemptOf(asking, failure, region));
}
