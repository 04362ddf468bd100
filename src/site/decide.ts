import type { Terms } from './deadline.ts';
import type { ForgeEvent } from './forge-event.ts';
import { isAllowed, type Pattern } from './policy.ts';
import type { PullNow } from './ports.ts';
import { type RegionRefusal, resolveRegion } from './region.ts';
import type { RepoConfig, Settings } from './repo-config.ts';
import type { PassedOver } from './site.ts';
import type { SiteNews } from './site-news.ts';

/** What the operator decided for every repository. */
export type OperatorPolicy = {
  readonly repositories: readonly Pattern[];
  readonly terms: Terms;
  /** Name, alias or group that a repository gets which asks for none. */
  readonly region: string;
  /** Google's names, most wanted first. */
  readonly regions: readonly string[];
  readonly target: 'local' | 'gcp';
  /** Sites of one repository that may stand at once. */
  readonly maxSites: number;
};

/**
 * What the forge answered, asked after the event. `observation` was drawn before asking, so that the answer is at least as new as its number.
 */
export type PullFacts = {
  readonly observation: number;
  /** Undefined when there is no such pull any more. */
  readonly pull: PullNow | undefined;
  /** Of the base branch, now. */
  readonly settings: Settings;
  /** Whether the pull has a site already, whatever its status. */
  readonly hasSite: boolean;
  /** Paths that the pull changes; null when they are not known, or were not asked for (see `asksForChanges`). */
  readonly changes: readonly string[] | null;
};

export type Decision =
  | { readonly do: 'bring'; readonly news: Extract<SiteNews, { type: 'headSeen' }> }
  | { readonly do: 'end'; readonly news: Extract<SiteNews, { type: 'pullClosed' }> }
  /** No site of its own accord; what is remembered of that. */
  | { readonly do: 'pass'; readonly news: Extract<SiteNews, { type: 'passedOver' }> }
  | { readonly do: 'nothing'; readonly why: 'repository-not-allowed' };

/**
 * What an event about a pull comes to. Rests on what the forge says now; of the event only that it was a reopening counts, which the
 * facts alone cannot tell. Settings with mistakes do not keep a site from coming: its launch fails and says what to mend.
 */
export function decide(
  event: Pick<Extract<ForgeEvent, { type: 'pullChanged' }>, 'action' | 'repository'> & { readonly isUntouched?: boolean },
  facts: PullFacts,
  policy: OperatorPolicy,
): Decision {
  const { observation, pull } = facts;
  if (pull === undefined || pull.state !== 'open') {
    const { closedAt, head } = pull ?? { closedAt: null, head: null };
    return { do: 'end', news: { type: 'pullClosed', observation, merged: pull?.state === 'merged', closedAt, head } };
  }
  if (!isAllowed(policy.repositories, event.repository.name)) return { do: 'nothing', why: 'repository-not-allowed' };
  const config = 'config' in facts.settings ? facts.settings.config : undefined;
  const passed = facts.hasSite || !config ? undefined : reasonAgainst(config, pull, facts.changes);
  const region = effectiveRegion(config, policy);
  const seen = {
    observation,
    head: pull.head,
    terms: effectiveTerms(config, policy),
    region: 'region' in region ? region.region : policy.region,
    ...asking(config, policy),
    ...(event.isUntouched === true ? { untouched: true as const } : {}),
  };
  if (passed !== undefined) return { do: 'pass', news: { type: 'passedOver', ...seen, passed } };
  return { do: 'bring', news: { type: 'headSeen', ...seen, reopened: event.action === 'reopened' } };
}

/** What the settings ask for, where it matters which region that comes to. */
const asking = (config: RepoConfig | undefined, { target }: OperatorPolicy): { readonly asks?: string } =>
  target === 'local' || config === undefined || config.region === null ? {} : { asks: config.region };

/** Why an open pull gets no site of its own accord; a pull that has one keeps it up to date whatever these say. */
function reasonAgainst(config: RepoConfig, pull: PullNow, changes: readonly string[] | null): PassedOver | undefined {
  if (pull.head.draft && !config.drafts) return { why: 'draft' };
  if (config.previews === 'command') return { why: 'awaits-command' };
  const hasLabel = pull.labels.some((label) => label.toLowerCase() === config.label.toLowerCase());
  if (config.previews === 'label' && !hasLabel) return { why: 'no-label' };
  if (changes === null || !asksForChanges(config) || touches(config, changes)) return undefined;
  return { why: 'nothing-touched', root: config.root };
}

/** Whether it matters which files a pull changes: only when a part of the repository is built. */
export const asksForChanges = (config: RepoConfig): boolean => config.root !== '.' && !config.include.includes('.');

/** Whether any of the changed paths is built: under `root` or an `include`; the seed counts, and so do the settings themselves. */
export function touches(config: RepoConfig, changes: readonly string[]): boolean {
  const seed = config.database?.seed;
  const built = [config.root, ...config.include, '.mayfly.yml', ...(seed ? [seed] : [])];
  return changes.some((path) => built.some((folder) => folder === '.' || path === folder || path.startsWith(`${folder}/`)));
}

/** How long the site may live: what the settings say within the operator's limit, else the operator's default. */
export function effectiveTerms(config: RepoConfig | undefined, policy: Pick<OperatorPolicy, 'terms'>): Terms {
  const { ttlMs, maxTtlMs } = policy.terms;
  return { ttlMs: Math.min(config?.ttl ?? ttlMs, maxTtlMs), maxTtlMs };
}

/**
 * Where the site runs. On this machine every region of the table is as good as any; on a cloud one that is not allowed is refused,
 * which fails the launch with that problem.
 */
export function effectiveRegion(
  config: Pick<RepoConfig, 'region'> | undefined,
  policy: Pick<OperatorPolicy, 'region' | 'regions' | 'target'>,
): { readonly region: string } | { readonly refusal: RegionRefusal } {
  if (policy.target === 'local') return { region: config?.region ?? policy.region };
  return resolveRegion(config?.region ?? policy.region, policy.regions);
}
