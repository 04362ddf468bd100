import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';

export type Said = { readonly code: number | null; readonly out: string; readonly errors: string };

export type Asked = {
  readonly args?: readonly string[];
  readonly input?: string;
  /** Once it resolves, the program is interrupted. */
  readonly interrupted?: Promise<void>;
};

/** `npm run reconcile -- …` without the set-up, to its end. */
export const runReconcile = (environment: Readonly<Record<string, string>>, ...args: readonly string[]): Promise<Said> =>
  runCommand('src/reconcile.ts', environment, { args });

/** A program of ours, to its end. `input` is what comes on its standard input. */
export async function runCommand(
  program: string,
  environment: Readonly<Record<string, string>>,
  { args = [], input = '', interrupted }: Asked = {},
): Promise<Said> {
  const env = { PATH: process.env.PATH ?? '', HOME: process.env.HOME ?? '', ...environment };
  const child = spawn(process.execPath, [program, ...args], { env, stdio: ['pipe', 'pipe', 'pipe'] });
  child.stdin.on('error', () => undefined).end(input);
  interrupted?.then(() => child.kill('SIGINT'));
  const exit = new Promise<number | null>((resolve) => child.once('close', resolve));
  const [code, out, errors] = await Promise.all([exit, text(child.stdout), text(child.stderr)]);
  return { code, out, errors };
}

/** The table without what is another in each run. */
export const plainTable = (table: string): string =>
  table
    .replace(/(?<![0-9a-z])[0-9a-hjkmnp-tv-z]{26}(?![0-9a-z])/gi, 'SITE')
    .replace(/\b[0-9a-f]{8}-[0-9a-f-]{27}\b/g, 'guid')
    .replace(/\b\d{4}-\d\d-\d\dT[\d:]{8}Z/g, 'time')
    .replace(/((?:local-|gcp-|mf_))[0-9a-f]{8}/g, '$1tag')
    .replace(/\b[0-9a-f]{8}(?=-SITE)/g, 'tag')
    .replace(/\bmayfly-[0-9a-f]{8}-[0-9a-f]{12}\b/g, 'mayfly-tag-name')
    .replace(/\b[0-9a-f]{7}\b/g, 'commit')
    .replace(/ {2,}/g, '  ');
