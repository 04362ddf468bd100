/** What the story reads off a comment, as a person would. */
export type Glance = { readonly heading: string; readonly address: string | undefined; readonly ends: string | undefined };

export function glance(markdown: string): Glance {
  return {
    heading: /^### (.*)$/m.exec(markdown)?.[1] ?? '',
    address: /\*\*(https?:\/\/[^*\s]+)\*\*/.exec(markdown)?.[1],
    ends: /\| *([A-Z][a-z]{2} \d[^|]*UTC)/.exec(markdown)?.[1],
  };
}

const BOLD = '\x1b[1m';
const DIM = '\x1b[2m';
const PLAIN = '\x1b[0m';

const cells = (row: string): readonly string[] =>
  row
    .split('|')
    .slice(1, -1)
    .map((cell) => cell.trim());

function alignTable(rows: readonly string[]): readonly string[] {
  const table = rows.filter((row) => !/^\|[-| :]+\|$/.test(row)).map(cells);
  const widths = (table[0] ?? []).map((_cell, column) => Math.max(...table.map((row) => (row[column] ?? '').length)));
  return table.map((row, index) => {
    const line = row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('   ');
    return index === 0 ? `${DIM}${line}${PLAIN}` : line;
  });
}

/** The comment for a terminal: headings and addresses bold, tables aligned, links by their words, what is folded left out. */
export function renderForTerminal(markdown: string): string {
  const plain = markdown
    .replace(/<!--[\s\S]*?-->/g, '')
    .replace(/<details>[\s\S]*?<\/details>/g, '')
    .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
    .replace(/<br ?\/?>/g, '\n')
    .replace(/<\/?[a-z][^>]*>/g, '')
    .replaceAll('`', '')
    .replace(/\\([^\w\s])/g, '$1');
  const out: string[] = [];
  let rows: string[] = [];
  for (const line of [...plain.trim().split('\n'), '']) {
    if (line.startsWith('|')) {
      rows.push(line);
      continue;
    }
    out.push(...alignTable(rows));
    rows = [];
    out.push(line.replace(/^### (.*)$/, `${BOLD}$1${PLAIN}`).replace(/\*\*(.+?)\*\*/g, `${BOLD}$1${PLAIN}`));
  }
  return out
    .join('\n')
    .trimEnd()
    .replace(/\n{3,}/g, '\n\n')
    .split('\n')
    .map((line) => `  │ ${line}`)
    .join('\n');
}
