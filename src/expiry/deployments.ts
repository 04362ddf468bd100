import type { Repository } from '../site/identity.ts';
import type { Place, Voice } from '../site/ports.ts';
import type { Site } from '../site/site.ts';
import type { Store } from '../store/store.ts';
import type { Finding } from './plan.ts';

type Rows = Pick<Store, 'sites' | 'reports' | 'leases'>;
type Speaker = Pick<Voice, 'deployedPlaces' | 'removeDeployments'>;

/** Deployments of ours on the forge whose site has ended or is unknown. One whose end is still to be reported goes with that report. */
export async function planDeployments(store: Rows, repository: Repository, voice: Speaker): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  for (const place of await voice.deployedPlaces(repository)) {
    const site = await store.sites.find(place.site);
    if (!(await isLeftOver(store, site))) continue;
    findings.push({
      kind: 'deployment',
      name: `of #${place.number}`,
      where: repository.name,
      why: site === undefined ? `no site ${place.site} is known` : `site ${place.site} has ended`,
      deed: { word: 'removed', run: () => remove(store, place, voice) },
    });
  }
  return findings;
}

async function isLeftOver({ reports }: Rows, site: Site | undefined): Promise<boolean> {
  if (site === undefined) return true;
  return site.status === 'ended' && !(await reports.isOwed(site.id));
}

/** Under the reporter's lease: whoever speaks for the site is the one to speak of its deployments. */
async function remove(store: Rows, place: Place, voice: Speaker): Promise<boolean> {
  await using held = await store.leases.take(`report:${place.site}`);
  if (held === undefined || !(await isLeftOver(store, await store.sites.find(place.site)))) return false;
  await voice.removeDeployments(place);
  return true;
}
