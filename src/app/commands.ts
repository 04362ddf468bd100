import type { Logger } from 'pino';
import { ANSWERS, type Answer, type AnswerCode, answer, type Notice, type Outcome, outcomeOf, type Said } from '../site/answer.ts';
import { parseCommands, type TypedLine } from '../site/command.ts';
import type { ForgeEvent } from '../site/forge-event.ts';
import { allowedTo, mayRun, NEEDED } from '../site/policy.ts';
import type { Permission, Voice } from '../site/ports.ts';
import { Fault } from '../site/problem.ts';
import type { CommandGiven } from '../store/store.ts';
import { type Asking, type CommandParts, lookAt, pullOf, runCommand, siteOf } from './command-verbs.ts';
import { type ForgeLink, getLink } from './pulls.ts';

type Comment = Extract<ForgeEvent, { type: 'commentWritten' }>;
type Reaction = Parameters<Voice['react']>[2];

/** What the person has to know first, of several commands in one comment. */
const WORST_FIRST = ['refused', 'confused', 'done'] as const satisfies readonly Outcome[];

/**
 * Does what a new comment asks for, line by line and each line once: it is noted in the transaction that carries it out. The forge is
 * asked at this moment what its author may do. The answer is a reaction and, where words are needed, a notice in the pull's one comment.
 */
export async function handleComment(parts: CommandParts, event: Comment, delivery: string): Promise<void> {
  const lines = event.author.kind === 'bot' ? [] : parseCommands(event.comment.body, parts.word);
  if (lines.length === 0) return parts.store.inbox.handled(delivery);
  const link = getLink(parts.links, event.repository.forge);
  const permission = await link.facts.permission(event.repository, event.author);
  const react = reactor(link, event, parts.log);
  if (!mayRun('deploy', permission) && (await isTooMuch(parts, event))) {
    parts.log.info({ by: event.author.id }, 'people without write access have asked enough for now; not answered');
    return parts.store.inbox.handled(delivery);
  }
  if (lines.some(({ meant }) => typeof meant !== 'string' && mayRun(meant.type, permission))) await react('taken');
  const answered = await answerLines(parts, { event, lines, permission });
  await giveNotice(parts, { event, delivery, answered });
  const outcomes = answered.said.map((said) => outcomeOf(said.answer));
  const outcome = WORST_FIRST.find((candidate) => outcomes.includes(candidate)) ?? 'done';
  parts.log.info({ answers: answered.said.map((said) => said.answer.code), permission, outcome }, 'a comment was answered');
  await react(outcome);
}

/**
 * Each answer is two or three of the 480 contents that an installation writes in an hour; what strangers ask must leave enough of them
 * for what is said of previews.
 */
const MOST_OF_OTHERS = 60;
const isTooMuch = async ({ store }: CommandParts, { repository, comment }: Comment): Promise<boolean> =>
  (await store.commands.ofOthersLately({ forge: repository.forge, repository: repository.id, comment: comment.id })) >= MOST_OF_OTHERS;

type Answered = { readonly said: readonly Said[]; readonly log: Notice['log'] };
type Typed = { readonly event: Comment; readonly lines: readonly TypedLine[]; readonly permission: Permission };

/**
 * Carries the lines out in their order. Those that an earlier try of the same delivery answered are left as they are; what it noted
 * without coming to an answer is gone through again, and changes the row no second time.
 */
async function answerLines(parts: CommandParts, { event, lines, permission }: Typed): Promise<Answered> {
  const { commands } = parts.store;
  const earlier = await commands.ofComment(event.repository.forge, event.comment.id);
  const said: Said[] = [];
  let log: Notice['log'] = null;
  for (const [line, { typed, meant }] of lines.entries()) {
    const given: CommandGiven = {
      ...{ forge: event.repository.forge, comment: event.comment.id, line, pull: pullOf(event) },
      ...{ typed, by: event.author, permission },
    };
    const before = earlier.find((one) => one.line === line)?.answer;
    const came = before ? { answer: before } : await answerLine(parts, { event, given }, meant);
    if (!before) await commands.answered(given, came.answer);
    said.push({ typed, by: event.author.login, answer: came.answer });
    log = 'log' in came && came.log ? came.log : log;
  }
  return { said, log };
}

async function answerLine(
  parts: CommandParts,
  asking: Asking,
  meant: TypedLine['meant'],
): Promise<{ readonly answer: Answer; readonly log?: Notice['log'] }> {
  if (typeof meant === 'string') return { answer: answer('mistaken', { problem: meant }) };
  const { permission } = asking.given;
  if (mayRun(meant.type, permission)) return runCommand(parts, asking, meant);
  const allowed = allowedTo(permission).join(', ') || 'no command';
  return { answer: answer('not-permitted', { needed: NEEDED[meant.type], had: permission, allowed }) };
}

/** Answers that say something, or renew the comment. */
const isSpoken = ({ answer: { code } }: Said): boolean => ANSWERS[code].sentence !== '' || RENEWING.includes(code);
const RENEWING: readonly AnswerCode[] = ['logs', 'renewed'];

/** Puts what needs words into the comment, in the transaction that ends the delivery. A pull without a site gets a comment only now. */
async function giveNotice(
  parts: CommandParts,
  { event, delivery, answered }: { readonly event: Comment; readonly delivery: string; readonly answered: Answered },
): Promise<void> {
  const said = answered.said.filter(isSpoken);
  if (said.length > 0) {
    if ((await siteOf(parts, event)) === undefined) await lookAt(parts, event, 'as it is');
    const site = await siteOf(parts, event);
    if (site) await parts.store.apply(site.id, { type: 'noticed', notice: { said, log: answered.log } }, { delivery });
  }
  await parts.store.inbox.handled(delivery);
}

function reactor(link: ForgeLink, event: Comment, log: Logger): (reaction: Reaction) => Promise<void> {
  return async (reaction) => {
    try {
      await link.voice.react(event, event.comment.id, reaction);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      // The comment may be deleted, the pull locked, the forge away: a receipt is not worth doing the command again, or not at all.
      log.warn({ err: error, reaction }, 'the reaction to a comment could not be placed');
    }
  };
}
