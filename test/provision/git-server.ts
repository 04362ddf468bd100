import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { commit, type Files, git, initBare } from '../doubles/git/git.ts';

export type GitServer = Awaited<ReturnType<typeof createGitServer>>;

/** A bare repository behind git's own HTTP server, which can be told to fail. */
export async function createGitServer() {
  const folder = await mkdtemp(join(tmpdir(), 'mayfly-git-'));
  await initBare(join(folder, 'repo.git'));
  const seen: (string | undefined)[] = [];
  const own = { failures: 0 };
  const server = createServer(async (request, response) => {
    seen.push(request.headers.authorization);
    if (own.failures > 0) {
      own.failures -= 1;
      response.writeHead(503).end();
      return;
    }
    const [path = '', query = ''] = (request.url ?? '').split('?');
    const child = spawn('git', ['http-backend'], {
      stdio: ['pipe', 'pipe', 'ignore'],
      env: {
        PATH: process.env.PATH ?? '',
        HOME: '/nonexistent',
        GIT_PROJECT_ROOT: folder,
        GIT_HTTP_EXPORT_ALL: '1',
        PATH_INFO: path,
        QUERY_STRING: query,
        REQUEST_METHOD: request.method ?? 'GET',
        CONTENT_TYPE: request.headers['content-type'] ?? '',
        HTTP_CONTENT_ENCODING: String(request.headers['content-encoding'] ?? ''),
        GIT_PROTOCOL: String(request.headers['git-protocol'] ?? ''),
      },
    });
    // The backend may answer before it has read everything.
    child.stdin.on('error', () => {});
    child.stdin.end(await buffer(request));
    const answer = await buffer(child.stdout);
    const end = answer.indexOf('\r\n\r\n');
    const headers = answer
      .subarray(0, end)
      .toString()
      .split('\r\n')
      .map((line) => line.split(': ') as [string, string]);
    const status = headers.find(([name]) => name === 'Status')?.[1];
    response.writeHead(status ? Number.parseInt(status, 10) : 200, Object.fromEntries(headers.filter(([name]) => name !== 'Status')));
    response.end(answer.subarray(end + 4));
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : 0;
  return {
    url: `http://127.0.0.1:${port}/repo.git`,
    bare: join(folder, 'repo.git'),
    /** The `Authorization` of every request. */
    seen,
    /** The next so many requests are answered 503. */
    fail: (times: number): void => {
      own.failures = times;
    },
    commit: (files: Files, ref = 'refs/heads/main', parents: readonly string[] = []): Promise<string> =>
      commit(join(folder, 'repo.git'), ref, { files, message: 'a commit', author: 'dev', parents }),
    git: (args: readonly string[]): Promise<string> => git(join(folder, 'repo.git'), args),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await rm(folder, { recursive: true, force: true });
    },
  };
}
