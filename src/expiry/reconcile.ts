import type { Logger } from 'pino';
import { type Repository, type SiteId, shortSha } from '../site/identity.ts';
import type { Facts, Found, PullNow, Target } from '../site/ports.ts';
import { CAUSED_BY_FORGE, CAUSED_BY_SETTINGS } from '../site/problem.ts';
import type { Site } from '../site/site.ts';
import { isOver } from '../site/site-changes.ts';
import type { Store } from '../store/store.ts';

const PAGE = 500;

export type Finding = { readonly kind: Found['kind'] | 'pull'; readonly name: string };

/**
 * Compares what runs on the target with the rows, and removes what belongs to a site that has ended or never was. Something that is
 * ours but cannot be told whose is reported and left to the operator. Takes the site's lease, so a launch is never disturbed.
 */
export async function reconcileTarget(store: Store, target: Target, log: Logger): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  const orphans = new Map<SiteId, Found[]>();
  for (const found of await target.survey()) {
    if (found.site === null) {
      findings.push(found);
      log.warn({ found }, 'something on the target wears our label, but no site is known for it');
      continue;
    }
    const site = await store.sites.find(found.site);
    if (site === undefined || site.status === 'ended') orphans.set(found.site, [...(orphans.get(found.site) ?? []), found]);
  }
  for (const [site, found] of orphans) {
    await using held = await store.leases.take(`site:${site}`);
    if (held === undefined) continue;
    // Read anew under the lease: the pull may have been reopened since.
    const now = await store.sites.find(site);
    if (now !== undefined && now.status !== 'ended') continue;
    log.warn({ site, found }, 'removing what an ended site left behind');
    await target.destroy(held, site, { signal: held.signal });
    findings.push(...found);
  }
  return findings;
}

export type ForgeTruth = {
  readonly facts: Pick<Facts, 'openPulls'>;
  /** Looks at one pull as if the forge had just told of it. */
  readonly lookAtPull: (repository: Repository, number: number) => Promise<void>;
};

/**
 * Compares the forge's open pulls with the rows of one repository, both ways: a pull without its site, a site whose pull is closed,
 * a commit that we never heard of. Only what differs is looked at, and what failed because of settings; that look decides.
 */
export async function reconcileRepository(store: Store, repository: Repository, truth: ForgeTruth): Promise<readonly Finding[]> {
  const standing = await standingOf(store, repository);
  const open = new Map((await truth.facts.openPulls(repository)).map((pull) => [pull.number, pull]));
  const findings: Finding[] = [];
  for (const number of new Set([...open.keys(), ...standing.keys()])) {
    const pull = { forge: repository.forge, repository: repository.id, number };
    const site = standing.get(number) ?? (await store.sites.findByPull(pull));
    if (site !== undefined && open.has(number) && failedForTheForge(site)) {
      await store.apply(site.id, { type: 'forgeAnswered' });
      findings.push({ kind: 'pull', name: `${repository.name}#${number}: failed while its forge was away` });
    }
    const name = difference(site, open.get(number));
    if (name === undefined && !failedBySettings(site) && !outlivesClose(site) && site?.status !== 'absent') continue;
    await truth.lookAtPull(repository, number);
    if (name === undefined) continue;
    findings.push({ kind: 'pull', name: `${repository.name}#${number}: ${name}` });
  }
  return findings;
}

/** The list of pulls was just answered, so the forge is back. */
const failedForTheForge = (site: Site): boolean => site.status === 'failed' && CAUSED_BY_FORGE.includes(site.code);

/** Nothing differs that a list of pulls shows; but the push that mended the settings may have been missed. */
const failedBySettings = (site: Site | undefined): boolean => site?.status === 'failed' && CAUSED_BY_SETTINGS.includes(site.code);

/** Ended because of the pull, which is open: a reopening was missed. One that expired or was stopped waits for somebody. */
const comesBackUnasked = (site: Extract<Site, { status: 'ended' }>): boolean =>
  site.reason.kind !== 'expired' && site.reason.kind !== 'stopped';

/** Asked for after a close: only a look at the pull itself shows whether there was another close since. */
const outlivesClose = (site: Site | undefined): boolean => site !== undefined && !isOver(site) && site.closedAs !== null;

async function standingOf(store: Store, repository: Repository): Promise<ReadonlyMap<number, Site>> {
  const byNumber = new Map<number, Site>();
  let after: SiteId | null = null;
  for (;;) {
    const page: readonly Site[] = await store.sites.standing({ after, limit: PAGE, repository });
    for (const site of page) byNumber.set(site.pull.number, site);
    const last = page.at(-1);
    if (page.length < PAGE || last === undefined) return byNumber;
    after = last.id;
  }
}

function difference(site: Site | undefined, pull: PullNow | undefined): string | undefined {
  if (site === undefined) return 'no site was made';
  // One that was asked for after the close stands until its end.
  if (pull === undefined) return isOver(site) || site.closedAs !== null ? undefined : 'not open any more';
  if (site.status === 'ended' && comesBackUnasked(site)) return 'its site has ended';
  if (site.head.sha !== pull.head.sha) return `at ${shortSha(pull.head.sha)}, not ${shortSha(site.head.sha)}`;
  return site.head.base === pull.head.base ? undefined : 'its base branch changed';
}
