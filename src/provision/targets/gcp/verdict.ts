import { Fault } from '../../../site/problem.ts';
import { regionLabel } from '../../../site/region.ts';
import { type Build, statusOf } from './cloud-build.ts';
import type { Recipe } from './recipe.ts';

type Judging = {
  readonly recipe: Recipe;
  readonly limitS: number;
  readonly region: string;
  /** The end of what the build printed. */
  readonly said: string;
};

/** What went wrong in a build that is over, with the codes that builds on one machine have; undefined when nothing did. */
export function judged(build: Build, of: Judging): Fault | undefined {
  const status = statusOf(build);
  switch (status) {
    case 'SUCCESS':
      return undefined;
    case 'TIMEOUT':
      return new Fault('build-timeout', { details: { limit: `${of.limitS} s` } });
    case 'EXPIRED':
      return new Fault('google-limited', { details: { action: 'start a build', region: regionLabel(of.region) } });
    case 'FAILURE':
      return failedStep(build, of) ?? unfinished(build);
    case 'CANCELLED':
      return new Fault('cloud-build-failed', { details: { cause: 'it was cancelled in the project' } });
    case 'INTERNAL_ERROR':
    case 'STATUS_UNKNOWN':
    case 'PENDING':
    case 'QUEUED':
    case 'WORKING':
      return unfinished(build);
    default:
      return status satisfies never;
  }
}

/** Google's fault and not the commit's. */
const unfinished = ({ failureInfo, statusDetail }: Build): Fault =>
  new Fault('cloud-build-failed', { details: { cause: plain(failureInfo?.detail || statusDetail || 'it gave no reason') } });

const plain = (text: string): string => text.replace(/\s+/g, ' ').trim().slice(0, 300).replace(/\.$/, '');

/** Each step can fail in one way that is the commit's own. */
function failedStep(build: Build, { recipe, said }: Judging): Fault | undefined {
  const step = build.steps?.find(({ status }) => statusOf({ status: status ?? null }) === 'FAILURE');
  if (!step) return undefined;
  const exit = exitIn(said) ?? String(step.exitCode || 1);
  const plan = recipe.kind === 'dockerfile' ? null : recipe.plan;
  const installing = plan?.install?.command;
  if (step.id === 'install' && installing !== undefined) return new Fault('install-failed', { details: { command: installing, exit } });
  if (step.id === 'output' && plan?.runtime.kind === 'static') {
    return new Fault('output-missing', { details: { output: plan.runtime.outputs.join('`, `') } });
  }
  if (step.id !== 'build') return undefined;
  if (recipe.kind !== 'buildpacks') return new Fault('build-failed', { details: { command: plan?.build ?? 'docker build', exit } });
  // Buildpacks install and build in one step: which of them failed stands in their log. What is told of it is our own: nobody masks this.
  const ran = commandIn(said) ?? '';
  const [install] = INSTALLS.exec(ran) ?? [];
  if (install !== undefined) return new Fault('install-failed', { details: { command: install, exit } });
  return new Fault('build-failed', { details: { command: plan?.build && ran.startsWith(plan.build) ? plan.build : 'pack build', exit } });
}

/** What the command itself exited with: the builders around it exit with 1 whatever it was. */
const exitIn = (log: string): string | undefined => [...log.matchAll(/\bexit (?:status|code):? (\d{1,3})\b/g)].at(-1)?.[1];

/** They install in their own way: npm, for one, makes a lock file first where there is none. */
const INSTALLS = /^(?:npm (?:ci|install)|pnpm install|yarn install|yarn$)/;

/** The command that a buildpack ran last. */
const commandIn = (log: string): string | undefined =>
  [...log.matchAll(/\b(?:Running|run) "([^"\n(]{1,200})(?:\([^"\n]{0,500})?"/g)].at(-1)?.[1];
