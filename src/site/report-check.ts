import { type Sha, shortSha } from './identity.ts';
import type { Check, Deployment } from './ports.ts';
import { regionLabel } from './region.ts';
import { keepEnd } from './report.ts';
import { afterWords, endedWords, passedOverWords } from './report-endings.ts';
import type { LaunchView, SiteView } from './report-view.ts';
import { clockTime, DOING, launchTimes, moment, problemBrief, problemSentence } from './report-words.ts';
import type { Site } from './site.ts';
import { isOver } from './site-changes.ts';
import { cleanLog, clip, escapeText, fence, plainLine, withoutManuals } from './text.ts';

/** GitHub takes 65,535 characters of a check's text; the fence and the table around the log are in the difference. */
const TEXT_MAX = 60_000;
const LOG_LINE_MAX = 1_000;
const TITLE_MAX = 120;
/** GitHub's limit on a deployment's description. */
const DESCRIPTION_MAX = 140;

/** The check of the newest commit: the same as the comment in one line, and the log's end. */
export function renderCheck(view: SiteView, now: Date): Check {
  const { site } = view;
  const launch = view.launches.find((candidate) => candidate.sha === site.head.sha);
  const said = verdict(view, launch, now);
  return {
    sha: site.head.sha,
    ...said,
    title: clip(plainLine(said.title), TITLE_MAX),
    text: log(launch),
    url: isServed(site) ? view.url : null,
  };
}

/** The check of a commit that is not the newest any more: what became of it, never in progress. */
export function renderOvertakenCheck(view: SiteView, sha: Sha): Check {
  const launch = view.launches.find((candidate) => candidate.sha === sha);
  const result = launch && outcome(view, launch);
  const title = `Superseded by ${shortSha(view.site.head.sha)}`;
  const said = result ?? { status: 'cancelled', title, summary: `${title}, which is the commit that the preview follows now.` };
  return { sha, ...said, title: clip(plainLine(said.title), TITLE_MAX), text: log(launch), url: null };
}

/** The newest commit's deployment; null where there is nothing to deploy: held, or ended. */
export function renderDeployment(view: SiteView): Deployment | null {
  const { site } = view;
  const { sha } = site.head;
  switch (site.status) {
    case 'absent':
    case 'held':
    case 'ending':
    case 'ended':
      return null;
    case 'queued':
      return { sha, state: 'queued', url: null, description: 'Queued' };
    case 'building':
    case 'deploying':
      return { sha, state: 'inProgress', url: null, description: DOING[site.stage] };
    case 'ready':
      return { sha, state: 'success', url: view.url, description: 'Ready' };
    case 'failed':
      return {
        sha,
        state: 'failure',
        url: null,
        description: clip(plainLine(`Failed: ${problemBrief(site.code, site.details, view)}`), DESCRIPTION_MAX),
      };
    default:
      return site satisfies never;
  }
}

const isServed = (site: Site): boolean => site.live !== null && !isOver(site);

type Said = Pick<Check, 'status' | 'title' | 'summary'>;

function verdict(view: SiteView, launch: LaunchView | undefined, now: Date): Said {
  const { site } = view;
  switch (site.status) {
    case 'held': {
      const approve = `\`${view.word} approve ${shortSha(site.head.sha)}\``;
      return {
        status: 'neutral',
        title: 'Waits for approval',
        summary: `Nothing of this commit has been fetched, built or run. ${approve} from somebody with write access allows it.`,
      };
    }
    case 'absent':
      return { status: 'neutral', title: 'No preview', summary: passedOverWords(site.passed) };
    case 'queued':
      return { status: 'queued', ...waiting(site) };
    case 'building':
    case 'deploying':
      return { status: 'inProgress', title: DOING[site.stage], summary: `${DOING[site.stage]} since ${clockTime(site.since, now)}.` };
    case 'ready': {
      const ends = `**${view.url ?? ''}** serves this commit until ${moment(site.endsAt, now)}.`;
      return { status: 'success', title: readyTitle(launch), summary: view.url === null ? 'The preview serves this commit.' : ends };
    }
    case 'failed':
      return failure(view, { code: site.code, details: site.details }, launch);
    case 'ending':
    case 'ended':
      return afterEnd(view, site, launch);
    default:
      return site satisfies never;
  }
}

function waiting({ place, home }: Site): Pick<Said, 'title' | 'summary'> {
  if (home.full !== null) {
    const where = home.full.map(regionLabel).join(', ');
    return {
      title: `Waits for room in ${where}`,
      summary: `There is no room for another preview in ${escapeText(where)}. It starts when there is.`,
    };
  }
  if (place !== 'refused') return { title: 'Queued', summary: 'The preview starts as soon as it is its turn.' };
  return { title: 'Waits for a place', summary: 'As many previews of this repository stand as may. It starts when one of them ends.' };
}

/** An end changes no verdict: what was green stays green, what was red stays red. */
function afterEnd(view: SiteView, site: Extract<Site, { status: 'ending' | 'ended' }>, launch: LaunchView | undefined): Said {
  const why = endedWords(site, view);
  const summary = `${why} ${afterWords(site, view)}`;
  const title = `Ended: ${ENDED[site.reason.kind]}`;
  const before = launch && outcome(view, launch);
  if (before?.status === 'failure') return { ...before, summary: `${before.summary}\n\n${summary}` };
  return { status: before?.status ?? 'cancelled', title, summary };
}

const ENDED = {
  closed: 'closed',
  merged: 'merged',
  expired: 'its time was up',
  stopped: 'stopped',
  removed: 'removed from Mayfly',
} as const;

/** What a launch that is over came to; undefined when it came to nothing. */
function outcome(view: SiteView, launch: LaunchView): Said | undefined {
  if (launch.outcome === 'succeeded') return { status: 'success', title: readyTitle(launch), summary: 'The preview served this commit.' };
  return launch.outcome === 'failed' && launch.reason !== null ? failure(view, launch.reason, launch) : undefined;
}

function failure(
  view: SiteView,
  reason: Pick<NonNullable<LaunchView['reason']>, 'code' | 'details'>,
  launch: LaunchView | undefined,
): Said {
  const mistakes = (launch?.notes.mistakes ?? []).slice(0, 20).map((mistake) => `\n- ${escapeText(mistake)}`);
  const summary = problemSentence(reason.code, reason.details, view) + (mistakes.length === 0 ? '' : `\n${mistakes.join('')}`);
  return { status: 'failure', title: `Failed: ${problemBrief(reason.code, reason.details, view)}`, summary };
}

function readyTitle(launch: LaunchView | undefined): string {
  const times = launch && launchTimes(launch);
  return times ? `Ready in ${times.total}` : 'Ready';
}

function log(launch: LaunchView | undefined): string {
  const tail = withoutManuals(cleanLog(launch?.tail ?? '', LOG_LINE_MAX)).trimEnd();
  return tail === '' ? '' : `The log's end:\n\n${fence(keepEnd(tail, TEXT_MAX))}`;
}
