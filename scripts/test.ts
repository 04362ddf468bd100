import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { z } from 'zod';

/** What we read of vitest's own account of a run. */
const Report = z.object({
  success: z.boolean(),
  numPassedTests: z.number(),
  numFailedTests: z.number(),
  testResults: z.array(z.object({ status: z.string(), assertionResults: z.array(z.object({ status: z.string() })) })),
});

type Tally = { readonly passed: number; readonly failed: number };

const root = join(import.meta.dirname, '..');
const bin = join(root, 'node_modules/.bin');

/** Runs one of the project's programs on the project's Node.js, without standard input. Resolves with its exit code. */
function runProgram(name: string, args: readonly string[]): Promise<number> {
  return new Promise((resolve) => {
    const env = { ...process.env, PATH: `${bin}${delimiter}${process.env.PATH ?? ''}` };
    const child = spawn(join(bin, name), args, { cwd: root, env, stdio: ['ignore', 'inherit', 'inherit'] });
    child.on('error', (error) => {
      console.error(error.message);
      resolve(127);
    });
    child.on('close', (code) => resolve(code ?? 1));
  });
}

async function check(what: string, program: string, args: readonly string[]): Promise<Tally> {
  const started = Date.now();
  const code = await runProgram(program, args);
  console.log(`${code === 0 ? '✓' : '✗'} ${what} (${((Date.now() - started) / 1000).toFixed(1)} s)`);
  return code === 0 ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 };
}

/** Counts what vitest wrote. A file that broke before its first test, and a run that failed without a failed test, count as one each. */
function tally(written: string, code: number): Tally {
  const report = Report.parse(JSON.parse(written));
  const broken = report.testResults.filter(
    (file) => file.status === 'failed' && !file.assertionResults.some((one) => one.status === 'failed'),
  );
  const failed = report.numFailedTests + broken.length;
  return { passed: report.numPassedTests, failed: failed === 0 && (code !== 0 || !report.success) ? 1 : failed };
}

async function runTests(args: readonly string[]): Promise<Tally> {
  const folder = await mkdtemp(join(tmpdir(), 'mayfly-tests-'));
  try {
    const file = join(folder, 'report.json');
    const code = await runProgram('vitest', ['run', '--reporter=default', '--reporter=json', `--outputFile.json=${file}`, ...args]);
    const written = await readFile(file, 'utf8').catch(() => undefined); // absent when vitest itself fell over
    return written === undefined ? { passed: 0, failed: 1 } : tally(written, code);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const tallies = [
  await check('formatting and lint', 'biome', ['check', '.']),
  await check('types', 'tsc', ['--noEmit']),
  await runTests(process.argv.slice(2)),
];
const passed = tallies.reduce((sum, one) => sum + one.passed, 0);
const failed = tallies.reduce((sum, one) => sum + one.failed, 0);
console.log(`\n${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
