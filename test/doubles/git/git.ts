import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { buffer } from 'node:stream/consumers';

/** What a commit changes: text, bytes, a link or a submodule; null deletes. */
export type Change = string | Buffer | null | { readonly link: string } | { readonly submodule: string } | { readonly executable: string };
export type Files = Readonly<Record<string, Change>>;

const ENVIRONMENT = { PATH: process.env.PATH ?? '', HOME: '/nonexistent', GIT_CONFIG_NOSYSTEM: '1', LC_ALL: 'C' };

/** Runs git with an argument array and gives back its output; throws with what it said when it fails. */
export async function git(folder: string, args: readonly string[], input: string | Buffer = ''): Promise<string> {
  const child = spawn('git', ['-C', folder, ...args], { env: ENVIRONMENT, stdio: ['pipe', 'pipe', 'pipe'] });
  child.stdin.on('error', () => {}); // git may exit before it has read everything; its exit code tells
  child.stdin.end(input);
  const [out, error, [code]] = await Promise.all([buffer(child.stdout), buffer(child.stderr), once(child, 'close')]);
  if (code !== 0) throw new Error(`git ${args.join(' ')} exited with ${code}: ${error}`);
  return out.toString();
}

/** A bare repository that lets fetch what GitHub lets fetch: any commit that it has, by id. */
export async function initBare(folder: string): Promise<void> {
  const options = [
    'core.hooksPath=/dev/null',
    'uploadpack.allowAnySHA1InWant=true',
    'uploadpack.allowFilter=true',
    'http.receivepack=false',
  ];
  await git('/', ['init', '--quiet', '--bare', '--initial-branch=main', folder]);
  for (const option of options) {
    const [key, value] = option.split('=');
    await git(folder, ['config', key ?? '', value ?? '']);
  }
}

const quoted = (path: string): string => `"${path.replace(/[\\"]/g, (c) => `\\${c}`).replace(/\n/g, '\\n')}"`;

function changeLine(path: string, change: Change): Buffer {
  if (change === null) return Buffer.from(`D ${quoted(path)}\n`);
  if (typeof change === 'object' && 'submodule' in change) return Buffer.from(`M 160000 ${change.submodule} ${quoted(path)}\n`);
  const mode =
    typeof change === 'object' && 'link' in change ? '120000' : typeof change === 'object' && 'executable' in change ? '100755' : '100644';
  const content = Buffer.isBuffer(change)
    ? change
    : typeof change === 'string'
      ? change
      : 'link' in change
        ? change.link
        : change.executable;
  const bytes = Buffer.from(content);
  return Buffer.concat([Buffer.from(`M ${mode} inline ${quoted(path)}\ndata ${bytes.length}\n`), bytes, Buffer.from('\n')]);
}

let seconds = 1_700_000_000;

/** Makes a commit on `ref` on top of `parents` (the first one's tree changed by `files`) and returns its id. */
export async function commit(
  folder: string,
  ref: string,
  what: { readonly files: Files; readonly message: string; readonly author: string; readonly parents: readonly string[] },
): Promise<string> {
  seconds += 1; // two commits with the same content are still two
  const who = `${what.author} <${what.author}@users.noreply.github.com> ${seconds} +0000`;
  const message = Buffer.from(what.message);
  const [first, ...merged] = what.parents;
  const head = [
    `commit ${ref}\nmark :1\nauthor ${who}\ncommitter ${who}\ndata ${message.length}\n`,
    message,
    `\n${first ? `from ${first}\n` : ''}${merged.map((parent) => `merge ${parent}\n`).join('')}`,
  ];
  const changes = Object.entries(what.files).map(([path, change]) => changeLine(path, change));
  const stream = Buffer.concat([...head.map((part) => Buffer.from(part)), ...changes, Buffer.from('\nget-mark :1\ndone\n')]);
  return (await git(folder, ['fast-import', '--quiet', '--force', '--done', '--date-format=raw'], stream)).trim();
}

/** What stands at `path` in a commit: its mode, kind, object and size; undefined when there is nothing. */
export async function entryAt(folder: string, ref: string, path: string) {
  const listing = await git(folder, ['ls-tree', '--long', '-z', '--full-tree', ref, '--', path]);
  const match = /^(\d+) (\w+) ([0-9a-f]+) +(-|\d+)\t/.exec(listing);
  if (!match) return undefined;
  return { mode: match[1] ?? '', kind: match[2] ?? '', object: match[3] ?? '', size: Number(match[4]) || 0 };
}

/** The full id of a commit, branch or `refs/…`; undefined when there is none. */
export async function resolve(folder: string, ref: string): Promise<string | undefined> {
  try {
    return (await git(folder, ['rev-parse', '--verify', '--quiet', '--end-of-options', `${ref}^{commit}`])).trim();
  } catch {
    return undefined; // git says no by its exit code
  }
}
