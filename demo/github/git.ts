import { spawn } from 'node:child_process';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';

/** Nothing of this machine's own git settings reaches the demo. */
const CLEAN = { GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1', GIT_TERMINAL_PROMPT: '0', LC_ALL: 'C', TZ: 'UTC' };

export type Run = { readonly cwd: string; readonly env?: Readonly<Record<string, string>> };

/** Runs git and resolves with what it wrote; throws with its complaint when it fails. */
export function git(args: readonly string[], run: Run): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const child = spawn('git', args, {
      cwd: run.cwd,
      env: { PATH: process.env.PATH, ...CLEAN, ...run.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => err.push(chunk));
    child.on('error', reject);
    child.on('close', (code) => {
      if (code === 0) resolve(Buffer.concat(out));
      else reject(new Error(`git ${args[0]} ended with ${code}: ${Buffer.concat(err).toString().trim()}`));
    });
  });
}

export async function gitText(args: readonly string[], run: Run): Promise<string> {
  return (await git(args, run)).toString().trimEnd();
}

/** A bare repository that, like GitHub's, gives out any commit that is asked for by its hash. */
export async function createBareRepository(root: string, fullName: string): Promise<string> {
  const folder = join(root, `${fullName}.git`);
  await git(['init', '--bare', '--quiet', '--initial-branch=main', folder], { cwd: root });
  const settings = { 'http.receivepack': 'true', 'uploadpack.allowAnySHA1InWant': 'true', 'receive.shallowUpdate': 'false' };
  for (const [name, value] of Object.entries(settings)) await git(['config', name, value], { cwd: folder });
  return folder;
}

/** Branch → commit. */
export async function readBranches(folder: string): Promise<ReadonlyMap<string, string>> {
  const lines = await gitText(['for-each-ref', '--format=%(objectname) %(refname:lstrip=2)', 'refs/heads'], { cwd: folder });
  return new Map(lines === '' ? [] : lines.split('\n').map((line) => [line.slice(41), line.slice(0, 40)]));
}

/** Splits what a CGI program writes into status, headers and the start of its body; undefined until its headers are whole. */
function parseHead(head: Buffer): { status: number; headers: [string, string][]; rest: Buffer } | undefined {
  const end = head.indexOf('\r\n\r\n');
  if (end === -1) return undefined;
  let status = 200;
  const headers: [string, string][] = [];
  for (const line of head.subarray(0, end).toString().split('\r\n')) {
    const colon = line.indexOf(':');
    const [name, value] = [line.slice(0, colon), line.slice(colon + 1).trim()];
    if (name.toLowerCase() === 'status') status = Number.parseInt(value, 10);
    else headers.push([name, value]);
  }
  return { status, headers, rest: head.subarray(end + 4) };
}

function cgiEnvironment(root: string, request: IncomingMessage): NodeJS.ProcessEnv {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://git');
  const header = (name: string) => String(request.headers[name] ?? '');
  return {
    PATH: process.env.PATH,
    ...CLEAN,
    GIT_PROJECT_ROOT: root,
    GIT_HTTP_EXPORT_ALL: '1',
    PATH_INFO: decodeURIComponent(pathname),
    QUERY_STRING: searchParams.toString(),
    REQUEST_METHOD: request.method ?? 'GET',
    CONTENT_TYPE: header('content-type'),
    ...(request.headers['content-length'] === undefined ? {} : { CONTENT_LENGTH: header('content-length') }),
    HTTP_CONTENT_ENCODING: header('content-encoding'),
    GIT_PROTOCOL: header('git-protocol'),
    REMOTE_USER: 'demo',
    REMOTE_ADDR: '127.0.0.1',
  };
}

/** Git over HTTP for every repository under `root`. Resolves when the exchange is over. Who may ask is the caller's to decide. */
export function serveGit(root: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const child = spawn('git', ['http-backend'], { env: cgiEnvironment(root, request), stdio: ['pipe', 'pipe', 'ignore'] });
    let head = Buffer.alloc(0);
    let started = false;
    request.pipe(child.stdin);
    child.stdin.on('error', () => {}); // the backend may refuse before it has read everything
    child.stdout.on('data', (chunk: Buffer) => {
      if (started) {
        response.write(chunk);
        return;
      }
      head = Buffer.concat([head, chunk]);
      const parsed = parseHead(head);
      if (parsed === undefined) return;
      started = true;
      for (const [name, value] of parsed.headers) response.setHeader(name, value);
      response.writeHead(parsed.status);
      response.write(parsed.rest);
    });
    response.on('close', () => child.kill());
    child.on('error', () => response.writeHead(500).end());
    child.on('close', () => {
      if (!started) response.writeHead(500);
      response.end(() => resolve());
    });
  });
}
