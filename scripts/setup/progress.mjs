import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, rmSync, statSync, writeSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** A problem that the person at the keyboard can do something about: its message is all they need. */
export class SetupError extends Error {}

const HEARTBEAT_MS = 10_000;
const seconds = (ms) =>
  ms < 60_000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1000)} s`;

export const say = (line) => console.log(`set-up: ${line}`);

/** Says what is being done, that it still is while it takes long, and how long it took. */
export async function step(what, work) {
  const started = Date.now();
  say(what);
  const heartbeat = setInterval(() => say(`  still at it, ${seconds(Date.now() - started)}`), HEARTBEAT_MS);
  try {
    const result = await work();
    say(`  done in ${seconds(Date.now() - started)}`);
    return result;
  } finally {
    clearInterval(heartbeat);
  }
}

/** Runs a program without standard input. Resolves with its exit code and the end of what it said, at most 64 KiB. */
export function run(command, args, options = {}) {
  return new Promise((resolve) => {
    let output = '';
    const child = spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
    const keep = (chunk) => {
      output = (output + chunk).slice(-65_536);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    child.on('error', (error) => resolve({ code: 127, output: error.message }));
    child.on('close', (code) => resolve({ code: code ?? 1, output }));
  });
}

/** As `run`, but anything else than success is a SetupError that shows the last lines. */
export async function mustRun(command, args, options = {}) {
  const { code, output } = await run(command, args, options);
  if (code === 0) return output;
  const tail = output.trim().split('\n').slice(-60).join('\n  ');
  throw new SetupError(`\`${[command, ...args].join(' ')}\` ended with ${code}:\n  ${tail}`);
}

function isHeld(file) {
  try {
    const pid = Number(readFileSync(file, 'utf8'));
    if (!pid) return Date.now() - statSync(file).mtimeMs < 5_000; // just made, its owner's number is still to come
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM'; // alive, but another user's; anything else: the file or the process is gone
  }
}

/** Runs `work` while no other set-up holds `file`; a set-up that died in between holds nothing. */
export async function alone(file, work) {
  await mkdir(dirname(file), { recursive: true });
  for (let waited = false; ; waited = true) {
    try {
      const lock = openSync(file, 'wx');
      writeSync(lock, String(process.pid));
      closeSync(lock);
      break;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
      if (!isHeld(file)) rmSync(file, { force: true });
      else if (!waited) say(`waiting for another set-up (process ${readFileSync(file, 'utf8') || 'unknown'})`);
      await sleep(250);
    }
  }
  try {
    return await work();
  } finally {
    rmSync(file, { force: true });
  }
}
