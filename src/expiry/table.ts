import { table } from '../site/table.ts';
import type { Done, Finding, Outcome } from './plan.ts';

/** What a reconcile would do. */
export function renderPlan(findings: readonly Finding[]): string {
  if (findings.length === 0) return 'nothing to do\n';
  const rows = findings.map((finding) => rowOf(finding, finding.deed.word));
  return `${table(['WHAT', 'WHERE', 'WHY', 'WOULD BE'], rows)}\n${counted(findings.length)}; this was a dry run, nothing was changed\n`;
}

/** What a reconcile did. */
export function renderDone(done: readonly Done[]): string {
  if (done.length === 0) return 'nothing to do\n';
  const rows = done.map(({ finding, outcome }) => rowOf(finding, wordOf(finding, outcome)));
  const sum = (['done', 'not needed', 'left', 'failed'] as const)
    .map((outcome) => ({ outcome, count: done.filter((one) => one.outcome === outcome).length }))
    .filter(({ count }) => count > 0)
    .map(({ outcome, count }) => `${count} ${outcome}`);
  return `${table(['WHAT', 'WHERE', 'WHY', 'WAS'], rows)}\n${counted(done.length)}: ${sum.join(', ')}\n`;
}

const counted = (count: number): string => `${count} ${count === 1 ? 'finding' : 'findings'}`;
const rowOf = ({ kind, name, where, why }: Finding, word: string): readonly string[] => [`${kind} ${name}`, where, why, word];

function wordOf({ deed }: Finding, outcome: Outcome): string {
  switch (outcome) {
    case 'done':
    case 'left':
      return deed.word;
    case 'not needed':
      return 'as it should be, on a closer look';
    case 'failed':
      return `not ${deed.word}: it failed, see the log`;
    default:
      return outcome satisfies never;
  }
}
