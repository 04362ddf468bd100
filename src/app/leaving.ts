import type { ForgeId, Repository } from '../site/identity.ts';
import type { Site } from '../site/site.ts';
import type { Store } from '../store/store.ts';

type Leaving = Pick<Store, 'sites' | 'apply' | 'repositories'>;
const PAGE = 500;

/** Ends every site of a repository, as of one that is not open to us any more. */
export async function endSitesOf(store: Pick<Leaving, 'sites' | 'apply'>, gone: Pick<Repository, 'forge' | 'id'>): Promise<void> {
  let after: Site['id'] | null = null;
  for (;;) {
    const page: readonly Site[] = await store.sites.standing({ after, limit: PAGE, repository: gone });
    for (const site of page) await store.apply(site.id, { type: 'repositoryRemoved' });
    const last = page.at(-1);
    if (page.length < PAGE || last === undefined) return;
    after = last.id;
  }
}

/** Ends what stands of a repository and forgets it, without asking its forge: we leave by ourselves, or are known there no more. */
export async function leaveRepository(store: Leaving, gone: Pick<Repository, 'forge' | 'id'>): Promise<void> {
  await endSitesOf(store, gone);
  await store.repositories.forget(gone.forge, gone.id);
}

/** The same of all repositories of a forge. */
export async function leaveForge(store: Leaving, forge: ForgeId): Promise<void> {
  for (const repository of await store.repositories.all()) if (repository.forge === forge) await leaveRepository(store, repository);
}
