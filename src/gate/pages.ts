import { shortSha } from '../site/identity.ts';
import { sentence } from '../site/problem.ts';
import type { EndReason, Site, Stage } from '../site/site.ts';
import type { Notice } from './notice.ts';

/** How often a page looks again by itself, and how soon a program should, in seconds. */
const SOON = 3;
const LATER = 30;
const WAKING = 2;

const nothing = { lines: [], link: null, refresh: null, retryAfter: null };
const working = { tone: 'working', status: 503, refresh: SOON, retryAfter: SOON } as const;

/** The pull as its forge calls it, and its page there where that is known. */
export type PullOnForge = { readonly word: string; readonly url: string | null };

const toLink = ({ word, url }: PullOnForge): Notice['link'] => (url === null ? null : { href: url, text: `To the ${word}` });

/** What is shown for a site that has nothing to show itself. */
export function noticeOf(site: Site, { command, pull }: { readonly command: string; readonly pull: PullOnForge }): Notice {
  const link = toLink(pull);
  const around = { command, word: pull.word, link };
  const commit = `Commit \`${shortSha(site.head.sha)}\``;
  switch (site.status) {
    case 'held':
      return held(site, around);
    case 'queued':
      return {
        ...nothing,
        ...working,
        code: 'queued',
        title: 'This preview is about to be built',
        lines: [`${commit} waits for its turn.`, RELOADS],
        link,
      };
    case 'building':
    case 'deploying':
    case 'ready':
      return {
        ...nothing,
        ...working,
        code: 'building',
        title: 'This preview is being built',
        lines: [`${commit} ${site.status === 'ready' ? 'is on its way' : DOING[site.stage]}.`, RELOADS],
        link,
      };
    case 'failed':
      return {
        ...nothing,
        code: 'failed',
        tone: 'failed',
        status: 503,
        title: `This preview failed ${DURING[site.during]}`,
        lines: [sentence(site.code, site.details).replace('The log below', 'The log'), `${commit}. The ${pull.word} has the log.`],
        link,
        refresh: LATER,
        retryAfter: LATER,
      };
    case 'absent':
      return unknownHost();
    case 'ending':
      return site.revive ? returning(link) : ended(site.reason, around);
    case 'ended':
      return ended(site.reason, around);
    default:
      return site satisfies never;
  }
}

const RELOADS = 'This page reloads by itself; the site appears here when it is ready.';
const DOING = {
  fetch: 'is being fetched',
  build: 'is being built',
  deploy: 'is built and is being started',
  check: 'was started and is being checked',
} as const satisfies Record<Stage, string>;
const DURING = {
  fetch: 'while fetching',
  build: 'while building',
  deploy: 'while starting',
  check: 'while being checked',
} as const satisfies Record<Stage, string>;

type Around = { readonly command: string; readonly word: string; readonly link: Notice['link'] };

const held = (site: Site, { command, word, link }: Around): Notice => ({
  ...nothing,
  code: 'held',
  tone: 'waiting',
  status: 503,
  title: 'This preview waits for approval',
  lines: [
    `The ${word} comes from a fork, so none of its code runs before a maintainer has approved the commit.`,
    `Who may: \`${command} approve ${shortSha(site.head.sha)}\` in a comment on the ${word}.`,
  ],
  link,
  refresh: LATER,
  retryAfter: LATER,
});

const returning = (link: Notice['link']): Notice => ({
  ...nothing,
  ...working,
  code: 'queued',
  title: 'This preview is coming back',
  lines: ['What was there before is being removed; then it is built anew.', RELOADS],
  link,
});

function ended(reason: EndReason, { command, word, link }: Around): Notice {
  const deploy = `\`${command} deploy\` in a comment on the ${word}`;
  const lines = whyEnded(reason, { deploy, word });
  return { ...nothing, code: 'ended', tone: 'gone', status: 410, title: 'This preview has ended', lines, link };
}

function whyEnded(reason: EndReason, { deploy, word }: { readonly deploy: string; readonly word: string }): readonly string[] {
  switch (reason.kind) {
    case 'closed':
      return [`Its ${word} was closed.`, `Reopening it brings the preview back; so does ${deploy}.`];
    case 'merged':
      return [`Its ${word} was merged.`, `To see it once more: ${deploy}.`];
    case 'expired':
      return ['Its time was up.', `To bring it back: ${deploy}, a push, or reopening the ${word}.`];
    case 'stopped':
      return ['It was stopped by hand.', `To bring it back: ${deploy}.`];
    case 'removed':
      return ['Previews were switched off for its repository.'];
    default:
      return reason satisfies never;
  }
}

export const unknownHost = (): Notice => ({
  ...nothing,
  code: 'unknown-host',
  tone: 'gone',
  status: 404,
  title: 'There is no preview here',
  lines: ['Look for the address in the comment on the pull or merge request.'],
});

export const notFound = (): Notice => ({
  ...nothing,
  code: 'not-found',
  tone: 'gone',
  status: 404,
  title: 'Page not found',
  lines: ['This preview has no such page.'],
  link: { href: '/', text: 'To its start page' },
});

export const methodNotAllowed = (): Notice => ({
  ...nothing,
  code: 'method-not-allowed',
  tone: 'failed',
  status: 405,
  title: 'Not possible here',
  lines: ['This preview is made of files: they can be read, and nothing else.'],
});

export const malformed = (): Notice => ({
  ...nothing,
  code: 'bad-request',
  tone: 'failed',
  status: 400,
  title: 'This request makes no sense',
  lines: ['Its address or its headers are malformed.'],
});

export const appWaking = (): Notice => ({
  ...nothing,
  tone: 'working',
  status: 503,
  code: 'waking',
  title: 'This preview is waking up',
  lines: ['It slept because nobody was here for a while. This page reloads by itself.'],
  refresh: WAKING,
  retryAfter: WAKING,
});

export const wakeFailed = (): Notice => ({
  ...nothing,
  code: 'wake-failed',
  tone: 'failed',
  status: 503,
  title: 'This preview did not wake up',
  lines: [sentence('wake-failed', {})],
  retryAfter: LATER,
});

export const appBroken = (): Notice => ({
  ...nothing,
  code: 'app-unreachable',
  tone: 'failed',
  status: 502,
  title: 'The app did not answer',
  lines: ['It crashed or closed the connection. It is started again by itself, and this page reloads.'],
  refresh: SOON,
  retryAfter: SOON,
});

export const appLate = (): Notice => ({
  ...nothing,
  code: 'app-late',
  tone: 'failed',
  status: 504,
  title: 'The app took too long',
  lines: ['It accepted the request, but did not begin to answer in time.'],
});

export const serviceGone = (): Notice => ({
  ...nothing,
  code: 'service-gone',
  tone: 'failed',
  status: 503,
  title: 'This preview is not there any more',
  lines: ['What served it on Google Cloud was removed. A rebuild or a new commit brings it back.'],
  retryAfter: LATER,
});

export const appBusy = (): Notice => ({
  ...nothing,
  code: 'busy',
  tone: 'waiting',
  status: 503,
  title: 'This preview is busy',
  lines: ['Google Cloud has no room for one more visitor right now. This page tries again by itself.'],
  refresh: SOON,
  retryAfter: SOON,
});

export const tooLarge = (): Notice => ({
  ...nothing,
  code: 'too-large',
  tone: 'failed',
  status: 413,
  title: 'This is too large to send',
  lines: ['Previews on Google Cloud take requests of at most 32 MiB.'],
});

/** Right after a launch Google may need a minute until it knows that the gate may. */
export const notLetIn = (): Notice => ({
  ...nothing,
  code: 'not-let-in',
  tone: 'failed',
  status: 502,
  title: 'This preview cannot be reached yet',
  lines: [
    'Google Cloud does not let Mayfly in to it. Right after a launch that takes up to a minute, and this page tries again by itself.',
    'If it stays like this, the operator finds the cause in the log.',
  ],
  refresh: LATER,
  retryAfter: LATER,
});

export const gateUnknown = (): Notice => ({
  ...nothing,
  code: 'gate-unknown',
  tone: 'failed',
  status: 503,
  title: 'Previews cannot be reached right now',
  lines: ['Google Cloud gives Mayfly no proof of who it is. The operator finds the cause in the log; this page tries again by itself.'],
  refresh: LATER,
  retryAfter: LATER,
});

export const overloaded = (): Notice => ({
  ...nothing,
  code: 'unavailable',
  tone: 'failed',
  status: 503,
  title: 'Previews cannot be looked up right now',
  lines: ['This page tries again by itself.'],
  refresh: SOON,
  retryAfter: SOON,
});
