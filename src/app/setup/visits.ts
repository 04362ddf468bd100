import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Context } from 'hono';
import { getCookie, setCookie } from 'hono/cookie';

/** One browser at `/setup`: a stranger until the code was typed, and again some time after. */
export type Visit = { readonly id: string; readonly kind: 'stranger' | 'admitted' };

export interface Visits {
  /** Whose request this is; undefined when it brought no cookie of ours. */
  of(c: Context): Visit | undefined;
  /** Begins a new visit and gives the browser its cookie; the id before it is worth nothing any more. */
  begin(c: Context, kind: Visit['kind']): Visit;
  /** Stands in every form, and shows that the form was ours and for this browser. */
  formToken(visit: Visit): string;
  isFormOf(visit: Visit, token: string): boolean;
}

const COOKIE = 'mayfly-setup';
const ID_BYTES = 32;
const ADMITTED_MS = 30 * 60_000;

/**
 * Visits are kept in a signed cookie and nowhere else, so that any process with the same key knows them.
 * @param key of nothing but these signatures
 * @param publicUrl over https, the cookie travels over https alone
 */
export function openVisits({ key, publicUrl }: { readonly key: string; readonly publicUrl: URL }): Visits {
  const sign = (text: string): string => createHmac('sha256', key).update(text).digest('base64url');
  const formToken: Visits['formToken'] = ({ id }) => sign(`form ${id}`);
  return {
    of(c) {
      const [id = '', until = '', signature = ''] = (getCookie(c, COOKIE) ?? '').split('.');
      if (!isSame(signature, sign(`visit ${id}.${until}`))) return undefined;
      return { id, kind: Number(until) > Date.now() ? 'admitted' : 'stranger' };
    },
    begin(c, kind) {
      const id = randomBytes(ID_BYTES).toString('base64url');
      const until = kind === 'admitted' ? Date.now() + ADMITTED_MS : 0;
      setCookie(c, COOKIE, `${id}.${until}.${sign(`visit ${id}.${until}`)}`, {
        httpOnly: true,
        path: '/setup',
        // Not `Strict`: the way back from GitHub starts on another site.
        sameSite: 'Lax',
        secure: publicUrl.protocol === 'https:',
        maxAge: ADMITTED_MS / 1_000,
      });
      return { id, kind };
    },
    formToken,
    isFormOf: (visit, token) => isSame(token, formToken(visit)),
  };
}

/** Over digests, so that neither content nor length shows in the time it takes. */
export function isSame(one: string, other: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(one), digest(other));
}
