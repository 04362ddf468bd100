import type { Queues } from './queues.ts';
import type { Effect, Site } from './site/site.ts';
import type { Store } from './store/store.ts';

/** Of those that wait for a place, so many are told that who has the places has changed: what they say is an edit each. */
const TOLD = 20;

/** After a commit, has done what a changed site asks for. What is lost here the sweep finds. */
export async function handOn(
  { store, queues }: { readonly store: Pick<Store, 'places' | 'apply'>; readonly queues: Pick<Queues, 'provision' | 'report'> },
  site: Site,
  effects: readonly Effect[],
): Promise<void> {
  for (const effect of effects) {
    if (effect !== 'vacate') await queues[effect].add(site.id);
    else {
      // The place goes to whoever has waited for it longest.
      const [next, ...others] = await store.places.waiting({ forge: site.pull.forge, id: site.pull.repository }, TOLD);
      if (next !== undefined) await queues.provision.add(next);
      for (const other of others) await store.apply(other, { type: 'placesChanged' });
    }
  }
}
