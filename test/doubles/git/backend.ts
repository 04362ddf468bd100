import { spawn } from 'node:child_process';
import { dirname } from 'node:path';
import { Readable } from 'node:stream';
import { gunzipSync } from 'node:zlib';
import type { Context } from 'hono';

/** One question that git asked: the refs, or the objects of some commits. */
export type GitFetch = {
  readonly repository: string;
  readonly at: number;
  readonly kind: 'refs' | 'pack';
  readonly wants: readonly string[];
};

/** The commits that a body of `git-upload-pack` asks for. */
export function wantsOf(body: Buffer): string[] {
  const text = (body[0] === 0x1f && body[1] === 0x8b ? gunzipSync(body) : body).toString('latin1');
  return [...text.matchAll(/want ([0-9a-f]{40})/g)].map((want) => want[1] ?? '');
}

/** Lets git itself answer a request of the smart HTTP protocol for the bare repository in `folder`; `user` is who asks. */
export async function answerGit(
  c: Context,
  request: { readonly folder: string; readonly path: string; readonly body: Buffer; readonly user: string },
): Promise<Response> {
  const { folder } = request;
  const header = (name: string) => c.req.header(name) ?? '';
  const child = spawn('git', ['http-backend'], {
    stdio: ['pipe', 'pipe', 'ignore'],
    env: {
      PATH: process.env.PATH ?? '',
      HOME: '/nonexistent',
      GIT_CONFIG_COUNT: '1',
      GIT_CONFIG_KEY_0: 'safe.directory',
      GIT_CONFIG_VALUE_0: '*',
      GIT_PROJECT_ROOT: dirname(folder),
      GIT_HTTP_EXPORT_ALL: '1',
      PATH_INFO: `${folder.slice(dirname(folder).length)}${request.path}`,
      QUERY_STRING: new URL(c.req.url).search.slice(1),
      REQUEST_METHOD: c.req.method,
      CONTENT_TYPE: header('content-type'),
      CONTENT_LENGTH: String(request.body.length),
      HTTP_CONTENT_ENCODING: header('content-encoding'),
      GIT_PROTOCOL: header('git-protocol'),
      REMOTE_USER: request.user,
      REMOTE_ADDR: '127.0.0.1',
    },
  });
  child.stdin.on('error', () => {}); // the backend may answer before it has read everything
  child.stdin.end(request.body);
  const { head, rest } = await untilBlankLine(child.stdout);
  const headers = new Headers();
  for (const line of head.split('\r\n')) headers.append(line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim());
  const status = Number.parseInt(headers.get('status') ?? '200', 10);
  headers.delete('status');
  return new Response(Readable.toWeb(rest) as ReadableStream<Uint8Array>, { status, headers });
}

/** Splits a CGI answer into its header lines and the stream of what follows. */
async function untilBlankLine(stream: Readable): Promise<{ readonly head: string; readonly rest: Readable }> {
  const chunks = stream[Symbol.asyncIterator]();
  let seen = Buffer.alloc(0);
  while (!seen.includes('\r\n\r\n')) {
    const next = await chunks.next();
    if (next.done) throw new Error('git http-backend gave no headers');
    seen = Buffer.concat([seen, next.value]);
  }
  const end = seen.indexOf('\r\n\r\n');
  const rest = Readable.from(
    (async function* () {
      yield seen.subarray(end + 4);
      for (let next = await chunks.next(); !next.done; next = await chunks.next()) yield next.value;
    })(),
    { objectMode: false },
  );
  return { head: seen.subarray(0, end).toString(), rest };
}
