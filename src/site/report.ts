import { costOf, dollars, PRICES } from './cost.ts';
import { isFar } from './deadline.ts';
import type { SiteId } from './identity.ts';
import { CAUSED_BY_SETTINGS } from './problem.ts';
import { regionLabel } from './region.ts';
import { afterWords, endedWords, passedOverWords } from './report-endings.ts';
import { notice } from './report-notice.ts';
import type { LaunchView, PlaceHolder, SiteView } from './report-view.ts';
import {
  checkWord,
  clockTime,
  commitLink,
  counted,
  DOING,
  launchOf,
  launchTimes,
  moment,
  problemSentence,
  pullAddress,
  pullWord,
  WHILE,
} from './report-words.ts';
import type { Site } from './site.ts';
import { cleanLog, clip, codeSpan, escapeText, fence, lastLines, markUp, withoutManuals } from './text.ts';

/** The hidden first line by which our comment is known. */
export const commentMarker = (id: SiteId): string => `<!-- mayfly:site=${id} -->`;

/** GitHub refuses longer comments. Every part below is bounded, so that all of them together stay under it. */
export const COMMENT_MAX = 65_536;
const LOG_LINES = 30;
const LOG_LINE_MAX = 500;
const TITLE_MAX = 80;
const NAMES_MAX = 12;
const HOLDERS_MAX = 10;
const MISTAKES_MAX = 20;

type Ending = Extract<Site, { status: 'ending' | 'ended' }>;
type Failed = Extract<Site, { status: 'failed' }>;

/** The one comment on the pull, as Markdown: state first, address second, everything else small. `now` is for the distances in words. */
export function renderComment(view: SiteView, now: Date): string {
  const paragraphs = [...paragraphsOf(view, now)].filter((paragraph) => paragraph !== '');
  return `${commentMarker(view.site.id)}\n${paragraphs.join('\n\n')}\n`;
}

function paragraphsOf(view: SiteView, now: Date): readonly string[] {
  const { site } = view;
  switch (site.status) {
    case 'absent':
      return ['### ⚪ No preview here', passedOverWords(site.passed), notice(view), commands(view, ['deploy', 'help'])];
    case 'held':
      return held(view, now);
    case 'queued':
      return ['### ⏳ Preview is queued', address(view), queued(view, now), table(view, now), notice(view), commands(view, ON_THE_WAY)];
    case 'building':
    case 'deploying': {
      const doing = `${DOING[site.stage]} since ${clockTime(site.since, now)}.${stillServed(view, ' Until it is ready, visitors get')}`;
      return ['### 🛠 Preview is being built', address(view), doing, table(view, now), notice(view), commands(view, ON_THE_WAY)];
    }
    case 'ready':
      return [
        '### 🟢 Preview is ready',
        address(view),
        table(view, now),
        endNears(view),
        notice(view),
        small(launched(view), steps(view), ignored(view)),
        costs(view),
        commands(view, ['extend 2d', 'stop', 'rebuild', 'logs', 'help']),
      ];
    case 'failed':
      return failed(view, site, now);
    case 'ending':
    case 'ended':
      return ended(view, site, now);
    default:
      return site satisfies never;
  }
}

const ON_THE_WAY = ['logs', 'stop', 'help'] as const;

function held(view: SiteView, now: Date): readonly string[] {
  const { site, word } = view;
  const approve = `\`${word} approve ${site.head.sha.slice(0, 7)}\``;
  return [
    '### 🔒 Preview waits for approval',
    'This commit comes from outside the repository, so nothing of it has been fetched, built or run.',
    `${approve} from somebody with write access allows this one commit: it is then built and run in a sandbox, without secrets. The next push waits again.`,
    stillServed(view, 'Until then, visitors get').trim(),
    table(view, now),
    notice(view),
    commands(view, [`approve ${site.head.sha.slice(0, 7)}`, 'stop', 'help']),
  ];
}

function queued(view: SiteView, now: Date): string {
  const served = stillServed(view, ' Until it is ready, visitors get');
  const { full } = view.site.home;
  if (full !== null) return `${noRoom(view, full)}${served}`;
  if (view.holders !== null) return `${noPlace(view, view.holders, now)}${served}`;
  const place = view.place === null || view.place <= 1 ? 'It is next.' : `${counted(view.place - 1, 'preview')} before it.`;
  return `${place}${served}`;
}

/** Only where it was asked to be: in another region its files would be somewhere else. */
function noRoom({ word }: SiteView, full: readonly string[]): string {
  const where = full.map((region) => escapeText(regionLabel(region))).join(', ');
  const free = `It starts by itself when there is; \`${word} region\` with another region's name takes it there.`;
  return `There is no room for another preview in ${where}: Google Cloud runs at most 1,000 services in a region. ${free}`;
}

/** Nothing is taken from anybody silently: who has the places is named, and how one is freed. */
function noPlace(view: SiteView, holders: readonly PlaceHolder[], now: Date): string {
  const shown = holders.slice(0, HOLDERS_MAX).map(({ number, endsAt }) => {
    const name = `[${pullWord(view)} ${number}](${pullAddress(view, number)})`;
    return `- ${name}, until ${moment(endsAt, now)}`;
  });
  const more = holders.length > shown.length ? [`- and ${holders.length - shown.length} more`] : [];
  const stand = `As many previews of this repository stand as may: ${holders.length}.`;
  const free = `It starts by itself when one of them ends: \`${view.word} stop\` there, or closing that ${pullWord(view)}, frees its place.`;
  return `${stand} ${free}\n\n${[...shown, ...more].join('\n')}`;
}

function failed(view: SiteView, site: Failed, now: Date): readonly string[] {
  const launch = launchIn(view);
  const isSettings = site.code === 'config-invalid';
  // Before anything of the commit ran, the log has nothing to add.
  const hasLog = !CAUSED_BY_SETTINGS.includes(site.code) || site.code === 'output-missing';
  const tail = hasLog ? lastLines(withoutManuals(cleanLog(launch?.tail ?? '', LOG_LINE_MAX)), LOG_LINES) : [];
  return [
    `### 🔴 Preview failed while ${isSettings ? 'reading its settings' : WHILE[site.during]}`,
    problemSentence(site.code, site.details, view),
    mistakes(launch),
    tail.length === 0
      ? ''
      : `<details><summary>Log, last ${tail.length === 1 ? 'line' : counted(tail.length, 'line')}</summary>\n\n${fence(tail.join('\n'))}\n</details>`,
    stillServed(view, 'Visitors still get').trim(),
    table(view, now),
    endNears(view),
    notice(view),
    small(launched(view), steps(view), ignored(view)),
    site.live === null ? '' : costs(view),
    commands(view, ['deploy', 'rebuild', 'logs', 'stop', 'help']),
  ];
}

function ended(view: SiteView, site: Ending, now: Date): readonly string[] {
  const when = site.status === 'ended' ? ` · ended ${moment(site.endedAt, now)}` : '';
  const commit = `${commitLink(view, site.head.sha)} ${escapeText(site.head.commitTitle, TITLE_MAX)}`;
  return ['### ⚪ Preview has ended', `${endedWords(site, view)} ${afterWords(site, view)}`, notice(view), `<sub>${commit}${when}</sub>`];
}

const address = (view: SiteView): string => (view.url === null ? '' : `**${view.url}**`);

/** What visitors get although the newest commit is not it; empty when nothing is served. */
function stillServed(view: SiteView, start: string): string {
  const { live } = view.site;
  if (live === null) return '';
  const where = view.site.status === 'failed' && view.url !== null ? ` at **${view.url}**` : '';
  return `${start} ${commitLink(view, live.sha)}${where}.`;
}

function table(view: SiteView, now: Date): string {
  const { head, endsAt } = view.site;
  const region = view.target === 'local' ? 'this machine' : escapeText(regionLabel(view.site.region));
  const commit = `${commitLink(view, head.sha)} ${escapeText(head.commitTitle, TITLE_MAX)}`.trimEnd();
  return `| Commit | Region | Ends |\n|---|---|---|\n| ${commit} | ${region} | ${moment(endsAt, now)} |`;
}

/** Said once, an hour before: whoever still needs it has the time to say so. */
function endNears({ site, word }: SiteView): string {
  const isSaid = site.endNears && isFar(site.endsAt, site.clockStart);
  return isSaid ? `It ends within the hour. \`${word} extend 2d\` gives it more time.` : '';
}

function launchIn(view: SiteView): LaunchView | undefined {
  const id = launchOf(view.site);
  return id === undefined ? undefined : view.launches.find((launch) => launch.id === id);
}

const FROM_CACHE = {
  artefact: 'build from cache',
  dependencies: 'dependencies from cache',
  none: '',
} as const;

function launched(view: SiteView): string {
  const launch = launchIn(view);
  const times = launch && launchTimes(launch);
  const took = times ? `${view.site.status === 'ready' ? 'Launched in' : 'Failed after'} ${times.total}: ${times.parts}` : '';
  const cache = view.site.status === 'ready' ? FROM_CACHE[launch?.notes.cache ?? 'none'] : '';
  const log = view.checkUrl === null ? '' : `[${checkWord(view)}](${view.checkUrl})`;
  return [took, cache, log].filter((part) => part !== '').join(' · ');
}

/** What was found to do, or was asked for. */
function steps(view: SiteView): string {
  const runtime = launchIn(view)?.notes.detected;
  if (runtime === undefined || runtime === '') return '';
  return `Steps: ${markUp(runtime)}. \`build\`, \`start\` and \`output\` in \`.mayfly.yml\` change them.`;
}

function ignored(view: SiteView): string {
  const names = launchIn(view)?.notes.ignored ?? [];
  if (names.length === 0) return '';
  const shown = names.slice(0, NAMES_MAX).map((name) => codeSpan(name, 60));
  const more = names.length > shown.length ? ` and ${names.length - shown.length} more` : '';
  return `Ignored in this branch's \`.mayfly.yml\`: ${shown.join(', ')}${more}. The base branch decides ${names.length === 1 ? 'that' : 'those'}.`;
}

function mistakes(launch: LaunchView | undefined): string {
  const all = launch?.notes.mistakes ?? [];
  const shown = all.slice(0, MISTAKES_MAX).map((mistake) => `- ${escapeText(mistake)}`);
  return [...shown, ...(all.length > shown.length ? [`- and ${all.length - shown.length} more`] : [])].join('\n');
}

/** Lines in small print. */
function small(...lines: readonly string[]): string {
  const kept = lines.filter((line) => line !== '');
  return kept.length === 0 ? '' : `<sub>${kept.join('<br>')}</sub>`;
}

/** Of what runs on Google Cloud. */
function costs({ site, usage }: SiteView): string {
  if (usage === null) return '';
  const { asleepPerHour, awakePerHour, soFar } = costOf(site.region, usage);
  const rate = `Asleep ${dollars(asleepPerHour)}, while it answers ${dollars(awakePerHour)} an hour, so far ${dollars(soFar)}.`;
  const basis = `Cloud Run's prices in ${regionLabel(site.region)} of ${PRICES.asOf}, without the free tier; builds, traffic and databases are not in it.`;
  return `<details><summary>Cost</summary>\n\n${rate} ${basis}\n</details>`;
}

function commands(view: SiteView, verbs: readonly string[]): string {
  const list = verbs.map((verb) => `\`${view.word} ${verb}\``).join(' · ');
  return `<details><summary>Commands</summary>\n\n${list}\n</details>`;
}

/** Text of at most `max` characters that keeps whole lines of its end. */
export function keepEnd(text: string, max: number): string {
  if (text.length <= max) return text;
  const end = text.slice(-max);
  const cut = end.indexOf('\n');
  return cut < 0 ? clip(end, max) : end.slice(cut + 1);
}
