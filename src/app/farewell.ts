import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { ForgeId, Repository } from '../site/identity.ts';
import type { Held } from '../site/ports.ts';
import { Fault } from '../site/problem.ts';
import type { Site } from '../site/site.ts';
import type { Store } from '../store/store.ts';
import { endSitesOf } from './leaving.ts';
import type { ForgeLink } from './pulls.ts';
import { siteUrl } from './reporter.ts';
import { sayEverything } from './saying.ts';

export type FarewellParts = {
  readonly store: Pick<Store, 'sites' | 'apply' | 'launches' | 'repositories' | 'reports' | 'leases' | 'now'>;
  readonly links: ReadonlyMap<ForgeId, ForgeLink>;
  /** Base under which every site has its host. */
  readonly previewUrl: URL;
  readonly word: string;
  readonly target: 'local' | 'gcp';
  readonly log: Logger;
};
type Gone = Pick<Repository, 'forge' | 'id'>;

/** Somebody waits for this: no site is begun with later than that. */
const WITHIN_MS = 20_000;
const BUSY_MS = 200;
const LAUNCHES_TOLD = 20;
const PAGE = 500;

/**
 * Ends every site of repositories that we leave by our own choice, and says so on the forge while we still may: nobody can later. As
 * far as the forge lets us and in the time there is; what could not be said is logged, and does not keep us.
 */
export async function sayFarewell(parts: FarewellParts, repositories: readonly Gone[]): Promise<void> {
  const until = performance.now() + WITHIN_MS;
  try {
    for (const gone of repositories) await sayFarewellTo(parts, gone, until);
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    parts.log.warn({ err: error }, 'the end of previews could not be said on the forge');
  }
}

async function sayFarewellTo(parts: FarewellParts, gone: Gone, until: number): Promise<void> {
  const { store, links, log } = parts;
  const standing: readonly Site[] = await store.sites.standing({ after: null, limit: PAGE, repository: gone });
  if (standing.length === 0) return;
  // First, so that no report of an earlier state comes after ours.
  await endSitesOf(store, gone);
  const link = links.get(gone.forge);
  const repository = await store.repositories.find(gone.forge, gone.id);
  if (link === undefined || repository === undefined) return;
  for (const { id } of standing) {
    await using held = await takeTurn(parts, id, until);
    if (held === undefined) log.warn({ site: id }, 'the end of a preview was not said on the forge: there was no time left');
    else await sayEnd(parts, { id, link, repository, held });
  }
}

/** Once the reporter is done with the site; undefined when there is no time left. */
async function takeTurn({ store }: FarewellParts, id: Site['id'], until: number) {
  while (performance.now() < until) {
    const held = await store.leases.take(`report:${id}`);
    if (held !== undefined) return held;
    await delay(BUSY_MS);
  }
  return undefined;
}

type Ending = { readonly id: Site['id']; readonly link: ForgeLink; readonly repository: Repository; readonly held: Held };

async function sayEnd({ store, previewUrl, word, target, log }: FarewellParts, { id, link, repository, held }: Ending): Promise<void> {
  const [row, said, launches, now] = await Promise.all([
    store.sites.get(id),
    store.reports.get(id),
    store.launches.of(id, LAUNCHES_TOLD),
    store.now(),
  ]);
  if (row.status !== 'ending' && row.status !== 'ended') return;
  // These are the last words: what is still being removed will be gone when they are read.
  const site: Site = row.status === 'ended' ? row : { ...row, status: 'ended', endedAt: now };
  const about = {
    repository: repository.name,
    forge: link.forge,
    url: siteUrl(previewUrl, row.host),
    place: null,
    holders: null,
    usage: null,
  };
  const view = { site, launches, ...about, checkUrl: said.checks[row.head.sha]?.url ?? null, word, target };
  const place = { repository, number: row.pull.number, site: id };
  const guard = (): Promise<void> => store.leases.check(held);
  const { said: reached, fault } = await sayEverything({ voice: link.voice, place, view, now, said, guard, log });
  await store.reports.save(id, { ...reached, version: row.version }, { held });
  if (fault !== undefined) throw fault;
}
