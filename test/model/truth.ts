import type { Site } from '../../src/site/site.ts';
import type { CommandDone } from '../../src/store/store.ts';
import type { ForgePull } from '../doubles/forge.ts';
import type { SaidByPeople, Touch } from './world.ts';

/** All that the end of one pull depends on, once everything has come to rest. */
export type Truth = {
  readonly pull: ForgePull | undefined;
  readonly site: Site | undefined;
  readonly commands: readonly CommandDone[];
  readonly said: readonly SaidByPeople[];
  readonly touches: readonly Touch[];
  readonly demoted: ReadonlySet<number>;
  readonly broken: ReadonlySet<string>;
  readonly now: number;
  readonly hasFreePlace: boolean;
  /** The repository is open to us, and we know of that. */
  readonly isInReach: boolean;
  /** Of its base branch, now. */
  readonly settings: string;
  /** Commits of the services that run for this site. */
  readonly running: readonly string[];
};

/** What the newest commands and the forge's truth ask for, and is not so (I3, I4); empty when all is well. */
export function wrongs(truth: Truth): readonly string[] {
  const { pull, site } = truth;
  if (pull === undefined) return site === undefined ? [] : ['a site without a pull'];
  const wrong = !truth.isInReach ? wrongOfGone(truth) : pull.state === 'open' ? wrongOfOpen(truth, pull) : wrongOfClosed(truth);
  const text = wrong ?? wrongOfRunning(truth);
  return text === undefined ? [] : [`#${pull.number} (${pull.state}) is ${site?.status ?? 'without a site'}: ${text}`];
}

const isByCommand = ({ settings }: Truth): boolean => settings.includes('previews: command');
/**
 * The newest command about its life that was carried out since the repository was last taken from us: that forgets what came before,
 * unless we never heard of it.
 */
function newestLife({ commands, said, touches }: Truth, taken: 'heard of' | 'unheard' = 'heard of'): SaidByPeople | undefined {
  const done = commands.filter(({ answer }) => answer === null || ['done', 'waits-for-approval'].includes(answer.code));
  const written = said.filter(
    ({ id, words }) => /^(deploy|rebuild|stop)$/.test(words) && done.some(({ comment }) => comment === String(id)),
  );
  const gone = taken === 'unheard' ? 0 : (touches.findLast(({ how }) => how === 'access')?.at ?? 0);
  return written.filter(({ id }) => id > gone).toSorted((a, b) => b.id - a.id)[0];
}

/** The repository is no longer ours to look at. */
const wrongOfGone = ({ site }: Truth): string | undefined =>
  site === undefined || site.status === 'ended' || site.status === 'absent' ? undefined : 'its repository is gone';

function wrongOfOpen(truth: Truth, pull: ForgePull): string | undefined {
  const { site, now } = truth;
  const life = newestLife(truth)?.words;
  if (site === undefined || site.status === 'absent') return isByCommand(truth) && life === undefined ? undefined : 'it should have one';
  const isStopped = life === 'stop';
  if (site.status === 'ended') {
    if (site.reason.kind === 'stopped')
      return isStopped || newestLife(truth, 'unheard')?.words === 'stop' ? undefined : 'nobody stopped it';
    if (site.reason.kind !== 'expired') return `it ended because of ${site.reason.kind}`;
    if (site.endsAt.getTime() > now) return 'its time is not up';
    return site.head.sha === pull.sha ? undefined : 'there was a push since';
  }
  if (isStopped) return 'it was stopped';
  if (site.head.sha !== pull.sha || site.head.base !== pull.base) return 'it is not at the newest head';
  return wrongOfStatus(truth, { site, pull });
}

function wrongOfStatus(truth: Truth, { site, pull }: { readonly site: Site; readonly pull: ForgePull }): string | undefined {
  const mayBuild = !pull.isFork || site.approval !== null;
  switch (site.status) {
    case 'held':
      if (!pull.isFork) return 'it is no fork';
      return wasApproved(truth, pull) ? 'it was approved' : undefined;
    case 'ready':
      if (!mayBuild) return 'nobody approved it';
      return site.live.sha === pull.sha && !truth.broken.has(pull.sha) ? undefined : `live at ${site.live.sha}`;
    case 'failed':
      if (site.code === 'config-invalid') return truth.settings.includes('prewiews') ? undefined : 'its settings are well';
      return truth.broken.has(pull.sha) ? undefined : `failed with ${site.code}`;
    case 'queued':
      return site.place === 'taken' || truth.hasFreePlace ? 'it waits for nothing' : undefined;
    default:
      return 'it is not at rest';
  }
}

/** By somebody who may all the time, and nothing has happened since that would void it. */
function wasApproved({ commands, said, touches, demoted }: Truth, pull: ForgePull): boolean {
  const given = said.filter(
    ({ id, by, words, sha }) =>
      words.startsWith('approve') &&
      sha === pull.sha &&
      !demoted.has(by) &&
      commands.some(({ comment, answer }) => comment === String(id) && answer?.code === 'done'),
  );
  return given.some(({ id }) => !touches.some(({ pull: number, at }) => (number === pull.number || number === null) && at > id));
}

function wrongOfClosed(truth: Truth): string | undefined {
  const { site, touches, pull } = truth;
  if (site === undefined || site.status === 'ended' || site.status === 'absent') return undefined;
  const closedAt = touches.findLast(({ pull: number, how }) => number === pull?.number && how === 'closed')?.at ?? 0;
  const life = newestLife(truth);
  // Forges write times in whole seconds: within one, which of the two was the last word is not to be told.
  const isBefore = life !== undefined && life.id < closedAt && life.at < (pull?.closedAt?.getTime() ?? 0);
  if (life === undefined || life.words === 'stop' || isBefore) return 'nobody asked for it after the close';
  return pull && wrongOfStatus(truth, { site, pull });
}

/** Visitors get one thing, or none. */
function wrongOfRunning({ site, running }: Truth): string | undefined {
  const wanted = site?.live ? [site.live.sha] : [];
  return running.join() === wanted.join() ? undefined : `running are [${running}], live is [${wanted}]`;
}
