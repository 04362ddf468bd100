import { ANSWERS, type Said, type ShownLog } from './answer.ts';
import type { Command } from './command.ts';
import { NEEDED } from './policy.ts';
import { fillSentence } from './problem.ts';
import type { SiteView } from './report-view.ts';
import { pullWord } from './report-words.ts';
import { cleanLog, clip, codeSpan, escapePart, escapeText, fence, lastLines } from './text.ts';

/** A comment has room for so much of a log beside everything else. */
const LOG_MAX = 24_000;
const TYPED_MAX = 100;

/** What is said to whoever typed the newest commands: a line each, and the log that was asked for. Empty when there is nothing to say. */
export function notice(view: SiteView): string {
  const { notice: told } = view.site;
  if (told === null) return '';
  const lines = told.said.flatMap((said) => answerLine(said, view));
  const table = told.said.some(({ answer: { code } }) => code === 'help') ? help(view) : '';
  const parts = [lines.map((line) => `> ${line}`).join('\n>\n'), table, told.log === null ? '' : shownLog(told.log)];
  return parts.filter((part) => part !== '').join('\n\n');
}

/** `ada: /preview extend 9d` and what it came to. Most of what is done needs no words. */
function answerLine({ typed, by, answer: { code, details } }: Said, view: SiteView): readonly string[] {
  const { sentence } = ANSWERS[code];
  if (sentence === '') return [];
  const known = { word: view.word, by, pull: pullWord(view), ...details };
  // What is wrong with a command is said in our own words alone, with code in them: shown as they are.
  const words = code === 'mistaken' ? (details.problem ?? '') : fillSentence(sentence, known, QUOTING);
  return [`${codeSpan(clip(typed, TYPED_MAX))} by ${escapeText(by, 60)}: ${words}`];
}

/** What can be typed, in the order in which people need it. */
const HELP = [
  ['deploy', '', 'brings the preview up, or back, or tries again'],
  ['extend', '3d', 'it ends that much later, within the limit'],
  ['stop', '', 'ends it; only `deploy` brings it back'],
  ['rebuild', '', 'builds again, using nothing that was kept'],
  ['logs', 'app 50', 'the end of a log, `build` or `app`'],
  ['sleep', '', 'stops the processes until the next visitor, or `wake`'],
  ['keep', '', 'it stands until the end of all extensions, over pushes too'],
  ['region', 'eu-frankfurt', 'the next launch is there'],
  ['approve', '3f2a9c1', 'one commit from outside may be built and run'],
  ['status', '', 'looks again and brings this comment up to date'],
  ['ping', '', 'is anyone there'],
] as const satisfies readonly (readonly [Command['type'], string, string])[];

function help({ word, target }: SiteView): string {
  const rows = HELP.map(([verb, rest, here]) => {
    const effect = verb === 'sleep' && target === 'gcp' ? 'nothing here: it sleeps and wakes by itself' : here;
    return `| \`${`${word} ${verb} ${rest}`.trimEnd()}\` | ${effect} | ${NEEDED[verb]} |`;
  });
  return ['| command | effect | access |', '|---|---|---|', ...rows].join('\n');
}

const QUOTING = { plain: escapePart, code: (text: string): string => codeSpan(text) };

function shownLog({ of, text }: ShownLog): string {
  const lines = lastLines(cleanLog(text), Number.POSITIVE_INFINITY).join('\n');
  if (lines === '') return '';
  const name = of === 'build' ? 'The newest launch’s log' : 'The app’s own log';
  const kept = lines.length <= LOG_MAX ? lines : lines.slice(lines.indexOf('\n', lines.length - LOG_MAX) + 1);
  return `<details><summary>${name}, its end</summary>\n\n${fence(kept)}\n</details>`;
}
