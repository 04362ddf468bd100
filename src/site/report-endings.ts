import type { SiteView } from './report-view.ts';
import { pullWord } from './report-words.ts';
import type { EndReason, PassedOver, Site } from './site.ts';
import { codeSpan, escapeText } from './text.ts';

type Ending = Extract<Site, { status: 'ending' | 'ended' }>;

/** Why a site ended, as a sentence. */
export function endedWords(site: Ending, view: Pick<SiteView, 'forge'>): string {
  const { reason } = site;
  switch (reason.kind) {
    case 'closed':
      return `The ${pullWord(view)} was closed.`;
    case 'merged':
      return `The ${pullWord(view)} was merged.`;
    case 'expired':
      return 'Its time was up.';
    case 'stopped':
      return `${escapeText(reason.by, 60)} stopped it.`;
    case 'removed':
      return 'The repository was removed from Mayfly.';
    default:
      return reason satisfies never;
  }
}

/** What is left of it, and what brings it back. */
export function afterWords(site: Ending, view: Pick<SiteView, 'forge' | 'word'>): string {
  if (site.status === 'ending' && site.revive) return 'It is wanted again, and launches as soon as its remains are removed.';
  const left = site.status === 'ending' ? 'Its remains are being removed.' : 'Nothing of it is left.';
  return `${left} ${wayBack(site.reason, view)}`.trim();
}

function wayBack(reason: EndReason, view: Pick<SiteView, 'forge' | 'word'>): string {
  const deploy = `\`${view.word} deploy\``;
  switch (reason.kind) {
    case 'closed':
      return `${deploy} or reopening the ${pullWord(view)} brings it back.`;
    case 'merged':
    case 'stopped':
      return `${deploy} brings it back.`;
    case 'expired':
      return `${deploy}, a push or reopening the ${pullWord(view)} brings it back.`;
    case 'removed':
      return '';
    default:
      return reason satisfies never;
  }
}

/** Why a pull has no site of its own accord, as a sentence. */
export function passedOverWords(passed: PassedOver): string {
  switch (passed.why) {
    case 'draft':
      return 'Drafts get no preview in this repository.';
    case 'no-label':
      return 'In this repository a label makes a preview, and it is not on here.';
    case 'awaits-command':
      return 'In this repository previews are made when somebody asks for one.';
    case 'nothing-touched':
      return `Nothing is changed here that the preview is built from: that is ${codeSpan(passed.root)}.`;
    case 'closed':
      return 'This was closed before it had a preview.';
    default:
      return passed satisfies never;
  }
}
