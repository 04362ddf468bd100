import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { git, gitText } from './github/git.ts';
import type { GitHub } from './github.ts';
import { parseJson } from './json.ts';

/** Dana, who works on the shop: what she does goes through git and the REST interface, as it would on GitHub. */
export interface Developer {
  /** Puts the sample into a repository of its own and pushes `main`. Resolves with the commit. */
  createRepository(): Promise<string>;
  /** Changes `shop.js` on a branch and pushes it. Resolves with the commit. */
  push(branch: string, change: { readonly title: string; readonly accent: string; readonly message: string }): Promise<string>;
  openPull(branch: string, title: string): Promise<number>;
  setPullState(pull: number, state: 'open' | 'closed'): Promise<void>;
  pull(pull: number): Promise<{ readonly title: string; readonly state: string; readonly sha: string }>;
  comment(pull: number, body: string): Promise<number>;
  comments(pull: number): Promise<readonly Comment[]>;
}

const Comments = z.array(z.object({ id: z.number(), body: z.string(), user: z.object({ login: z.string(), type: z.string() }) }));
export type Comment = z.infer<typeof Comments>[number];

const Pull = z.object({ number: z.number(), title: z.string(), state: z.string(), head: z.object({ sha: z.string() }) });
const Made = z.object({ id: z.number() });
const SAMPLE = join(import.meta.dirname, 'shop');

const AUTHOR = {
  GIT_AUTHOR_NAME: 'Dana',
  GIT_AUTHOR_EMAIL: 'dana@acme.dev',
  GIT_COMMITTER_NAME: 'Dana',
  GIT_COMMITTER_EMAIL: 'dana@acme.dev',
};

async function commit(folder: string, message: string): Promise<string> {
  await git(['add', '--all'], { cwd: folder });
  await git(['commit', '--quiet', '--message', message], { cwd: folder, env: AUTHOR });
  return gitText(['rev-parse', 'HEAD'], { cwd: folder });
}

async function edit(folder: string, change: { readonly title: string; readonly accent: string }): Promise<void> {
  const file = join(folder, 'shop.js');
  const text = await readFile(file, 'utf8');
  const edited = text
    .replace(/title = .*;/, `title = ${JSON.stringify(change.title)};`)
    .replace(/accent = .*;/, `accent = '${change.accent}';`);
  await writeFile(file, edited);
}

/** @param sample folder of what she works on */
export async function createDeveloper(github: GitHub, folder: string, sample = SAMPLE): Promise<Developer> {
  const work = join(folder, 'work');
  await mkdir(work, { recursive: true });
  const remote = new URL(`${github.url}/${github.repository}.git`);
  remote.username = github.developer.login;
  remote.password = github.developer.token;
  const api = async (method: string, path: string, body?: unknown) => {
    const response = await fetch(`${github.url}/repos/${github.repository}/${path}`, {
      method,
      headers: { authorization: `token ${github.developer.token}`, 'content-type': 'application/json' },
      body: body === undefined ? null : JSON.stringify(body),
    });
    if (!response.ok) throw new Error(`the emulated GitHub answered ${method} ${path} with ${response.status}`);
    return parseJson(await response.text());
  };
  const pushBranch = (branch: string) => git(['push', '--quiet', remote.href, branch], { cwd: work });
  return {
    async createRepository() {
      await cp(sample, work, { recursive: true, filter: (path) => !path.includes('node_modules') });
      await git(['init', '--quiet', '--initial-branch=main'], { cwd: work });
      const sha = await commit(work, 'Open the shop');
      await pushBranch('main');
      await api('GET', 'branches/main'); // answered once the push is known there
      return sha;
    },
    async push(branch, change) {
      const branches = await gitText(['branch', '--list', branch], { cwd: work });
      await git(['checkout', '--quiet', ...(branches === '' ? ['-b'] : []), branch], { cwd: work });
      await edit(work, change);
      const sha = await commit(work, change.message);
      await pushBranch(branch);
      return sha;
    },
    async openPull(branch, title) {
      return Pull.parse(await api('POST', 'pulls', { title, head: branch, base: 'main' })).number;
    },
    async setPullState(pull, state) {
      await api('PATCH', `pulls/${pull}`, { state });
    },
    async pull(number) {
      const { title, state, head } = Pull.parse(await api('GET', `pulls/${number}`));
      return { title, state, sha: head.sha };
    },
    async comment(pull, body) {
      return Made.parse(await api('POST', `issues/${pull}/comments`, { body })).id;
    },
    async comments(pull) {
      return Comments.parse(await api('GET', `issues/${pull}/comments?per_page=100`));
    },
  };
}
