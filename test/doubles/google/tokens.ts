import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign, verify } from 'node:crypto';
import { z } from 'zod';

/** Seconds that Google's own tokens live. */
const LIFE_S = 3599;
/** The metadata server gives the same access token until it has less than this left. */
const RENEW_S = 300;

/** What an identity token says; `email` is the account's. */
export type Identity = { readonly email: string; readonly audience: string };

export interface Tokens {
  access(email: string): { readonly token: string; readonly secondsLeft: number };
  /** Whose it is; undefined when it was never given out, and `expired` afterwards. */
  whose(token: string): { readonly email: string } | 'expired' | undefined;
  identity(email: string, audience: string): string;
  /** What a token says, if it is ours, whole and not expired. */
  verified(token: string): Identity | undefined;
  /** From now on no token that was given out before is good for anything. */
  expireAll(): void;
  /** How long the tokens live that are given out from now on. */
  live(seconds: number): void;
}

let pair: { readonly privateKey: KeyObject; readonly publicKey: KeyObject } | undefined;
/** One for the process: making it takes a while. */
const keys = () => {
  pair ??= generateKeyPairSync('rsa', { modulusLength: 2048 });
  return pair;
};

const Claims = z.object({ aud: z.string(), email: z.string(), exp: z.number(), iat: z.number(), jti: z.string() });
const encoded = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

export function openTokens(now: () => Date): Tokens {
  const given = new Map<string, { readonly email: string; readonly until: number }>();
  const latest = new Map<string, string>();
  const state = { lifeS: LIFE_S };
  const good = new Set<string>();
  const seconds = (): number => Math.floor(now().getTime() / 1000);
  return {
    access(email) {
      const known = latest.get(email) ?? '';
      const left = (given.get(known)?.until ?? 0) - seconds();
      if (left > Math.min(RENEW_S, state.lifeS / 2)) return { token: known, secondsLeft: left };
      const token = `ya29.c.${randomBytes(48).toString('base64url')}`;
      given.set(token, { email, until: seconds() + state.lifeS });
      latest.set(email, token);
      return { token, secondsLeft: state.lifeS };
    },
    whose(token) {
      const found = given.get(token);
      if (!found) return undefined;
      return found.until > seconds() ? { email: found.email } : 'expired';
    },
    identity(email, audience) {
      const sub = BigInt(`0x${createHash('sha256').update(email).digest('hex').slice(0, 16)}`).toString();
      const iat = seconds();
      const jti = randomBytes(8).toString('hex');
      const own = { iss: 'https://accounts.google.com', aud: audience, azp: sub, sub, email, email_verified: true };
      const signed = `${encoded({ alg: 'RS256', kid: 'stand-in', typ: 'JWT' })}.${encoded({ ...own, iat, exp: iat + state.lifeS, jti })}`;
      good.add(jti);
      return `${signed}.${sign('sha256', Buffer.from(signed), keys().privateKey).toString('base64url')}`;
    },
    verified(token) {
      const [header = '', payload = '', signature = ''] = token.split('.');
      const signed = Buffer.from(`${header}.${payload}`);
      if (!verify('sha256', signed, keys().publicKey, Buffer.from(signature, 'base64url'))) return undefined;
      const claims = Claims.safeParse(JSON.parse(Buffer.from(payload, 'base64url').toString())).data;
      if (!claims || claims.exp <= seconds() || !good.has(claims.jti)) return undefined;
      return { email: claims.email, audience: claims.aud };
    },
    expireAll() {
      for (const [token, { email }] of given) given.set(token, { email, until: 0 });
      latest.clear();
      good.clear();
    },
    live(lifeS) {
      state.lifeS = lifeS;
    },
  };
}
