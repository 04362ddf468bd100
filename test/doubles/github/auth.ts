import { createPublicKey, verify } from 'node:crypto';
import type { Repo, State, Token } from './state.ts';

const decode = (part: string | undefined): unknown => JSON.parse(Buffer.from(part ?? '', 'base64url').toString() || 'null');
const field = (value: unknown, name: string): unknown =>
  typeof value === 'object' && value !== null ? Object.getOwnPropertyDescriptor(value, name)?.value : undefined;

/** Why an App's JSON web token is not good, in GitHub's words; undefined when it is. */
export function refuseJwt(token: string, app: { readonly id: number; readonly publicKey: string }): string | undefined {
  const [header, payload, signature] = token.split('.');
  try {
    if (field(decode(header), 'alg') !== 'RS256') return 'A JSON web token could not be decoded';
    const signed = Buffer.from(`${header}.${payload}`);
    if (!verify('RSA-SHA256', signed, createPublicKey(app.publicKey), Buffer.from(signature ?? '', 'base64url'))) {
      return 'A JSON web token could not be decoded';
    }
    const claims = decode(payload);
    const [issuer, issued, expires] = [field(claims, 'iss'), Number(field(claims, 'iat')), Number(field(claims, 'exp'))];
    const now = Date.now() / 1000;
    if (String(issuer) !== String(app.id)) return "'Issuer' claim ('iss') must be an Integer";
    if (!(issued <= now + 1)) return "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued";
    if (!(expires > now))
      return "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires";
    if (!(expires <= now + 601)) return "'Expiration time' claim ('exp') is too far in the future";
    return undefined;
  } catch {
    return 'A JSON web token could not be decoded'; // not base64, not JSON: whatever was sent is no token
  }
}

/** The live installation token of that text. */
export function tokenOf(state: State, text: string): Token | undefined {
  const token = state.tokens.get(text);
  return token && token.expiresAt > Date.now() && !token.installation.deleted && !token.installation.suspended ? token : undefined;
}

/** Whether the repository is among those the token's installation covers. */
export function covers(token: Token, repo: Repo): boolean {
  return repo.installed && !repo.deleted && repo.owner.id === token.installation.account.id;
}

/** Whether the app's manifest asked for that much, and the installation covers the repository. */
export function allows(state: State, token: Token, repo: Repo, permission: string, level: 'read' | 'write'): boolean {
  const granted = state.permissions[permission];
  return covers(token, repo) && (granted === 'write' || granted === level);
}
