import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { footprint } from './footprint.ts';
import { gate } from './gate.ts';
import { google } from './google.ts';
import { launch } from './launch.ts';
import { describeMachine } from './machine.ts';
import type { Measurement, Row, Scale } from './measurement.ts';
import { pulumi } from './pulumi.ts';
import { recovery } from './recovery.ts';
import { scale } from './scale.ts';
import { renderParts, renderTable } from './table.ts';
import { webhooks } from './webhooks.ts';
import { workers } from './workers.ts';

/** By the names that the command line takes; what disturbs the others comes last. */
const MEASUREMENTS: Readonly<Record<string, Measurement>> = {
  ...{ footprint, webhooks, gate, pulumi, launch, google },
  ...{ workers, scale, recovery },
};
const USAGE = `usage: npm run bench -- [--smoke] [--to FILE] [NAME…]
  names: ${Object.keys(MEASUREMENTS).join(', ')}; all of them unless given
  --smoke: as few and as small runs as can be, which show that everything works and measure nothing
  --to: where the results are written instead of bench/results.json`;
const OPTIONS = {
  smoke: { type: 'boolean', default: false },
  to: { type: 'string', default: join(import.meta.dirname, 'results.json') },
} as const;

type Result = { readonly name: string; readonly title: string; readonly seconds: number; readonly rows: readonly Row[] };

async function measure(name: string, { title, run }: Measurement, scale: Scale): Promise<Result> {
  console.log(`\n## ${title}\n`);
  const started = performance.now();
  const rows = await run({ scale, say: (line) => console.log(`  ${line}`) });
  const seconds = Math.round((performance.now() - started) / 1_000);
  console.log(`\n${[renderTable(rows), ...renderParts(rows)].join('\n\n')}\n\n${seconds} s`);
  return { name, title, seconds, rows };
}

async function main(args: readonly string[]): Promise<void> {
  const { values, positionals: names } = parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true });
  const unknown = names.filter((name) => !Object.hasOwn(MEASUREMENTS, name));
  if (unknown.length > 0) {
    console.error(`No measurement is called ${unknown.join(', ')}.\n${USAGE}`);
    process.exitCode = 64;
    return;
  }
  const scale: Scale = values.smoke ? 'smoke' : 'whole';
  const machine = describeMachine();
  console.log(`${machine.processors} × ${machine.model}, ${machine.memoryGiB} GiB, ${machine.system}, Node ${machine.node}`);
  const chosen = Object.entries(MEASUREMENTS).filter(([name]) => names.length === 0 || names.includes(name));
  const results: Result[] = [];
  // A smoke measures nothing that another could disturb.
  if (scale === 'smoke') results.push(...(await Promise.all(chosen.map(([name, measurement]) => measure(name, measurement, scale)))));
  else for (const [name, measurement] of chosen) results.push(await measure(name, measurement, scale));
  const seconds = results.reduce((sum, one) => sum + one.seconds, 0);
  await writeFile(values.to, `${JSON.stringify({ at: new Date().toISOString(), scale, seconds, machine, results }, null, 2)}\n`);
  const missed = results.flatMap(({ rows }) => rows).filter(({ holds }) => holds === false);
  const verdict = missed.length === 0 ? 'Every bar holds.' : `Missed: ${missed.map(({ what }) => what).join('; ')}`;
  console.log(`\n${scale === 'whole' ? verdict : 'A smoke: no figure means anything.'}\n${seconds} s in all, written to ${values.to}`);
}

await main(process.argv.slice(2));
