import type { Figure, Row, Unit } from './measurement.ts';

const digits = (value: number): string => {
  if (!Number.isFinite(value)) return '–';
  const size = Math.abs(value);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3);
};
const told = (figure: Figure, unit: Unit): string => {
  const spread = figure.runs > 1 ? ` (${digits(figure.low)}–${digits(figure.high)})` : '';
  return `${digits(figure.median)}${unit === '' ? '' : ` ${unit}`}${spread}`;
};
const MARKS = new Map<boolean | null, string>([
  [true, 'holds'],
  [false, 'MISSED'],
  [null, ''],
]);

/** What the rows are made of, a line each. */
export const renderParts = (rows: readonly Row[]): readonly string[] =>
  rows.flatMap(({ what, unit, parts }) => {
    const all = Object.entries(parts).map(([part, value]) => `${part} ${digits(value)}`);
    return all.length === 0 ? [] : [`${what}${unit === '' ? '' : `, in ${unit}`}: ${all.join(', ')}`];
  });

/** The rows as a table of Markdown: medians, with the middle half of the runs behind each. */
export function renderTable(rows: readonly Row[]): string {
  const cells = rows.map(({ what, unit, ours, beside, ratio, bar, holds }) => [
    what,
    ratio === null ? '' : `${digits(ratio)} ×`,
    told(ours, unit),
    beside === null ? '' : `${told(beside, unit)} ${beside.name}`,
    bar ?? '',
    MARKS.get(holds) ?? '',
  ]);
  const table = [['what', 'ratio', 'Mayfly', 'beside', 'bar', ''], ...cells];
  const widths = table[0]?.map((_, column) => Math.max(3, ...table.map((line) => line[column]?.length ?? 0))) ?? [];
  const line = (one: readonly string[]): string => `| ${one.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`;
  const [head = [], ...rest] = table;
  return [line(head), `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`, ...rest.map(line)].join('\n');
}
