// Puts the results of the last run into the README: `node bench/readme.ts`.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Machine } from './machine.ts';
import type { Row } from './measurement.ts';
import { renderTable } from './table.ts';

type Written = {
  readonly at: string;
  readonly seconds: number;
  readonly machine: Machine;
  readonly results: readonly { readonly rows: readonly Row[] }[];
};
const README = join(import.meta.dirname, '..', 'README.md');
const TABLE = /(?<=<!-- bench -->\n).*(?=<!-- \/bench -->)/s;

// What `main.ts` wrote.
const { at, seconds, machine, results }: Written = JSON.parse(await readFile(join(import.meta.dirname, 'results.json'), 'utf8'));
const rows = results.flatMap((one) => one.rows).filter(({ bar, ratio }) => bar !== null || ratio !== null);
const versions = Object.entries(machine.versions).map(([name, version]) => `${name} ${version}`);
const where = `${machine.processors} × ${machine.model}, ${machine.memoryGiB} GiB, ${machine.system}, Linux ${machine.kernel}, Node ${machine.node}; ${versions.join(', ')}`;
const text = `${renderTable(rows)}\n\n${at.slice(0, 10)}, ${Math.round(seconds / 60)} minutes on ${where}.\n`;
await writeFile(
  README,
  (await readFile(README, 'utf8')).replace(TABLE, () => text),
);
