import type { Logger } from 'pino';
import type { ForgeId, SiteId } from '../site/identity.ts';
import type { Held } from '../site/ports.ts';
import { Fault } from '../site/problem.ts';
import type { SiteView } from '../site/report-view.ts';
import type { Site } from '../site/site.ts';
import type { Said, Store } from '../store/store.ts';
import type { Metrics } from './metrics.ts';
import type { ForgeLink } from './pulls.ts';
import { type Saying, sayEverything } from './saying.ts';

export type ReporterParts = {
  readonly store: Pick<Store, 'sites' | 'places' | 'launches' | 'repositories' | 'reports' | 'leases' | 'usage' | 'now'>;
  readonly links: ReadonlyMap<ForgeId, ForgeLink>;
  /** Adds a report job that starts after `ms`. */
  readonly later: (site: SiteId, ms: number) => Promise<void>;
  /** Base under which every site has its host. */
  readonly previewUrl: URL;
  readonly word: string;
  /** Sites that one repository may have at once. */
  readonly maxSites: number;
  readonly target: 'local' | 'gcp';
  readonly metrics: Pick<Metrics, 'reported'>;
  readonly log: Logger;
};

export interface Reporter {
  /**
   * Brings what the forge shows of a site to the row's version; nothing when it is there already, or while the forge is not connected. Safe to repeat and to run in many
   * processes at once. Throws Fault when the forge is away or asks for a pause, for the job to be tried again.
   */
  report(site: SiteId): Promise<void>;
}

/** Edits of one comment in between its first and a final state are at least this far apart. */
const PAUSE_MS = 3_000;
/** Somebody else is saying it; they see a newer version themselves, unless they are done this very moment. */
const BUSY_MS = 1_000;
const LAUNCHES_TOLD = 20;

/** The address of a site: its label in front of the base's host. */
export function siteUrl(previewUrl: URL, label: string): string {
  return `${previewUrl.protocol}//${label}.${previewUrl.host}`;
}

export function openReporter(parts: ReporterParts): Reporter {
  /** When this process last said something of a site, and in which status; only a brake, so it may be forgotten. */
  const spoke = new Map<SiteId, Spoken>();
  return {
    async report(id) {
      await using held = await parts.store.leases.take(`report:${id}`);
      if (held === undefined) return await parts.later(id, BUSY_MS);
      for (;;) {
        const [site, said] = await Promise.all([parts.store.sites.get(id), parts.store.reports.get(id)]);
        if (said.version >= site.version) return;
        const link = parts.links.get(site.pull.forge);
        // Not connected, as far as this process knows: it stays owed, and the sweep comes back to it once it is.
        if (link === undefined && !isRemoved(site)) return;
        const before = spoke.get(id);
        const wait = before === undefined || isUrgent(site, said, before) ? 0 : PAUSE_MS - (performance.now() - before.at);
        // Awaited here: a failure while the lease is being given back would have nobody to hear it, and end the process.
        if (wait > 0) return await parts.later(id, Math.ceil(wait));
        const changed = await say(parts, { site, said, held, link }).catch((error: unknown) => doubted(parts, id, error));
        if (changed) spoke.set(id, { at: performance.now(), status: site.status });
        forgetOld(spoke);
      }
    },
  };
}

/** A word that was on its way when another took over may have come after theirs. What stands there then is not taken for granted. */
async function doubted(parts: ReporterParts, id: SiteId, error: unknown): Promise<never> {
  if (error instanceof Fault && error.code === 'lease-lost') {
    await parts.store.reports.doubt(id);
    await parts.later(id, BUSY_MS);
  }
  throw error;
}

type Spoken = { readonly at: number; readonly status: Site['status'] };

function forgetOld(spoke: Map<SiteId, Spoken>): void {
  const old = performance.now() - PAUSE_MS;
  for (const [id, { at }] of spoke) if (at < old) spoke.delete(id);
}

/** The first word and the last ones are not kept waiting. More words of the same state are: anybody may ask for those. */
function isUrgent(site: Site, said: Said, before: Spoken): boolean {
  if (site.status === before.status && said.commentId !== null) return false;
  switch (site.status) {
    case 'absent':
    case 'held':
    case 'ready':
    case 'failed':
    case 'ending':
    case 'ended':
      return true;
    case 'queued':
    case 'building':
    case 'deploying':
      return said.commentId === null;
    default:
      return site satisfies never;
  }
}

const isRemoved = (site: Site): boolean => (site.status === 'ending' || site.status === 'ended') && site.reason.kind === 'removed';

/** Where a queued site stands: behind others, or without a place. */
async function lineOf({ store, maxSites }: ReporterParts, site: Site): Promise<Pick<SiteView, 'place' | 'holders'>> {
  if (site.status !== 'queued') return { place: null, holders: null };
  if (site.place === 'taken') return { place: 1 + (await store.places.before(site.id)), holders: null };
  const placed = await store.places.holders({ forge: site.pull.forge, id: site.pull.repository });
  // One that was refused may be read between a place's coming free and its being given to whoever has waited longest.
  if (site.place === 'none' && placed.length < maxSites) return { place: 1 + (await store.places.before(site.id)), holders: null };
  return { place: null, holders: placed.map(({ pull: { number }, endsAt }) => ({ number, endsAt })) };
}

/** @returns whether anything was said */
async function say(
  parts: ReporterParts,
  { site, said, held, link }: { readonly site: Site; readonly said: Said; readonly held: Held; readonly link: ForgeLink | undefined },
): Promise<boolean> {
  const log = parts.log.child({ site: site.id, sha: site.head.sha });
  const repository = await parts.store.repositories.find(site.pull.forge, site.pull.repository);
  // Out of our reach, for ever or until it is added again: what is on the forge stays as it is.
  if (isRemoved(site) || link === undefined || repository === undefined) {
    await parts.store.reports.save(site.id, { ...said, version: site.version }, { held });
    return false;
  }
  const [launches, now, usage] = await Promise.all([
    parts.store.launches.of(site.id, LAUNCHES_TOLD),
    parts.store.now(),
    parts.target === 'gcp' ? parts.store.usage.of(site.id) : null,
  ]);
  const view = {
    site,
    launches,
    repository: repository.name,
    forge: link.forge,
    url: siteUrl(parts.previewUrl, site.host),
    ...(await lineOf(parts, site)),
    checkUrl: said.checks[site.head.sha]?.url ?? null,
    word: parts.word,
    target: parts.target,
    usage,
  };
  const place = { repository, number: site.pull.number, site: site.id };
  const guard = (): Promise<void> => parts.store.leases.check(held);
  const saying: Saying = { voice: link.voice, place, view, now, said, guard, log };
  const { said: reached, fault, changed } = await sayEverything(saying);
  // What was said is kept even when the rest could not be: said twice, it would be two comments.
  await parts.store.reports.save(site.id, { ...reached, version: fault === undefined ? site.version : said.version }, { held });
  if (fault === undefined) {
    parts.metrics.reported(changed ? 'said' : 'unchanged');
    return changed;
  }
  parts.metrics.reported('failed');
  throw fault;
}
