import { type Forge, pullName, type Repository } from '../site/identity.ts';
import type { DeployedPlace, Voice } from '../site/ports.ts';
import type { Site } from '../site/site.ts';
import type { Store } from '../store/store.ts';
import type { Finding } from './plan.ts';

type Rows = Pick<Store, 'sites' | 'reports' | 'leases'>;
type Speaker = Pick<Voice, 'deployedPlaces' | 'removeDeployments'>;
type Side = { readonly forge: Pick<Forge, 'kind'>; readonly voice: Speaker };

/** Deployments of ours on the forge whose site has ended or is unknown. One whose end is still to be reported goes with that report. */
export async function planDeployments(store: Rows, repository: Repository, { forge, voice }: Side): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  for (const place of await voice.deployedPlaces(repository)) {
    const site = await siteAt(store, place);
    if (!(await isLeftOver(store, site))) continue;
    findings.push({
      kind: 'deployment',
      name: `of ${pullName(forge, place.number)}`,
      where: repository.name,
      why: site === undefined ? `no site ${place.site ?? 'of it'} is known` : `site ${site.id} has ended`,
      deed: { word: 'removed', run: () => remove(store, place, voice) },
    });
  }
  return findings;
}

const siteAt = ({ sites }: Rows, { repository, number, site }: DeployedPlace): Promise<Site | undefined> =>
  site === null ? sites.findByPull({ forge: repository.forge, repository: repository.id, number }) : sites.find(site);

async function isLeftOver({ reports }: Rows, site: Site | undefined): Promise<boolean> {
  if (site === undefined) return true;
  return site.status === 'ended' && !(await reports.isOwed(site.id));
}

/** Under the reporter's lease: whoever speaks for the site is the one to speak of its deployments. */
async function remove(store: Rows, place: DeployedPlace, voice: Speaker): Promise<boolean> {
  const { repository, number } = place;
  const whose = place.site ?? (await siteAt(store, place))?.id ?? `${repository.forge} ${repository.id} ${number}`;
  await using held = await store.leases.take(`report:${whose}`);
  if (held === undefined || !(await isLeftOver(store, await siteAt(store, place)))) return false;
  await voice.removeDeployments(place);
  return true;
}
