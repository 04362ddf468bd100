const WIDEST = 72;
/** Of a hash, such as an artefact's name, the first digits tell enough. */
const HASH = /\b[0-9a-f]{40,}\b/g;
const HASH_SHOWN = 12;
const GAP = '  ';

/** Rows under a head, for a terminal. What comes from outside stays in its cell. */
export function table(head: readonly string[], rows: readonly (readonly string[])[], widest = WIDEST): string {
  const lines = [head, ...rows.map((row) => row.map((text) => shown(text, widest)))];
  const widths = head.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  return lines
    .map(
      (line) =>
        `${line
          .map((cell, column) => cell.padEnd(widths[column] ?? 0))
          .join(GAP)
          .trimEnd()}\n`,
    )
    .join('');
}

/** Names come from folders and databases too: none may move the cursor of a terminal. */
function shown(text: string, widest: number): string {
  const plain = text.replace(/\p{C}/gu, '?').replace(HASH, (hash) => `${hash.slice(0, HASH_SHOWN)}…`);
  return plain.length > widest ? `${plain.slice(0, widest - 1)}…` : plain;
}
