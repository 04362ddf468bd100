import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { deliveryId, type Side, toForgeEvent } from './forges/gitlab-events.ts';
import type { GitLabKeys, GitLabSecrets } from './forges/gitlab-hook-secrets.ts';
import type { Door, DoorHeaders } from './webhooks.ts';

/** Standard Webhooks: a message that is older was kept by somebody, and one from the future was made by somebody. */
const TOLERANCE_S = 300;
/** As many signatures as keys are ever changed at once. */
const MAX_SIGNATURES = 10;

const sha256 = (data: string | Buffer): Buffer => createHash('sha256').update(data).digest();
/** In the same time whatever differs, the length too. */
const isEqual = (one: string, other: string): boolean => timingSafeEqual(sha256(one), sha256(other));

/**
 * GitLab's webhooks. It switches a webhook off after a few answers that are no success, so whoever knows the secret is answered so
 * whatever is sent.
 */
export function gitlabDoor(side: Side, keys: GitLabKeys, now: () => number = Date.now): Door {
  return {
    kind: 'gitlab',
    forge: side.forge,
    odd: 'accepted',
    verify: (headers, rawBody) =>
      keys(rawBody)
        .map((secrets) => isKnown(secrets, { headers, rawBody, now: now() }))
        .includes(true),
    // Without an id of its own, what is in it tells it from others, and makes it the same when it comes again.
    delivery: (headers, rawBody) => deliveryId(side, headers) ?? `${side.forge}:sha256:${sha256(rawBody).toString('hex')}`,
    translate: (_, payload) => toForgeEvent(side, payload),
  };
}

type Signed = { readonly headers: DoorHeaders; readonly rawBody: Buffer; readonly now: number };

function isKnown({ webhookSecret, signingTokens }: GitLabSecrets, signed: Signed): boolean {
  if (webhookSecret === null && signingTokens.length === 0) return false;
  const hasToken = webhookSecret === null || isEqual(signed.headers['x-gitlab-token'] ?? '', webhookSecret);
  const keys = signingTokens.map((token) => Buffer.from(token.replace(/^whsec_/, ''), 'base64'));
  return hasToken && (keys.length === 0 || isSigned(keys, signed));
}

/** https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md */
function isSigned(keys: readonly Buffer[], { headers, rawBody, now }: Signed): boolean {
  const { 'webhook-id': id, 'webhook-timestamp': time, 'webhook-signature': signatures } = headers;
  if (!id || time === undefined || !/^[0-9]{1,12}$/.test(time) || signatures === undefined) return false;
  if (Math.abs(now / 1000 - Number(time)) > TOLERANCE_S) return false;
  const given = signatures.split(' ').slice(0, MAX_SIGNATURES);
  const expected = keys.map((key) => `v1,${createHmac('sha256', key).update(`${id}.${time}.`).update(rawBody).digest('base64')}`);
  return given.some((one) => expected.some((other) => isEqual(one, other)));
}
