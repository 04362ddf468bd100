import type { Held } from '../site/ports.ts';
import { Fault } from '../site/problem.ts';
import type { Site } from '../site/site.ts';
import type { Store } from '../store/store.ts';

type Going = {
  readonly store: Pick<Store, 'apply'>;
  readonly site: Site;
  readonly held: Held;
  /** The regions that the site may be in, most wanted first; at least one. */
  readonly candidates: readonly string[];
};

/**
 * Deploys in the site's region; where Google says that it is full, in the next of those that it may be in, as long as visitors have
 * nothing of it yet. The row says where it is before anything of it is made there.
 */
export async function deployInRegion<Deployed>(going: Going, deploy: (region: string) => Promise<Deployed>): Promise<Deployed> {
  const { store, site, held, candidates } = going;
  const first = candidates.includes(site.region) ? site.region : candidates[0];
  const others = site.live === null ? candidates.filter((region) => region !== first) : [];
  for (const region of [first ?? site.region, ...others]) {
    if (region !== site.region || !site.home.taken) await store.apply(site.id, { type: 'placeTaken', region }, { held });
    try {
      return await deploy(region);
    } catch (error) {
      const isFull = error instanceof Fault && error.code === 'google-limited';
      if (!isFull || region === (others.at(-1) ?? first)) throw error;
    }
  }
  throw new Error('a site without a region that it may be in');
}
