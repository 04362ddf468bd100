import type { Details } from './problem.ts';

/**
 * Everything that a command can come to and that a reaction alone does not say: one row a code. `outcome` is the reaction. In a sentence
 * `{name}` is filled from the answer's details, `{word}` with the word that commands start with; backticks mark code.
 */
type Row = { readonly outcome: Outcome; readonly sentence: string };
export type Outcome = 'done' | 'refused' | 'confused';

export const ANSWERS = {
  done: { outcome: 'done', sentence: '' },
  // What was typed is no command, and `{problem}` says what is wrong with it.
  mistaken: { outcome: 'confused', sentence: '{problem}' },
  'not-permitted': { outcome: 'refused', sentence: 'it needs {needed} access, and {by} has {had}, which allows {allowed}.' },
  overtaken: { outcome: 'refused', sentence: 'a later command was carried out first.' },
  'no-preview': { outcome: 'refused', sentence: 'there is no preview here. `{word} deploy` makes one.' },
  'pull-gone': { outcome: 'refused', sentence: 'there is no such {pull} any more.' },
  'pull-closed': { outcome: 'refused', sentence: 'the {pull} is closed and never had a preview. Reopening it makes one.' },
  'closed-since': {
    outcome: 'refused',
    sentence: 'the {pull} was closed after that was written. `{word} deploy` makes a preview all the same.',
  },
  'repository-gone': { outcome: 'refused', sentence: 'the repository was removed from Mayfly.' },
  over: { outcome: 'refused', sentence: 'the preview has ended. `{word} deploy` brings it back.' },
  'over-gone': { outcome: 'refused', sentence: 'the preview has ended.' },
  'at-limit': { outcome: 'refused', sentence: 'it already stands for as long as it may, until {until}.' },
  'capped-at-limit': { outcome: 'done', sentence: 'it ends at the limit, {until}: {limit} after its last push or deploy.' },
  'waits-for-approval': { outcome: 'refused', sentence: 'this commit waits for approval: `{word} approve {sha}`.' },
  'not-waiting': { outcome: 'refused', sentence: 'nothing waits for approval here.' },
  'approved-already': { outcome: 'done', sentence: 'this commit is approved already.' },
  'not-newest': { outcome: 'refused', sentence: '`{asked}` is not the newest commit. `{word} approve {sha}` allows that one.' },
  'which-commit': {
    outcome: 'refused',
    sentence:
      'a push came about when that was written, so it is not clear which commit is meant. `{word} approve {sha}` allows the newest.',
  },
  'turned-since': {
    outcome: 'refused',
    sentence:
      'since that was written the {pull} was closed, reopened, drafted or moved to another base, which takes approvals back. ' +
      '`{word} approve {sha}` allows the newest commit.',
  },
  'no-live': { outcome: 'refused', sentence: 'nothing runs here yet.' },
  'only-files': { outcome: 'done', sentence: 'the preview is made of files alone: nothing of it runs.' },
  asleep: { outcome: 'done', sentence: 'it sleeps. The next visitor wakes it.' },
  awake: { outcome: 'done', sentence: 'it is awake.' },
  'rests-by-itself': { outcome: 'done', sentence: 'it sleeps by itself, some minutes after its last visitor, and the next one wakes it.' },
  'did-not-wake': { outcome: 'refused', sentence: 'the app did not start. `{word} logs app` shows what it said.' },
  'region-noted': { outcome: 'done', sentence: 'the next launch is in {region}.' },
  'region-here': { outcome: 'done', sentence: '{region} is noted. Previews run on this machine, whatever their region.' },
  'region-unknown': { outcome: 'refused', sentence: 'there is no such region.{hint} These may be used here: {regions}.' },
  'region-forbidden': { outcome: 'refused', sentence: '{region} may not be used here. These may: {regions}.' },
  pong: { outcome: 'done', sentence: 'I am here.' },
  help: { outcome: 'done', sentence: 'this can be typed, a command a line.' },
  'no-log': { outcome: 'refused', sentence: 'there is no such log yet.' },
  logs: { outcome: 'done', sentence: '' },
  renewed: { outcome: 'done', sentence: '' },
} as const satisfies Record<string, Row>;

export type AnswerCode = keyof typeof ANSWERS;
/** What one command came to. Details are text from outside. */
export type Answer = { readonly code: AnswerCode; readonly details: Details };

export const answer = (code: AnswerCode, details: Details = {}): Answer => ({ code, details });
export const outcomeOf = ({ code }: Answer): Outcome => ANSWERS[code].outcome;

/** One line of a notice: what was typed, by whom, and what is to be said of it. */
export type Said = { readonly typed: string; readonly by: string; readonly answer: Answer };
/** The end of a log that was asked for: masked, and cleaned of control characters. */
export type ShownLog = { readonly of: 'build' | 'app'; readonly text: string };

/** What the comment says of the newest commands, until something newer is to be said. */
export type Notice = { readonly said: readonly Said[]; readonly log: ShownLog | null };
