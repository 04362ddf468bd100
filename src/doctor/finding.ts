import { table } from '../site/table.ts';

/** What one look came to. Nothing in it is secret. */
export type Finding = {
  readonly what: string;
  readonly state: 'ok' | 'warn' | 'fail';
  readonly found: string;
  /** What to do about it; empty when nothing is to be done. */
  readonly todo: string;
};

export const ok = (what: string, found: string): Finding => ({ what, state: 'ok', found, todo: '' });
export const warn = (what: string, found: string, todo: string): Finding => ({ what, state: 'warn', found, todo });
export const fail = (what: string, found: string, todo: string): Finding => ({ what, state: 'fail', found, todo });

/** A look that could not be taken is a finding, too. */
export async function examined(what: string, todo: string, look: () => Promise<readonly Finding[]>): Promise<readonly Finding[]> {
  try {
    return await look();
  } catch (error) {
    return [fail(what, error instanceof Error && error.message !== '' ? error.message : 'it failed without a word', todo)];
  }
}

const WIDEST = 200;

export function renderFindings(findings: readonly Finding[]): string {
  const rows = findings.map(({ what, state, found, todo }) => [what, state, found, todo]);
  const bad = findings.filter(({ state }) => state !== 'ok').length;
  const sum = bad === 0 ? 'all is well' : `${findings.length} looked at, ${bad} to see to`;
  return `${table(['WHAT', 'STATE', 'FOUND', 'WHAT TO DO'], rows, WIDEST)}\n${sum}\n`;
}

export const toJson = (findings: readonly Finding[]): string =>
  `${JSON.stringify({ ok: findings.every(({ state }) => state !== 'fail'), findings }, null, 2)}\n`;
