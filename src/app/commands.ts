import type { Logger } from 'pino';
import { type Command, parseCommands } from '../site/command.ts';
import type { ForgeEvent } from '../site/forge-event.ts';
import type { PullRef } from '../site/identity.ts';
import { mayRun } from '../site/policy.ts';
import type { Voice } from '../site/ports.ts';
import { Fault } from '../site/problem.ts';
import type { Site } from '../site/site.ts';
import type { Store } from '../store/store.ts';
import { type ForgeLink, getLink, lookAtPull, type PullParts } from './pulls.ts';

export type CommandParts = PullParts & {
  readonly store: PullParts['store'] & Pick<Store, 'apply'>;
  /** The word that commands start with. */
  readonly word: string;
};
type Comment = Extract<ForgeEvent, { type: 'commentWritten' }>;
type Reaction = Parameters<Voice['react']>[2];
type Verdict = Exclude<Reaction, 'taken'>;

/** What the person has to know first, of several commands in one comment. */
const WORST_FIRST = ['refused', 'confused', 'done'] as const satisfies readonly Verdict[];

/**
 * Does what a new comment asks for, once: the delivery is handled in the transaction that changes the site. The forge is asked at
 * this moment what its author may do. The answer is a reaction; commands that are not built yet are answered like unknown ones.
 */
export async function handleComment(parts: CommandParts, event: Comment, delivery: string): Promise<void> {
  const { commands, mistakes } =
    event.author.kind === 'bot' ? { commands: [], mistakes: [] } : parseCommands(event.comment.body, parts.word);
  if (commands.length === 0 && mistakes.length === 0) return parts.store.inbox.handled(delivery);
  const link = getLink(parts.links, event.repository.forge);
  const log = parts.log.child({ delivery });
  const permission = await link.facts.permission(event.repository, event.author);
  const react = reactor(link, event, log);
  const allowed = commands.filter((command) => mayRun(command.type, permission));
  const verdicts = new Set<Verdict>(mistakes.length > 0 ? ['confused'] : []);
  if (allowed.length < commands.length) verdicts.add('refused');
  if (allowed.some(isBuilt)) await react('taken');
  for (const command of allowed) if (!isExtend(command)) verdicts.add(await run(parts, event, command));
  const extensions = allowed.filter(isExtend);
  if (extensions.length > 0) {
    // Last, with the delivery: all others may be done twice, should we die in between.
    verdicts.add(await extend(parts, event, { delivery, byMs: extensions.reduce((sum, { byMs }) => sum + byMs, 0) }));
  }
  await parts.store.inbox.handled(delivery);
  const verdict = WORST_FIRST.find((candidate) => verdicts.has(candidate)) ?? 'done';
  log.info({ commands: commands.map(({ type }) => type), mistakes: mistakes.length, permission, verdict }, 'a comment was answered');
  await react(verdict);
}

const isBuilt = ({ type }: Command): boolean => type === 'extend' || type === 'deploy' || type === 'stop';

/** One command of those that may be done twice. */
async function run(parts: CommandParts, event: Comment, { type }: Command): Promise<Verdict> {
  switch (type) {
    case 'deploy':
      return deploy(parts, event);
    case 'stop':
      return stop(parts, event);
    default:
      return 'confused';
  }
}

/** Brings the pull's newest commit up, whatever kept it down; one that is on its way, or all well, is left alone. */
async function deploy(parts: CommandParts, event: Comment): Promise<Verdict> {
  await parts.store.repositories.seen(event.repository);
  await lookAtPull(parts, event, { reopened: false, asked: true });
  const site = await parts.store.sites.findByPull(pullOf(event));
  if (site === undefined || endedWithItsPull(site)) return 'refused';
  await parts.store.apply(site.id, { type: 'deployAsked', by: event.author.login, only: 'any' });
  return 'done';
}

async function stop(parts: CommandParts, event: Comment): Promise<Verdict> {
  const site = await parts.store.sites.findByPull(pullOf(event));
  if (site === undefined) return 'refused';
  await parts.store.apply(site.id, { type: 'stopped', by: event.author.login });
  return 'done';
}

/** Closed, merged, or out of our reach: only the pull itself can bring it back. */
const endedWithItsPull = (site: Site): boolean =>
  (site.status === 'ending' || site.status === 'ended') && site.reason.kind !== 'expired' && site.reason.kind !== 'stopped';

const pullOf = ({ repository, number }: Comment): PullRef => ({ forge: repository.forge, repository: repository.id, number });

const isExtend = (command: Command): command is Extract<Command, { type: 'extend' }> => command.type === 'extend';

/** Several `extend` lines are one extension by their sum, so that all of it happens or none. */
async function extend(parts: CommandParts, event: Comment, by: { readonly delivery: string; readonly byMs: number }): Promise<Verdict> {
  const site = await parts.store.sites.findByPull(pullOf(event));
  if (site === undefined) return 'refused';
  const news = { type: 'extended', byMs: by.byMs, by: event.author.login } as const;
  const { changed } = await parts.store.apply(site.id, news, { delivery: by.delivery });
  // Unchanged: it has ended, or already stands for as long as it may. The comment shows which.
  return changed ? 'done' : 'refused';
}

function reactor(link: ForgeLink, event: Comment, log: Logger): (reaction: Reaction) => Promise<void> {
  return async (reaction) => {
    try {
      await link.voice.react(event.repository, event.comment.id, reaction);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      // The comment may be deleted, the pull locked, the forge away: a receipt is not worth doing the command again, or not at all.
      log.warn({ err: error, reaction }, 'the reaction to a comment could not be placed');
    }
  };
}
