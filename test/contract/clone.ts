import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A folder into which git fetches. */
export async function openClone() {
  const folder = await mkdtemp(join(tmpdir(), 'clone-'));
  const run = async (args: readonly string[]): Promise<number> => {
    const env = { PATH: process.env.PATH ?? '', HOME: folder, GIT_TERMINAL_PROMPT: '0' };
    const [code] = await once(spawn('git', ['-C', folder, ...args], { env, stdio: 'ignore' }), 'close');
    return Number(code);
  };
  return {
    /** Fetches one commit, or a reference, and says what git's exit code was. */
    async fetch({ url, authorization }: { readonly url: string; readonly authorization: string | null }, what: string): Promise<number> {
      const header = authorization === null ? [] : ['-c', `http.extraHeader=authorization: ${authorization}`];
      await run(['init', '--quiet']);
      return run([...header, 'fetch', '--quiet', '--depth=1', url, what]);
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}
