import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { z } from 'zod';
import type { Surroundings } from './mayfly-process.ts';
import { descendantsOf, type Known } from './processes.ts';

const upLine = z.object({ msg: z.literal('Mayfly is up'), web: z.string(), gate: z.string() });
export type Environment = Readonly<Record<string, string>>;
export type Running = { readonly process: ChildProcess; readonly web: string; readonly gate: string; readonly said: readonly string[] };
/** `flags` for Node itself; `within`: a command that becomes Mayfly. */
export type How = Surroundings & { readonly flags?: readonly string[]; readonly within?: readonly string[] };

/** It ends with whoever starts it, however they end. */
export function launch(env: Environment, { flags = [], within = [], ...surroundings }: How = {}): ChildProcess {
  const isPlain = Object.keys(surroundings).length === 0;
  const program = isPlain ? ['src/main.ts'] : ['test/mayfly-process.ts', JSON.stringify(surroundings)];
  const command = [...within, process.execPath, ...flags, ...program];
  const { NODE_COMPILE_CACHE } = process.env;
  return spawn('setpriv', ['--pdeathsig', 'KILL', '--', ...command], {
    env: { ...(NODE_COMPILE_CACHE && { NODE_COMPILE_CACHE }), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/** Starts a Mayfly and waits until it says that it is up. */
export async function startProcess(env: Environment, how: How = {}): Promise<Running> {
  const child = launch(env, how);
  const said: string[] = [];
  child.stderr?.setEncoding('utf8').on('data', (text: string) => said.push(text));
  return new Promise<Running>((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`Mayfly ended with ${code}: ${said.join('').slice(-2_000)}`)));
    createInterface({ input: child.stdout ?? process.stdin }).on('line', (line) => {
      said.push(line);
      const up = line.includes('Mayfly is up') ? upLine.safeParse(JSON.parse(line)).data : undefined;
      if (up) resolve({ process: child, web: up.web, gate: up.gate, said });
    });
  });
}

/** @returns how it ended, and what it had started until then */
export async function endProcess(
  { process: child }: Running,
  signal: NodeJS.Signals,
): Promise<{ readonly code: number | null; readonly had: readonly Known[] }> {
  const had = await descendantsOf(child.pid ?? 0);
  const ended = once(child, 'exit');
  child.kill(signal);
  const [code] = await ended;
  return { code, had };
}
