import { setTimeout as wait } from 'node:timers/promises';

type Minted = { readonly token: string; readonly expires_at: string };
type Kept = { readonly token: string; readonly mintedAt: number; readonly expiresAt: number };

/** A token is not handed out in its last five minutes: a fetch of a large repository takes some. */
const MARGIN_MS = 5 * 60_000;
/** GitHub's replicas may not know a token yet that is this young. */
const YOUNG_MS = 5_000;
const REPLICATION_MS = 1_000;

export interface Tokens {
  get(installation: number): Promise<string>;
  /** The one that comes after `stale`; minted once however many ask. */
  renew(installation: number, stale: string): Promise<string>;
  /** The installation is gone: nothing of it is kept, nor what is being minted. */
  forget(installation: number): void;
}

/** Installation tokens, minted when first needed and kept until shortly before they expire. */
export function createTokens(mint: (installation: number) => Promise<Minted>): Tokens {
  const kept = new Map<number, Kept>();
  const coming = new Map<number, Promise<string>>();

  function mintOnce(installation: number): Promise<string> {
    const already = coming.get(installation);
    if (already) return already;
    const promise = mint(installation)
      .then(({ token, expires_at }) => {
        const isWanted = coming.get(installation) === promise;
        if (isWanted) kept.set(installation, { token, mintedAt: Date.now(), expiresAt: Date.parse(expires_at) });
        return token;
      })
      .finally(() => {
        if (coming.get(installation) === promise) coming.delete(installation);
      });
    coming.set(installation, promise);
    return promise;
  }

  const isFresh = (one: Kept | undefined): one is Kept => one !== undefined && one.expiresAt - MARGIN_MS > Date.now();
  return {
    async get(installation) {
      const one = kept.get(installation);
      return isFresh(one) ? one.token : mintOnce(installation);
    },
    async renew(installation, stale) {
      const one = kept.get(installation);
      if (isFresh(one) && one.token !== stale) return one.token;
      if (isFresh(one) && Date.now() - one.mintedAt < YOUNG_MS) await wait(REPLICATION_MS);
      return mintOnce(installation);
    },
    forget(installation) {
      kept.delete(installation);
      coming.delete(installation);
    },
  };
}

type Endpoint = { headers: Record<string, string | number | undefined> };
type Ask = ((endpoint: Endpoint) => Promise<unknown>) & { readonly endpoint: { merge(route: unknown, parameters: unknown): Endpoint } };
export type InstallationAuth = { readonly take: () => Promise<string>; readonly renew: (stale: string) => Promise<string> };

const isUnauthorised = (error: unknown): boolean => error instanceof Error && 'status' in error && error.status === 401;

/** Octokit's idea of an auth strategy: puts the installation's token on each request, and a newer one when GitHub refuses it. */
export function installationAuth(auth: InstallationAuth) {
  async function hook(ask: Ask, route: unknown, parameters: unknown): Promise<unknown> {
    const endpoint = ask.endpoint.merge(route, parameters);
    const token = await auth.take();
    endpoint.headers.authorization = `token ${token}`;
    try {
      return await ask(endpoint);
    } catch (error) {
      if (!isUnauthorised(error)) throw error;
      endpoint.headers.authorization = `token ${await auth.renew(token)}`;
      return ask(endpoint);
    }
  }
  return Object.assign(() => Promise.resolve({ type: 'installation' }), { hook });
}
