import type { Logger } from 'pino';
import { asksForChanges, type Decision, decide, type OperatorPolicy } from '../site/decide.ts';
import type { Claim } from '../site/forge-event.ts';
import {
  type Forge,
  type ForgeId,
  hostLabel,
  type PullRef,
  pullName,
  type Repository,
  type RepositoryId,
  type Sha,
} from '../site/identity.ts';
import type { Facts, PullNow, Voice } from '../site/ports.ts';
import { MENDED_BY_SETTINGS } from '../site/problem.ts';
import { askSettings, parseRepoConfig, type Settings, settingsDigest } from '../site/repo-config.ts';
import type { Site } from '../site/site.ts';
import type { Because, Store } from '../store/store.ts';

/** One forge that this Mayfly serves, with what reads and what speaks there. */
export type ForgeLink = {
  readonly forge: Forge;
  readonly facts: Facts;
  readonly voice: Voice;
  /** What a webhook says, as the forge says it when it is asked; undefined when it says nothing of the kind. */
  readonly confirm: (event: Claim) => Promise<Claim | undefined>;
  /** Drops what is kept in memory of a repository, or of all that an access led to. */
  readonly forget: (gone: { readonly access: string; readonly id: RepositoryId | 'all' }) => void;
};

export type PullParts = {
  readonly store: Pick<Store, 'apply' | 'applyToPull' | 'sites' | 'launches' | 'repositories' | 'inbox'>;
  readonly links: ReadonlyMap<ForgeId, ForgeLink>;
  readonly policy: OperatorPolicy;
  readonly log: Logger;
};

/** @throws Error when the forge is not configured any more: nothing can be asked there */
export function getLink(links: ReadonlyMap<ForgeId, ForgeLink>, forge: ForgeId): ForgeLink {
  const link = links.get(forge);
  if (link === undefined) throw new Error(`The forge ${forge} is not configured`);
  return link;
}

/** What made us look: of the event itself only a reopening counts, all else is asked. */
export type Look = {
  readonly reopened: boolean;
  /** The commit with which the pull was opened, when that is what we were told. */
  readonly opened?: Sha;
  /** Somebody who may asked for a site, so the pull gets one whatever the settings say of which pulls do by themselves. */
  readonly asked?: true;
  /** Somebody has to be told something, so a pull that has no site is remembered. */
  readonly spoken?: true;
  readonly delivery?: string;
};

/** Looks at one pull as the forge has it now, and moves its site there. */
export async function lookAtPull(
  parts: PullParts,
  at: { readonly repository: Repository; readonly number: number },
  look: Look,
): Promise<void> {
  const { facts } = getLink(parts.links, at.repository.forge);
  // Drawn before asking: what we are told then is at least this new.
  const observation = await parts.store.repositories.nextObservation();
  const pull = await facts.pull(at.repository, at.number);
  const settings = pull?.state === 'open' ? await askSettings(facts, at.repository, pull.head.base) : parseRepoConfig(undefined);
  await bring(parts, { ...at, observation, pull, settings }, look);
}

/** Looks at every open pull of a repository; with `base`, at those onto that branch. */
export async function lookAtOpenPulls(parts: PullParts, repository: Repository, base?: string): Promise<readonly PullNow[]> {
  const { facts } = getLink(parts.links, repository.forge);
  const observation = await parts.store.repositories.nextObservation();
  const pulls = (await facts.openPulls(repository)).filter((pull) => base === undefined || pull.head.base === base);
  const settings = new Map<string, Settings>();
  for (const pull of pulls) {
    const known = settings.get(pull.head.base) ?? (await askSettings(facts, repository, pull.head.base));
    settings.set(pull.head.base, known);
    await bring(parts, { repository, number: pull.number, observation, pull, settings: known }, { reopened: false });
  }
  return pulls;
}

type Seen = {
  readonly repository: Repository;
  readonly number: number;
  readonly observation: number;
  readonly pull: PullNow | undefined;
  readonly settings: Settings;
};

async function bring(parts: PullParts, seen: Seen, look: Look): Promise<void> {
  const { repository, number } = seen;
  const ref = { forge: repository.forge, repository: repository.id, number };
  const site = await parts.store.sites.findByPull(ref);
  const hasSite = look.asked === true || (site !== undefined && site.status !== 'absent');
  const changes = hasSite ? null : await changesOf(parts, seen);
  const isUntouched = look.opened !== undefined && look.opened === seen.pull?.head.sha;
  const decision = decide(
    { action: look.reopened ? 'reopened' : 'other', isUntouched, repository },
    { ...seen, hasSite, changes },
    parts.policy,
  );
  const because: Because = look.delivery === undefined ? {} : { delivery: look.delivery };
  if (decision.do === 'nothing') {
    const pull = `${repository.name}${pullName(getLink(parts.links, repository.forge).forge, number)}`;
    parts.log.debug({ pull, why: decision.why }, 'no site for this pull');
    if (look.delivery !== undefined) await parts.store.inbox.handled(look.delivery);
    return;
  }
  const applied = await apply(parts, { repository, ref, news: decision.news, because });
  // Of a closed pull no settings were asked, and there are none to have changed.
  if (applied && seen.pull?.state === 'open') await tryMended(parts, applied, seen.settings);
  if (look.spoken && decision.do === 'end' && site === undefined) await rememberClosed(parts, { repository, ref, seen });
}

/** A pull that was closed before it ever had a site: there is a row now that somebody can be answered by. */
async function rememberClosed(
  parts: PullParts,
  { repository, ref, seen }: { readonly repository: Repository; readonly ref: PullRef; readonly seen: Seen },
): Promise<void> {
  if (seen.pull === undefined) return;
  const { terms, region } = parts.policy;
  const news = {
    type: 'passedOver',
    observation: seen.observation,
    head: seen.pull.head,
    terms,
    region,
    passed: { why: 'closed' },
  } as const;
  await apply(parts, { repository, ref, news, because: {} });
}

/** What failed under settings that have since changed is tried again, whichever way we came to see that they have. */
async function tryMended(parts: PullParts, site: Site, settings: Settings): Promise<void> {
  if (site.status !== 'failed' || !MENDED_BY_SETTINGS.includes(site.code)) return;
  const [launch] = await parts.store.launches.of(site.id, 1);
  if (launch?.notes.settings === undefined || launch.notes.settings === settingsDigest(settings)) return;
  const { changed } = await parts.store.apply(site.id, {
    type: 'deployAsked',
    by: 'settings',
    only: MENDED_BY_SETTINGS,
    order: null,
  });
  if (changed) parts.log.info({ site: site.id, failed: site.code }, 'other settings: tried again');
}

/** Asked only where it matters: for a pull without a site, in a repository of which only a part is built. */
async function changesOf(parts: PullParts, { repository, number, pull, settings }: Seen): Promise<readonly string[] | null> {
  if (pull?.state !== 'open' || !('config' in settings) || !asksForChanges(settings.config)) return null;
  return getLink(parts.links, repository.forge).facts.changedPaths(repository, number);
}

type Step = {
  readonly repository: Repository;
  readonly ref: Parameters<Store['applyToPull']>[0]['pull'];
  readonly news: Exclude<Decision, { do: 'nothing' }>['news'];
  readonly because: Because;
};

async function apply(parts: PullParts, { repository, ref, news, because }: Step): Promise<Site | undefined> {
  const { forge } = getLink(parts.links, repository.forge);
  const host = hostLabel(forge, repository.name, { repository: ref.repository, number: ref.number });
  const applied = await parts.store.applyToPull({ pull: ref, host }, news, because);
  if (applied?.changed === true) {
    const { id, status, head } = applied.site;
    parts.log.info(
      { site: id, sha: head.sha, status, news: news.type, pull: `${repository.name}${pullName(forge, ref.number)}` },
      'the pull changed its site',
    );
  }
  return applied?.site;
}
