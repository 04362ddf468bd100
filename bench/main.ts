import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { footprint } from './footprint.ts';
import { gate } from './gate.ts';
import { launch } from './launch.ts';
import { describeMachine } from './machine.ts';
import type { Measurement, Row, Scale } from './measurement.ts';
import { pulumi } from './pulumi.ts';
import { recovery } from './recovery.ts';
import { scale } from './scale.ts';
import { renderTable } from './table.ts';
import { webhooks } from './webhooks.ts';

/** By the names that the command line takes; what disturbs the others comes last. */
const MEASUREMENTS: Readonly<Record<string, Measurement>> = { footprint, webhooks, gate, pulumi, launch, scale, recovery };
const USAGE = `usage: npm run bench -- [--smoke] [NAME…]\n  names: ${Object.keys(MEASUREMENTS).join(', ')}; all of them unless given`;
const RESULTS = join(import.meta.dirname, 'results.json');

type Result = { readonly name: string; readonly title: string; readonly seconds: number; readonly rows: readonly Row[] };

async function measure(name: string, { title, run }: Measurement, scale: Scale): Promise<Result> {
  console.log(`\n## ${title}\n`);
  const started = performance.now();
  const rows = await run({ scale, say: (line) => console.log(`  ${line}`) });
  const seconds = Math.round((performance.now() - started) / 1_000);
  console.log(`\n${renderTable(rows)}\n\n${seconds} s`);
  return { name, title, seconds, rows };
}

async function main(args: readonly string[]): Promise<void> {
  const names = args.filter((one) => one !== '--smoke');
  const unknown = names.filter((name) => !Object.hasOwn(MEASUREMENTS, name));
  if (unknown.length > 0) {
    console.error(`No measurement is called ${unknown.join(', ')}.\n${USAGE}`);
    process.exitCode = 64;
    return;
  }
  const scale: Scale = args.includes('--smoke') ? 'smoke' : 'whole';
  const machine = describeMachine();
  console.log(`${machine.processors} × ${machine.model}, ${machine.memoryGiB} GiB, ${machine.system}, Node ${machine.node}`);
  const chosen = Object.entries(MEASUREMENTS).filter(([name]) => names.length === 0 || names.includes(name));
  const results: Result[] = [];
  for (const [name, measurement] of chosen) results.push(await measure(name, measurement, scale));
  const missed = results.flatMap(({ rows }) => rows).filter(({ holds }) => holds === false);
  if (scale === 'whole') {
    await writeFile(RESULTS, `${JSON.stringify({ at: new Date().toISOString(), machine, results }, null, 2)}\n`);
    console.log(
      `\n${missed.length === 0 ? 'Every bar holds.' : `Missed: ${missed.map(({ what }) => what).join('; ')}`}\nWritten to bench/results.json`,
    );
  }
}

await main(process.argv.slice(2));
