import { createHash } from 'node:crypto';
import type { Logger } from 'pino';
import { faultPoint } from '../fault-points.ts';
import { parseSha } from '../site/identity.ts';
import type { Check, Place, Voice } from '../site/ports.ts';
import { Fault } from '../site/problem.ts';
import { commentMarker, renderComment } from '../site/report.ts';
import { renderCheck, renderDeployment, renderOvertakenCheck } from '../site/report-check.ts';
import type { SiteView } from '../site/report-view.ts';
import type { Said } from '../store/store.ts';

export type Saying = {
  readonly voice: Voice;
  readonly place: Place;
  readonly view: SiteView;
  readonly now: Date;
  readonly said: Said;
  /** Throws once another process has taken over: it says what is to be said. */
  readonly guard: () => Promise<void>;
  readonly log: Logger;
};

/** How far we got: `fault` is what stopped us, and then the rest is still to be said. */
export type Reached = { readonly said: Said; readonly changed: boolean; readonly fault: Fault | undefined };

type Step = (saying: Saying) => Promise<Said>;
/** Older commits' checks and deployments are finished, and not needed to be known any more. */
const REMEMBERED = 20;

/** Says what differs from what was said: first the comment if there is none yet, else the check, to whose page the comment links. */
export async function sayEverything(start: Saying): Promise<Reached> {
  const rest: readonly Step[] = [sayCheck, finishOvertaken, sayDeployment];
  const steps: readonly Step[] =
    start.said.commentId === null ? [sayComment, ...rest] : [sayCheck, finishOvertaken, sayComment, sayDeployment];
  let said = start.said;
  for (const step of steps) {
    await start.guard();
    try {
      said = await step({ ...start, said, view: { ...start.view, checkUrl: said.checks[start.view.site.head.sha]?.url ?? null } });
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      if (!isFinal(error)) return { said, changed: said !== start.said, fault: error };
      // A locked pull, a permission that was not granted, a repository that is gone: asking again changes nothing, and the site's
      // next change asks anew. Whatever else can be said still is.
      start.log.warn({ err: error, step: step.name }, 'the forge does not let us say this');
    }
  }
  return { said, changed: said !== start.said, fault: undefined };
}

const isFinal = (fault: Fault): boolean => fault.code === 'forge-refused' || fault.code === 'access-gone';

/** Of what is said, not of when: distances in words move with the clock and alone are no reason to edit. */
const digest = (value: unknown): string => createHash('sha256').update(JSON.stringify(value)).digest('base64url').slice(0, 22);

async function sayComment({ voice, place, view, now, said }: Saying): Promise<Said> {
  // A pull without a site is left in peace until somebody asks something there.
  if (view.site.status === 'absent' && view.site.notice === null && said.commentId === null) return said;
  const comment = digest(renderComment(view, view.site.createdAt));
  if (said.commentId !== null && said.comment === comment) return said;
  const marker = commentMarker(view.site.id);
  const isPassing = said.commentId !== null && isOnItsWay(view.site);
  try {
    const { id, url } = await voice.ensureComment(place, { marker, body: renderComment(view, now), known: said.commentId, isPassing });
    await faultPoint('comment-posted');
    return { ...said, commentId: id, commentUrl: url, comment };
  } catch (error) {
    // The next state says more, and its turn is worth more.
    if (isPassing && error instanceof Fault && error.code === 'forge-limited') return said;
    throw error;
  }
}

/** On the way to another state by itself, and soon, and nobody has asked anything. */
const isOnItsWay = ({ status, notice, place }: SiteView['site']): boolean =>
  notice === null && place !== 'refused' && (status === 'queued' || status === 'building' || status === 'deploying');

async function sayCheck({ voice, place, view, now, said }: Saying): Promise<Said> {
  const { site } = view;
  // Why there is no preview is said where it could be expected; where people choose that, it would be noise.
  if (site.status === 'absent' && site.passed.why !== 'nothing-touched' && said.checks[site.head.sha] === undefined) return said;
  return ensureCheck({ voice, place, said }, renderCheck(view, now), renderCheck(view, view.site.createdAt));
}

/** @param timeless the same check as of a fixed moment, for the digest */
async function ensureCheck(
  { voice, place, said }: Pick<Saying, 'voice' | 'place' | 'said'>,
  check: Check,
  timeless = check,
): Promise<Said> {
  const known = said.checks[check.sha];
  // The status is readable in it: a later report must tell which commits' checks are still open.
  const mark = `${check.status}:${digest(timeless)}`;
  if (known?.digest === mark) return said;
  const { id, url } = await voice.ensureCheck(place, check, known?.id ?? null);
  await faultPoint('check-made');
  return { ...said, checks: newest({ ...without(said.checks, check.sha), [check.sha]: { id, url, digest: mark } }) };
}

/** No check of an earlier commit stays open: nobody works on it any more. */
async function finishOvertaken(saying: Saying): Promise<Said> {
  let { said } = saying;
  for (const [commit, { digest: mark }] of Object.entries(said.checks)) {
    const sha = parseSha(commit);
    if (sha === undefined || sha === saying.view.site.head.sha || !/^(?:queued|inProgress|neutral):/.test(mark)) continue;
    said = await ensureCheck({ ...saying, said }, renderOvertakenCheck(saying.view, sha));
  }
  return said;
}

async function sayDeployment({ voice, place, view, said }: Saying): Promise<Said> {
  const { status } = view.site;
  if (status === 'ended' || status === 'ending') return removeDeployments({ voice, place, said }, status);
  const deployment = renderDeployment(view);
  if (deployment === null) return said;
  const known = said.deployments[deployment.sha];
  const mark = digest(deployment);
  if (known?.digest === mark) return said;
  const { id } = await voice.ensureDeployment(place, deployment, known?.id ?? null, idsOf(said));
  await faultPoint('deployment-made');
  return { ...said, deployments: newest({ ...without(said.deployments, deployment.sha), [deployment.sha]: { id, digest: mark } }) };
}

const idsOf = ({ deployments }: Said): readonly string[] => Object.values(deployments).map(({ id }) => id);

async function removeDeployments(
  { voice, place, said }: Pick<Saying, 'voice' | 'place' | 'said'>,
  status: 'ending' | 'ended',
): Promise<Said> {
  // At the end always: one may have been made that we did not live to write down.
  if (status === 'ending' && Object.keys(said.deployments).length === 0) return said;
  await voice.removeDeployments(place, idsOf(said));
  return Object.keys(said.deployments).length === 0 ? said : { ...said, deployments: {} };
}

function without<T>(record: Readonly<Record<string, T>>, key: string): Record<string, T> {
  return Object.fromEntries(Object.entries(record).filter(([name]) => name !== key));
}

/** The last ones that were said; a commit's id is never an array index, so insertion order holds. */
function newest<T>(record: Readonly<Record<string, T>>): Record<string, T> {
  return Object.fromEntries(Object.entries(record).slice(-REMEMBERED));
}
