import { type Answer, type AnswerCode, answer, type Notice } from '../site/answer.ts';
import { type Command, MAX_COMMANDS } from '../site/command.ts';
import type { ForgeEvent } from '../site/forge-event.ts';
import { type PullRef, shortSha } from '../site/identity.ts';
import type { Target } from '../site/ports.ts';
import { Fault } from '../site/problem.ts';
import { REGION_LIST, REGIONS, regionLabel, resolveRegion } from '../site/region.ts';
import { clockTime, inWords } from '../site/report-words.ts';
import type { Site } from '../site/site.ts';
import { isApproved, isOver } from '../site/site-changes.ts';
import type { Order, SiteNews, Topic } from '../site/site-news.ts';
import { lastLines } from '../site/text.ts';
import type { Applied, CommandGiven, Store } from '../store/store.ts';
import { lookAtPull, type PullParts } from './pulls.ts';

export type CommandParts = PullParts & {
  readonly store: PullParts['store'] & Pick<Store, 'apply' | 'commands' | 'reports' | 'now'>;
  /** The word that commands start with. */
  readonly word: string;
  /** Where the sites run that this process can reach; null where there are none. */
  readonly running: Pick<Target, 'sleep' | 'wake' | 'appLog'> | null;
};
type Comment = Extract<ForgeEvent, { type: 'commentWritten' }>;
/** One line of a comment by somebody who may type it. */
export type Asking = { readonly event: Comment; readonly given: CommandGiven };
type Came = { readonly answer: Answer; readonly log?: Notice['log'] };
type Verb<T extends Command['type']> = (parts: CommandParts, asking: Asking, command: Extract<Command, { type: T }>) => Promise<Came>;

const came = (code: AnswerCode, details: Answer['details'] = {}): Came => ({ answer: answer(code, details) });
export const pullOf = ({ repository, number }: Comment): PullRef => ({ forge: repository.forge, repository: repository.id, number });
export const siteOf = (parts: CommandParts, event: Comment): Promise<Site | undefined> => parts.store.sites.findByPull(pullOf(event));

/** Later comments have greater ids, on every forge. Zero: an id that is no number is before everything. */
function orderOf({ comment, line }: CommandGiven): Order {
  const id = Number(comment);
  return Number.isSafeInteger(id * (MAX_COMMANDS + 1)) ? id * (MAX_COMMANDS + 1) + line : 0;
}

/** Looks at the pull as it is now, which is the truth that a command is about. `made`: it gets a site, whatever the settings say of that. */
export async function lookAt(parts: CommandParts, event: Comment, wish: 'as it is' | 'made'): Promise<Site | undefined> {
  await parts.store.repositories.seen(event.repository);
  await lookAtPull(parts, event, { reopened: false, spoken: true, ...(wish === 'made' ? { asked: true } : {}) });
  return siteOf(parts, event);
}

const VERBS: { readonly [T in Command['type']]: Verb<T> } = {
  deploy: (parts, asking) => bringUp(parts, asking, { type: 'deployAsked', only: 'any' }),
  rebuild: (parts, asking) => bringUp(parts, asking, { type: 'rebuildAsked' }),
  async stop(parts, { event, given }) {
    const site = await siteOf(parts, event);
    if (site === undefined || site.status === 'absent') return came('no-preview');
    const applied = await carryOut(parts, { site, given }, { type: 'stopped', by: given.by.login, order: orderOf(given) });
    return isLater(applied, 'life', given) ? came('overtaken') : came('done');
  },
  async status(parts, { event }) {
    const site = await lookAt(parts, event, 'as it is');
    if (site === undefined) return came('pull-gone');
    await parts.store.reports.doubt(site.id);
    return came('renewed');
  },
  async extend(parts, { event, given }, { byMs }) {
    const site = await siteOf(parts, event);
    if (site === undefined || site.status === 'absent') return came('no-preview');
    const applied = await carryOut(parts, { site, given }, { type: 'extended', byMs, by: given.by.login });
    const { endsAt, terms, clockStart } = applied.site;
    if (isOver(applied.site)) return came(backOrGone(applied.site));
    const until = clockTime(endsAt, await parts.store.now());
    if (applied.fresh && !applied.changed) return came('at-limit', { until });
    const isAtLimit = endsAt.getTime() === clockStart.getTime() + terms.maxTtlMs;
    return isAtLimit ? came('capped-at-limit', { until, limit: inWords(terms.maxTtlMs) }) : came('done');
  },
  async keep(parts, { event, given }) {
    const site = await siteOf(parts, event);
    if (site === undefined || site.status === 'absent') return came('no-preview');
    const applied = await carryOut(parts, { site, given }, { type: 'kept', by: given.by.login });
    return isOver(applied.site) ? came(backOrGone(applied.site)) : came('done');
  },
  sleep: (parts, asking) => rest(parts, asking, 'sleep'),
  wake: (parts, asking) => rest(parts, asking, 'wake'),
  approve,
  async logs(parts, { event }, { of, lines }) {
    const site = await siteOf(parts, event);
    if (site === undefined || site.status === 'absent') return came('no-preview');
    const text = of === 'app' ? ((await parts.running?.appLog(site.id, lines)) ?? '') : await buildLog(parts, site, lines);
    return text.trim() === '' ? came('no-log') : { answer: answer('logs'), log: { of, text } };
  },
  async region(parts, { event, given }, { name }) {
    const site = (await siteOf(parts, event)) ?? (await lookAt(parts, event, 'as it is'));
    if (site === undefined) return came('pull-gone');
    const { policy } = parts;
    const isLocal = policy.target === 'local';
    const choice = resolveRegion(name, isLocal ? REGIONS : policy.regions);
    if ('refusal' in choice) {
      const { code, details } = choice.refusal;
      return came(code, isLocal ? { ...details, regions: REGION_LIST } : details);
    }
    const news = { type: 'regionChosen', region: name, by: given.by.login, order: orderOf(given) } as const;
    if (isLater(await carryOut(parts, { site, given }, news), 'region', given)) return came('overtaken');
    return came(isLocal ? 'region-here' : 'region-noted', { region: regionLabel(name) });
  },
  help: async () => came('help'),
  ping: async () => came('pong'),
};

/** Carries out what somebody typed who may. The answer is for people; nothing of it is thrown but what has to be tried again. */
export function runCommand<T extends Command['type']>(
  parts: CommandParts,
  asking: Asking,
  command: Extract<Command, { type: T }>,
): Promise<Came> {
  // The row of that type takes a command of that type, which the compiler does not see through the union.
  const verb = VERBS[command.type as T] as Verb<T>;
  return verb(parts, asking, command);
}

const SECOND_MS = 1_000;

type Wanted = { readonly type: 'deployAsked'; readonly only: 'any' } | { readonly type: 'rebuildAsked' };

/** Brings the pull's newest commit up, whatever kept it down. */
async function bringUp(parts: CommandParts, { event, given }: Asking, wanted: Wanted): Promise<Came> {
  const site = await lookAt(parts, event, 'made');
  if (site === undefined) return came('pull-gone');
  if (site.status === 'absent') return came('pull-closed');
  if (isOver(site) && site.reason.kind === 'removed') return came('repository-gone');
  if (site.closedAs !== null && isAfter(site.closedAt, event.comment.writtenAt)) return came('closed-since');
  if (isAfter(site.ruledAt, event.comment.writtenAt)) return came('overtaken');
  const news = { ...wanted, by: given.by.login, order: orderOf(given) };
  const applied = await carryOut(parts, { site, given }, news);
  if (isLater(applied, 'life', given)) return came('overtaken');
  return applied.site.status === 'held' ? came('waits-for-approval', { sha: shortSha(applied.site.head.sha) }) : came('done');
}

/** Whether it happened after the comment was written, whichever of the two we heard of first. Forges write times in whole seconds. */
const isAfter = (at: Date | null, writtenAt: string): boolean =>
  at !== null && Math.floor(Date.parse(writtenAt) / SECOND_MS) < Math.floor(at.getTime() / SECOND_MS);

/** What brings back what has ended. */
const backOrGone = (site: Extract<Site, { status: 'ending' | 'ended' | 'absent' }>): AnswerCode =>
  site.status !== 'absent' && site.reason.kind === 'removed' ? 'over-gone' : 'over';

const carryOut = (
  parts: CommandParts,
  { site, given }: { readonly site: Site; readonly given: CommandGiven },
  news: SiteNews,
): Promise<Applied> => parts.store.apply(site.id, news, { command: given });

/** Whether a command of the topic that was written later had been carried out before this one came. */
function isLater({ site }: Applied, topic: Topic, given: CommandGiven): boolean {
  return site.wishes.newest[topic] > (orderOf(given) ?? 0);
}

async function buildLog(parts: CommandParts, site: Site, lines: number): Promise<string> {
  const [launch] = await parts.store.launches.of(site.id, 1);
  return lastLines(launch?.tail ?? '', lines).join('\n');
}

/** Stops the processes of what visitors get, or starts them. */
async function rest(parts: CommandParts, { event, given }: Asking, wish: 'sleep' | 'wake'): Promise<Came> {
  const site = await siteOf(parts, event);
  if (site === undefined || site.status === 'absent') return came('no-preview');
  if (isOver(site)) return came(backOrGone(site));
  if (site.live === null || parts.running === null) return came('no-live');
  const applied = await carryOut(parts, { site, given }, { type: 'restAsked', by: given.by.login, order: orderOf(given) });
  if (isLater(applied, 'rest', given)) return came('overtaken');
  try {
    // What runs elsewhere is put to sleep there, by nobody's order; a wake is a visit of ours, which may not be let in.
    if (site.live.served.kind === 'remote') {
      if (wish === 'wake') await parts.running.wake(site.id, site.live.revision);
      return came('rests-by-itself');
    }
    const hasProcesses = await parts.running[wish](site.id, site.live.revision);
    return came(!hasProcesses ? 'only-files' : wish === 'sleep' ? 'asleep' : 'awake');
  } catch (error) {
    if (error instanceof Fault && error.code === 'wake-failed') return came('did-not-wake');
    throw error;
  }
}

/** Allows the commit that is the newest now, when that is the one that was meant. */
async function approve(parts: CommandParts, { event, given }: Asking, command: { readonly sha: string | null }): Promise<Came> {
  const site = await lookAt(parts, event, 'as it is');
  if (site === undefined) return came('pull-gone');
  const { head } = site;
  const newest = { sha: shortSha(head.sha) };
  if (isOver(site)) return came('not-waiting');
  if (command.sha !== null && !head.sha.startsWith(command.sha)) return came('not-newest', { ...newest, asked: command.sha.slice(0, 12) });
  if (site.status !== 'held')
    return came(head.trust === 'untrusted' && isApproved(head, site.approval) ? 'approved-already' : 'not-waiting');
  const { writtenAt } = event.comment;
  if (isAfter(site.closedAt, writtenAt) || hasTurnedSince(site, writtenAt)) return came('turned-since', newest);
  if (command.sha !== head.sha && !wasNewestAt(site, { writtenAt, isNamed: command.sha !== null })) return came('which-commit', newest);
  const { id, login } = given.by;
  const approval = { sha: head.sha, repository: head.repository, base: head.base, by: { id, login } };
  const applied = await carryOut(parts, { site, given }, { type: 'approved', approval });
  // It moved on between the look and the row: what waits now is another commit.
  return applied.changed || !applied.fresh ? came('done') : came('which-commit', { sha: shortSha(applied.site.head.sha) });
}

/**
 * Whether the commit that is the newest now was it when the comment was written. Forges write times in whole seconds, so within the second in
 * which we first saw the commit it is only sure for a pull that never had another. There, some of its digits are enough, too; elsewhere
 * another commit may have the same.
 */
function wasNewestAt(
  { pushedAt, moved }: Site,
  { writtenAt, isNamed }: { readonly writtenAt: string; readonly isNamed: boolean },
): boolean {
  if (isNamed && !moved) return true;
  return isWrittenSince(pushedAt, writtenAt) || (!moved && Date.parse(writtenAt) === wholeSecond(pushedAt));
}

/** Whether the pull may have stood otherwise, its commit apart, when the comment was written. */
const hasTurnedSince = ({ turnedAt }: Site, writtenAt: string): boolean => turnedAt !== null && !isWrittenSince(turnedAt, writtenAt);

const wholeSecond = (at: Date): number => Math.floor(at.getTime() / SECOND_MS) * SECOND_MS;

/** Whether the comment was surely written when that had happened: a time in whole seconds is sure from the next second on. */
function isWrittenSince(at: Date, writtenAt: string): boolean {
  const written = Date.parse(writtenAt);
  return written % SECOND_MS === 0 ? written > wholeSecond(at) : written >= at.getTime();
}
