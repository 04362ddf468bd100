import { execFile } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const USUAL = 'https://registry.npmjs.org/';
const LIMIT_MS = 20_000;

/** Where this machine gets its packages from. Null: as everybody does. */
export type Registry = { readonly address: string | null; readonly certificates: string | null };

/**
 * What npm is configured with for the user that runs Mayfly: the registry's address (`registry`) and the certificates that it trusts
 * (`cafile`). No token and no password is ever read or passed on: builds run other people's code.
 */
export async function findRegistry(): Promise<Registry> {
  const npm = join(dirname(createRequire(import.meta.url).resolve('npm/package.json')), 'bin', 'npm-cli.js');
  const get = async (name: string): Promise<string> => {
    const args = [npm, 'config', 'get', name, '--global', '--logs-max=0', '--loglevel=silent'];
    // Outside any project, whose own settings are not the machine's.
    return (await run(process.execPath, args, { cwd: '/', timeout: LIMIT_MS })).stdout.trim();
  };
  // An npm that can't tell is as good as one without settings: builds then use the usual registry.
  const [address, certificates] = await Promise.all(['registry', 'cafile'].map((name) => get(name).catch(() => '')));
  return { address: toAddress(address ?? ''), certificates: certificates?.startsWith('/') ? certificates : null };
}

/** The address without credentials; null when it is the usual one or none at all. */
export function toAddress(text: string): string | null {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol)) return null;
  url.username = '';
  url.password = '';
  return url.href === USUAL ? null : url.href;
}
