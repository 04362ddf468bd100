import type { GoogleAuth } from 'google-auth-library';
import type { Log } from './log.ts';

/** Proof of who the gate is, for sites that let in nobody else. */
export interface IdentityTokens {
  /** A token for that origin which is good for a while yet. Throws `IdentityError`. */
  tokenFor(origin: string): Promise<string>;
  /** The origin did not accept it: the next one asked for is new. */
  doubt(origin: string, token: string): void;
}

/** Google gave no token. Its message is for the operator: why, and what to do. */
export class IdentityError extends Error {
  override readonly name = 'IdentityError';
}

export type IdentityOptions = {
  /** Asks Google for a token whose audience is that origin. */
  readonly fetch: (origin: string) => Promise<string>;
  readonly log: Log;
  /** Milliseconds since 1970, which the token's own times are compared with. */
  readonly now?: () => number;
};

/** Google's tokens are good for an hour. From so long before its end, another is asked for while this one serves on. */
const REFRESH_MS = 5 * 60_000;
/** So long before its end a token is not used any more: the request has to get there, and clocks differ. */
const MARGIN_MS = 10_000;
/** Between two asks for the same origin: the metadata server may give the same token again, and a failure does not mend at once. */
const APART_MS = 5_000;
/** A visitor waits for it. */
const FETCH_MS = 10_000;
const MAX_KNOWN = 5_000;

type Known = {
  readonly token: string | null;
  /** When `token` ends; 0 without one. */
  readonly until: number;
  readonly asked: number;
  readonly failure: IdentityError | null;
};

/** Keeps a token for each origin; at most one is being asked for at a time. */
export function openIdentityTokens({ fetch, log, now = Date.now }: IdentityOptions): IdentityTokens {
  const known = new Map<string, Known>();
  const asking = new Map<string, Promise<Known>>();

  async function ask(origin: string): Promise<Known> {
    const before = known.get(origin);
    const asked = now();
    try {
      const token = await within(FETCH_MS, fetch(origin));
      return { token, until: endOf(token), asked, failure: null };
    } catch (cause) {
      const failure = explained(origin, cause);
      log.error({ err: failure, origin }, failure.message);
      return { token: before?.token ?? null, until: before?.until ?? 0, asked, failure };
    }
  }

  function refresh(origin: string): Promise<Known> {
    const pending = asking.get(origin);
    if (pending) return pending;
    const fetching = ask(origin).then((found) => {
      asking.delete(origin);
      known.delete(origin);
      known.set(origin, found);
      const [oldest] = known.keys();
      if (known.size > MAX_KNOWN && oldest !== undefined) known.delete(oldest);
      return found;
    });
    asking.set(origin, fetching);
    return fetching;
  }

  return {
    async tokenFor(origin) {
      const entry = known.get(origin);
      const isRecent = entry !== undefined && now() - entry.asked < APART_MS;
      const left = (entry?.until ?? 0) - now();
      if (left < REFRESH_MS && !isRecent) {
        const refreshing = refresh(origin);
        if (left < MARGIN_MS) return tokenOf(await refreshing, now());
      }
      return tokenOf(entry ?? (await refresh(origin)), now());
    },
    doubt(origin, token) {
      const entry = known.get(origin);
      if (entry?.token === token) known.set(origin, { ...entry, token: null, until: 0 });
    },
  };
}

function tokenOf({ token, until, failure }: Known, now: number): string {
  if (token !== null && until - now >= MARGIN_MS) return token;
  throw failure ?? new IdentityError('The identity token was refused or is over, and a new one is not asked for again this soon');
}

async function within<Value>(ms: number, promise: Promise<Value>): Promise<Value> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${ms / 1_000} s`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** When the token ends, in milliseconds since 1970. Its signature is for Cloud Run to check. Throws when it is no such token. */
function endOf(token: string): number {
  const claims: unknown = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8') || 'null');
  if (typeof claims === 'object' && claims !== null && 'exp' in claims && typeof claims.exp === 'number') return claims.exp * 1_000;
  throw new Error('what came is no identity token');
}

const TODO =
  'The gate has to run as its own service account, whose tokens the metadata server gives; elsewhere: gcloud auth application-default login --impersonate-service-account=GATE';

function explained(origin: string, cause: unknown): IdentityError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new IdentityError(`No identity token for ${origin}: ${why.replace(/\s+/g, ' ').slice(0, 300)}. ${TODO}`, { cause });
}

/** Asks with Application Default Credentials: the metadata server's on Google Cloud, whatever `gcloud` left elsewhere. */
export function fetchIdTokenWith(auth: GoogleAuth): (origin: string) => Promise<string> {
  return async (origin) => {
    const { idTokenProvider } = await auth.getIdTokenClient(origin);
    return idTokenProvider.fetchIdToken(origin);
  };
}
