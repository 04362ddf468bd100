import { pino } from 'pino';
import { ulid } from 'ulid';
import { inject } from 'vitest';
import { hostLabel, parseRepositoryId, parseSha, type RepositoryId, type Sha, toForgeId } from '../../src/site/identity.ts';
import type { Head } from '../../src/site/site.ts';
import type { SiteNews } from '../../src/site/site-news.ts';
import { openStore, type StoreOptions } from '../../src/store/db.ts';
import type { Store } from '../../src/store/store.ts';
import { createDatabase, type TestDatabase } from '../postgres.ts';

export const silent = pino({ level: 'silent' });
export const github = { id: toForgeId('github'), kind: 'github', address: 'https://github.com' } as const;
export const day = 86_400_000;
export const terms = { ttlMs: 3 * day, maxTtlMs: 14 * day };

export function sha(digit: string): Sha {
  const parsed = parseSha(digit.repeat(40));
  if (!parsed) throw new Error(`${digit} is no hex digit`);
  return parsed;
}
export function repositoryId(id: number | string): RepositoryId {
  const parsed = parseRepositoryId(id);
  if (!parsed) throw new Error(`${id} is no repository id`);
  return parsed;
}

/** Another process on the same database. */
export const openAgain = (database: TestDatabase, options: Partial<StoreOptions> = {}): Promise<Store> =>
  openStore({ url: database.url, applicationName: 'mayfly', log: silent, newId: ulid, ...options });

/** A store on a database of its own. */
export async function openTestStore(options: Partial<StoreOptions> = {}): Promise<Store & { readonly database: TestDatabase }> {
  await using opening = new AsyncDisposableStack();
  const database = opening.use(await createDatabase(inject('postgresUrl')));
  const store = opening.use(await openAgain(database, options));
  const opened = opening.move();
  return { ...store, database, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

export const headOf = (commit: Sha, change: Partial<Head> = {}): Head => ({
  sha: commit,
  branch: 'feature',
  base: 'main',
  title: 'Fix the cart',
  commitTitle: 'fix the cart total',
  author: 'ada',
  repository: repositoryId(1),
  trust: 'trusted',
  draft: false,
  ...change,
});

export const placeOf = (number: number, repository = 1): Parameters<Store['applyToPull']>[0] => {
  const pull = { forge: github.id, repository: repositoryId(repository), number };
  return { pull, host: hostLabel(github, 'acme/shop', pull) };
};

export const headSeen = (observation: number, head: Head): Extract<SiteNews, { type: 'headSeen' }> => ({
  type: 'headSeen',
  observation,
  head,
  terms,
  region: 'europe-west1',
  reopened: false,
});
