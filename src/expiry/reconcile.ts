import { createHash } from 'node:crypto';
import { type Forge, pullName, type Repository, type SiteId, shortSha } from '../site/identity.ts';
import type { Facts, PullNow } from '../site/ports.ts';
import { CAUSED_BY_FORGE, CAUSED_BY_SETTINGS } from '../site/problem.ts';
import { askSettings } from '../site/repo-config.ts';
import type { Site } from '../site/site.ts';
import { isOver } from '../site/site-changes.ts';
import type { Store } from '../store/store.ts';
import type { Finding } from './plan.ts';

const PAGE = 500;

type Rows = Pick<Store, 'sites' | 'apply'>;

export type ForgeTruth = {
  readonly forge: Pick<Forge, 'kind'>;
  readonly facts: Pick<Facts, 'openPulls' | 'file'>;
  /** Looks at one pull as if the forge had just told of it. */
  readonly lookAtPull: (repository: Repository, number: number) => Promise<void>;
  readonly looks: Looks;
};

/** How pulls stood, with the settings they are under, when they were last looked at without anything coming of it. */
export type Looks = Map<string, ReadonlyMap<number, string>>;

/**
 * Compares the forge's open pulls with the rows of one repository, both ways: a pull without its site, a site whose pull is closed,
 * a commit that we never heard of. Only what differs is looked at, and what failed because of settings; that look decides.
 */
export async function planPulls(store: Rows, repository: Repository, truth: ForgeTruth): Promise<readonly Finding[]> {
  const standing = new Map((await standingIn(store, repository)).map((site) => [site.pull.number, site]));
  const open = new Map((await truth.facts.openPulls(repository)).map((pull) => [pull.number, pull]));
  const before = truth.looks.get(keyOf(repository));
  const looks = new Map<number, string>();
  truth.looks.set(keyOf(repository), looks);
  const standOf = openStands(truth.facts, repository);
  const findings: Finding[] = [];
  for (const number of new Set([...open.keys(), ...standing.keys()])) {
    const site = standing.get(number) ?? (await store.sites.findByPull(pullOf(repository, number)));
    const found = planPull({ store, repository, truth }, { number, site, pull: open.get(number) });
    const pull = open.get(number);
    // Where it takes a look to tell, one is enough for as long as nothing differs that it could go by.
    const stand = found.unsure === undefined || pull === undefined ? undefined : await standOf(pull);
    const remember = (): void => void (stand !== undefined && looks.set(number, stand));
    if (stand !== undefined && stand === before?.get(number)) remember();
    else if (found.unsure !== undefined) findings.push(found.unsure(remember));
    findings.push(...found.sure);
  }
  return findings;
}

export const keyOf = ({ forge, id }: Repository): string => `${forge} ${id}`;

/** What a pull stands as: itself, and the settings of its base branch, which are asked for once. */
function openStands(facts: Pick<Facts, 'file'>, repository: Repository): (pull: PullNow) => Promise<string> {
  const asked = new Map<string, Promise<unknown>>();
  return async ({ head, labels }) => {
    const settings = asked.get(head.base) ?? askSettings(facts, repository, head.base);
    asked.set(head.base, settings);
    return createHash('sha256')
      .update(JSON.stringify([head, labels, await settings]))
      .digest('base64url');
  };
}

/** Sites that stand although nothing is known of their repository any more: no pull will ever end them. */
export async function planStrangers(store: Rows & Pick<Store, 'repositories'>): Promise<readonly Finding[]> {
  const { repositories } = store;
  // In this order: a repository is known before its first site is made.
  const standing = (await standingIn(store)).filter(({ status }) => status !== 'ending');
  const known = new Set((await repositories.all()).map(({ forge, id }) => `${forge} ${id}`));
  const end = async ({ id, pull }: Site): Promise<boolean> => {
    if ((await repositories.find(pull.forge, pull.repository)) !== undefined) return false;
    return (await store.apply(id, { type: 'repositoryRemoved' })).changed;
  };
  return standing
    .filter(({ pull }) => !known.has(`${pull.forge} ${pull.repository}`))
    .map((site) => ({
      kind: 'site',
      name: site.id,
      where: site.pull.forge,
      why: `its repository ${site.pull.repository} is not known`,
      deed: { word: 'ended', run: () => end(site) },
    }));
}

type Compared = { readonly number: number; readonly site: Site | undefined; readonly pull: PullNow | undefined };
type Parts = { readonly store: Rows; readonly repository: Repository; readonly truth: ForgeTruth };

/** `sure`: what is not as it should be; `unsure`: what may not be, and calls `looked` once it was looked at. */
type Planned = { readonly sure: readonly Finding[]; readonly unsure: ((looked: () => void) => Finding) | undefined };

function planPull({ store, repository, truth }: Parts, { number, site, pull }: Compared): Planned {
  const about = { kind: 'pull', name: pullName(truth.forge, number), where: repository.name } as const;
  const look = async (): Promise<boolean> => {
    await truth.lookAtPull(repository, number);
    // The look decides: a pull may have no site because its settings want none.
    return (await store.sites.findByPull(pullOf(repository, number)))?.version !== site?.version;
  };
  const findings: Finding[] = [];
  if (site !== undefined && pull !== undefined && failedForTheForge(site)) {
    const run = async (): Promise<boolean> => (await store.apply(site.id, { type: 'launchDoubted', launch: site.launch })).changed;
    findings.push({ ...about, why: 'failed while its forge was away', deed: { word: 'tried again', run } });
  }
  const differs = difference(site, pull);
  if (differs !== undefined) findings.push({ ...about, why: differs.why, deed: { word: differs.word, run: look } });
  const unsure = differs === undefined ? whyUnsure(site) : undefined;
  if (unsure === undefined) return { sure: findings, unsure };
  const finding = (looked: () => void): Finding => {
    const run = async (): Promise<boolean> => {
      const changed = await look();
      looked();
      return changed;
    };
    return { ...about, why: unsure, deed: { word: 'looked at', run } };
  };
  return { sure: findings, unsure: finding };
}

const pullOf = ({ forge, id }: Repository, number: number): Site['pull'] => ({ forge, repository: id, number });

/** The list of pulls was just answered, so the forge is back. */
const failedForTheForge = (site: Site): site is Extract<Site, { status: 'failed' }> =>
  site.status === 'failed' && CAUSED_BY_FORGE.includes(site.code);

/** Where a list of pulls shows no difference and there may be one: why the pull itself has to be looked at. */
function whyUnsure(site: Site | undefined): string | undefined {
  // The label that asks for a site may have been missed, or the push that mended the settings.
  if (site?.status === 'absent') return 'its settings wanted no site';
  if (site === undefined || isOver(site)) return undefined;
  if (site.status === 'failed' && CAUSED_BY_SETTINGS.includes(site.code)) return 'failed because of its settings';
  return site.closedAs === null ? undefined : 'asked for after its pull was closed';
}

/** Ended because of the pull, which is open: a reopening was missed. One that expired or was stopped waits for somebody. */
const comesBackUnasked = (site: Extract<Site, { status: 'ended' }>): boolean =>
  site.reason.kind !== 'expired' && site.reason.kind !== 'stopped';

/** Every site that stands, or those of one repository. */
export async function standingIn(store: Pick<Store, 'sites'>, repository?: Repository): Promise<readonly Site[]> {
  const all: Site[] = [];
  let after: SiteId | null = null;
  for (;;) {
    const page: readonly Site[] = await store.sites.standing({ after, limit: PAGE, ...(repository && { repository }) });
    all.push(...page);
    const last = page.at(-1);
    if (page.length < PAGE || last === undefined) return all;
    after = last.id;
  }
}

type Difference = { readonly why: string; readonly word: string };

function difference(site: Site | undefined, pull: PullNow | undefined): Difference | undefined {
  if (site === undefined) return { why: 'open, and has no site', word: 'given a site, if its settings want one' };
  // One that was asked for after the close stands until its end.
  if (pull === undefined) return isOver(site) || site.closedAs !== null ? undefined : { why: 'not open any more', word: 'ended' };
  if (site.status === 'ended' && comesBackUnasked(site)) return { why: 'open, and its site has ended', word: 'brought back' };
  if (site.head.sha !== pull.head.sha) {
    const now = shortSha(pull.head.sha);
    return { why: `at ${now}, and its site at ${shortSha(site.head.sha)}`, word: `moved to ${now}` };
  }
  return site.head.base === pull.head.base ? undefined : { why: 'its base branch changed', word: 'looked at' };
}
