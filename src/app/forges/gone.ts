import type { Repository, RepositoryId } from '../../site/identity.ts';

/** What is out of our reach for good: one repository, or everything that an access led to. */
export type Gone = { readonly access: string; readonly id: RepositoryId | 'all' };

/** Something learnt of a repository, which is forgotten with it. */
export type Learnt<T> = { readonly of: Pick<Repository, 'id' | 'access'>; readonly value: T };

/** Forgets what was learnt of what is gone. */
export function drop(learnt: Map<string, Learnt<unknown>>, gone: Gone): void {
  for (const [key, { of }] of learnt) if (of.access === gone.access && (gone.id === 'all' || of.id === gone.id)) learnt.delete(key);
}
