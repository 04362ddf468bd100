import { shortSha } from './identity.ts';
import { brief, type Details, type ProblemCode, sentence } from './problem.ts';
import type { LaunchView, SiteView } from './report-view.ts';
import type { Head, Site, Stage } from './site.ts';
import { codeSpan, escapePart } from './text.ts';

const WEEKDAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'] as const;
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'] as const;
const two = (value: number): string => String(value).padStart(2, '0');

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** `Mon 23 Nov 14:05 UTC`; with its year when that is not `now`'s. */
export function clockTime(time: Date, now: Date): string {
  const year = time.getUTCFullYear() === now.getUTCFullYear() ? '' : ` ${time.getUTCFullYear()}`;
  const day = `${WEEKDAYS[time.getUTCDay()]} ${time.getUTCDate()} ${MONTHS[time.getUTCMonth()]}${year}`;
  return `${day} ${two(time.getUTCHours())}:${two(time.getUTCMinutes())} UTC`;
}

/** `in 3 days`, `20 minutes ago`, `now`. */
export function distance(time: Date, now: Date): string {
  const ms = time.getTime() - now.getTime();
  const span = Math.abs(ms);
  if (span < MINUTE / 2) return 'now';
  const words = inWords(span);
  return ms > 0 ? `in ${words}` : `${words} ago`;
}

/** `20 minutes`, `3 days`. */
export function inWords(ms: number): string {
  if (ms < 1.5 * HOUR) return counted(Math.max(1, Math.round(ms / MINUTE)), 'minute');
  return ms < 1.5 * DAY ? counted(Math.round(ms / HOUR), 'hour') : counted(Math.round(ms / DAY), 'day');
}

export const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;

/** `Mon 23 Nov 14:05 UTC, in 3 days`. */
export const moment = (time: Date, now: Date): string => `${clockTime(time, now)}, ${distance(time, now)}`;

/** `0.4`, `38`: seconds, with a decimal only where it says something. */
const seconds = (ms: number): string => (ms < 950 ? (ms / 1000).toFixed(1) : String(Math.round(ms / 1000)));

/** `48 s`, `3 min 12 s`. */
export function span(ms: number): string {
  if (ms < 99_500) return `${seconds(ms)} s`;
  const whole = Math.round(ms / 1000);
  return whole % 60 === 0 ? `${whole / 60} min` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

const STAGES = ['fetch', 'build', 'deploy', 'check'] as const satisfies readonly Stage[];

/** What the launch took, without its time in the queue: `48 s: fetch 2, build 38, deploy 6, check 2`; undefined when no stage was timed. */
export function launchTimes(launch: LaunchView): { readonly total: string; readonly parts: string } | undefined {
  const timed = STAGES.flatMap((stage) => {
    const ms = launch.stages[stage];
    return ms === undefined ? [] : [{ stage, ms }];
  });
  if (timed.length === 0) return undefined;
  const total = timed.reduce((sum, { ms }) => sum + ms, 0);
  return { total: span(total), parts: timed.map(({ stage, ms }) => `${stage} ${seconds(ms)}`).join(', ') };
}

/** What is being done: the beginning of `… since 14:05 UTC`. */
export const DOING = {
  fetch: 'Fetching the commit',
  build: 'Building',
  deploy: 'Deploying',
  check: 'Waiting for the app to answer',
} as const satisfies Record<Stage, string>;

/** After `failed while`. */
export const WHILE = { fetch: 'fetching', build: 'building', deploy: 'deploying', check: 'starting' } as const satisfies Record<
  Stage,
  string
>;

/** What the forge calls a pull. */
export const pullWord = (view: Pick<SiteView, 'forge'>): string => (view.forge.kind === 'github' ? 'pull request' : 'merge request');

/** What is to be seen on the check's page: GitLab's has no room for a log. */
export const checkWord = (view: Pick<SiteView, 'forge'>): string => (view.forge.kind === 'github' ? 'log' : 'status');

/** The pull's own page on the forge. */
export function pullAddress(of: Pick<SiteView, 'forge' | 'repository'>, number: number): string {
  return `${repositoryAddress(of)}/${of.forge.kind === 'github' ? 'pull' : '-/merge_requests'}/${number}`;
}

function repositoryAddress({ forge, repository }: Pick<SiteView, 'forge' | 'repository'>): string {
  return `${forge.address.replace(/\/+$/, '')}/${repository.split('/').map(encodeURIComponent).join('/')}`;
}

/** The commit as a link to its page: `[`3f2a9c1`](…)`. */
export function commitLink(view: Pick<SiteView, 'forge' | 'repository'>, sha: Head['sha']): string {
  const path = view.forge.kind === 'github' ? 'commit' : '-/commit';
  return `[\`${shortSha(sha)}\`](${repositoryAddress(view)}/${path}/${sha})`;
}

/** The problem as one sentence of Markdown, every detail escaped for where it stands. */
export function problemSentence(code: ProblemCode, details: Details, site: SiteView): string {
  return sentence(code, withOurs(details, site), { plain: escapePart, code: (text) => codeSpan(text) });
}

/** The problem in a few words of plain text: `npm run build exited with 1`. */
export function problemBrief(code: ProblemCode, details: Details, site: SiteView): string {
  return brief(code, withOurs(details, site));
}

function withOurs(details: Details, view: SiteView): Details {
  const launch = launchOf(view.site);
  return { word: view.word, ...(launch === undefined ? {} : { launch }), ...details };
}

/** The launch that the site's status is about. */
export function launchOf(site: Site): LaunchView['id'] | undefined {
  return 'launch' in site ? site.launch : undefined;
}
