import type { Queues } from './queues.ts';
import type { SiteId } from './site/identity.ts';
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
  const waiting = (): Promise<readonly SiteId[]> => store.places.waiting({ forge: site.pull.forge, id: site.pull.repository }, TOLD);
  for (const effect of effects) {
    switch (effect) {
      case 'provision':
      case 'report':
        await queues[effect].add(site.id);
        break;
      case 'vacate': {
        // The place goes to whoever has waited for it longest.
        const [next] = await waiting();
        if (next !== undefined) await queues.provision.add(next);
        break;
      }
      case 'occupy':
        for (const other of await waiting()) await store.apply(other, { type: 'placesChanged' });
        break;
      default:
        effect satisfies never;
    }
  }
}
