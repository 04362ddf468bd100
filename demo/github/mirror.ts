import { z } from 'zod';
import type { Json } from '../json.ts';
import { git, gitText } from './git.ts';

/** A call on the emulated API as the person who pushed. `path` is relative to the repository. Throws unless it succeeds. */
export type Call = (method: string, path: string, body?: unknown) => Promise<Json>;

const Made = z.object({ sha: z.string() });

async function mirrorTree(folder: string, commit: string, call: Call): Promise<string> {
  const entries = (await gitText(['ls-tree', '-r', '-z', commit], { cwd: folder })).split('\0').filter((line) => line !== '');
  const tree = [];
  for (const entry of entries) {
    const [meta = '', path = ''] = entry.split('\t');
    const [mode = '', type = '', sha = ''] = meta.split(' ');
    if (type === 'blob') {
      const content = await git(['cat-file', 'blob', sha], { cwd: folder });
      await call('POST', 'git/blobs', { content: content.toString('base64'), encoding: 'base64' });
    }
    tree.push({ path, mode, type, sha });
  }
  return Made.parse(await call('POST', 'git/trees', { tree })).sha;
}

async function mirrorCommit(folder: string, commit: string, call: Call): Promise<void> {
  const format = '--format=%P%x00%an%x00%ae%x00%aI%x00%cn%x00%ce%x00%cI%x00%B';
  const fields = (await gitText(['log', '-1', format, commit], { cwd: folder })).split('\0');
  const [parents = '', name, email, date, committerName, committerEmail, committerDate, message = ''] = fields;
  const made = await call('POST', 'git/commits', {
    message: `${message.trimEnd()}\n`,
    tree: await mirrorTree(folder, commit, call),
    parents: parents === '' ? [] : parents.split(' '),
    author: { name, email, date },
    committer: { name: committerName, email: committerEmail, date: committerDate },
  });
  const { sha } = Made.parse(made);
  if (sha !== commit) throw new Error(`the emulated GitHub computed ${sha} for the commit ${commit}`);
}

export type Moved = { readonly branch: string; readonly before: string | undefined; readonly after: string };

/**
 * Tells the emulated API what git already knows: the new commits of a pushed branch, object by object, so that its answers about
 * commits and contents are git's. Its hashes are computed as git's are.
 */
export async function mirrorPush(folder: string, moved: Moved, call: Call): Promise<void> {
  const range = moved.before === undefined ? [moved.after] : [moved.after, `^${moved.before}`];
  const commits = await gitText(['rev-list', '--reverse', '--topo-order', ...range], { cwd: folder });
  for (const commit of commits.split('\n').filter((line) => line !== '')) await mirrorCommit(folder, commit, call);
  if (moved.before === undefined) await call('POST', 'git/refs', { ref: `refs/heads/${moved.branch}`, sha: moved.after });
  else await call('PATCH', `git/refs/heads/${moved.branch}`, { sha: moved.after, force: true });
}
