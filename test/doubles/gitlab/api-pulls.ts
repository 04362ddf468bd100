import { Hono } from 'hono';
import { z } from 'zod';
import { entryAt, git, resolve } from '../git/git.ts';
import { type Asked, type Env, flag, notFound, page, paging, paramsOf, pullFor, readerOf, type World } from './door.ts';
import { pullJson, stateOf } from './shapes.ts';
import type { Pull, Repo } from './state.ts';

/** Files of a merge request beyond this many are not in its diffs (`diff_max_files`), and its `changes_count` ends with a plus. */
export type DiffLimits = { maxFiles: number };
/** A file's patch longer than this is folded away, or not kept at all (https://docs.gitlab.com/administration/diff_limits/). */
const COLLAPSED_BYTES = 20_480;
const TOO_LARGE_BYTES = 204_800;

/** Merge requests and the files of a project, which are only read. */
export function pullRoutes(world: World, limits: DiffLimits): Hono<Env> {
  const { url } = world;
  const app = new Hono<Env>();
  app.get('/projects/:id/merge_requests', async (c) => {
    const wish = await paramsOf(world, c, {
      ...paging,
      state: z.enum(['opened', 'closed', 'locked', 'merged', 'all']).optional(),
      scope: z.enum(['created_by_me', 'assigned_to_me', 'reviews_for_me', 'all']).optional(),
      order_by: z.enum(['created_at', 'updated_at', 'title', 'merged_at', 'priority', 'label_priority', 'popularity']).optional(),
      sort: z.enum(['asc', 'desc']).optional(),
      source_branch: z.string().optional(),
      target_branch: z.string().optional(),
      'iids[]': z.array(z.string()).optional(),
      view: z.enum(['simple']).optional(),
      updated_after: z.string().optional(),
      with_labels_details: flag.optional(),
      with_merge_status_recheck: flag.optional(),
    });
    const repo = readerOf(world, c);
    const pulls = [...repo.pulls.values()]
      .filter((pull) => wish.state === undefined || wish.state === 'all' || stateOf(pull) === wish.state)
      .filter((pull) => pull.branch === (wish.source_branch ?? pull.branch) && pull.base === (wish.target_branch ?? pull.base))
      .filter((pull) => wish.updated_after === undefined || pull.updatedAt >= new Date(wish.updated_after).toISOString())
      .filter((pull) => wish['iids[]'] === undefined || wish['iids[]'].includes(String(pull.number)));
    // Newest first unless asked otherwise, so that one opened while pages are read pushes others to the next page.
    pulls.sort((a, b) => (wish.sort === 'asc' ? a.number - b.number : b.number - a.number));
    return page(c, pulls, (pull) => pullJson(pull, url));
  });
  app.get('/projects/:id/merge_requests/:iid', async (c) => {
    await paramsOf(world, c, {
      include_diverged_commits_count: flag.optional(),
      include_rebase_in_progress: flag.optional(),
      render_html: flag.optional(),
    });
    const pull = pullFor(world, c);
    const { base, files } = await diffOf(pull);
    const refs = { base_sha: base, head_sha: pull.sha, start_sha: base };
    const changes_count = files.length > limits.maxFiles ? `${limits.maxFiles}+` : String(files.length);
    return c.json({
      ...pullJson(pull, url),
      subscribed: false,
      changes_count,
      diff_refs: refs,
      head_pipeline: null,
      merge_error: null,
      user: { can_merge: true },
    });
  });
  app.get('/projects/:id/merge_requests/:iid/diffs', async (c) => {
    await paramsOf(world, c, { ...paging, unidiff: flag.optional() });
    const { files } = await diffOf(pullFor(world, c));
    return page(c, files.slice(0, limits.maxFiles), (file) => file);
  });
  fileRoutes(world, app);
  return app;
}

/** What a merge request changes since it left its target branch, renames seen as such. */
async function diffOf(pull: Pull) {
  const folder = pull.repository.git ?? '';
  const base = (await git(folder, ['merge-base', `refs/heads/${pull.base}`, pull.sha]).catch(() => '')).trim() || pull.sha;
  const raw = (await git(folder, ['diff', '--raw', '-z', '-M', base, pull.sha])).split('\0');
  const patches = (await git(folder, ['diff', '-M', base, pull.sha])).split(/^(?=diff --git )/m).filter(Boolean);
  const files: object[] = [];
  for (let at = 0; at < raw.length; ) {
    const [, a_mode = '', b_mode = '', kind = ''] = /^:(\d+) (\d+) \S+ \S+ (\w)/.exec(raw[at] ?? '') ?? [];
    if (kind === '') break;
    const old_path = raw[at + 1];
    const new_path = kind === 'R' ? raw[at + 2] : old_path;
    at += kind === 'R' ? 3 : 2;
    const patch = patches[files.length] ?? '';
    const body = patch.includes('\n@@') ? patch.slice(patch.indexOf('\n@@') + 1) : '';
    const collapsed = body.length > COLLAPSED_BYTES;
    const too_large = body.length > TOO_LARGE_BYTES;
    const how = { new_file: kind === 'A', renamed_file: kind === 'R', deleted_file: kind === 'D', generated_file: false };
    files.push({ diff: collapsed ? '' : body, collapsed: collapsed && !too_large, too_large, new_path, old_path, a_mode, b_mode, ...how });
  }
  return { base, files };
}

function fileRoutes(world: World, app: Hono<Env>): void {
  const path = '/projects/:id/repository/files/:path';
  app.get(`${path}/raw`, async (c) => {
    const { entry, repo, sha } = await fileFor(world, c);
    const bytes = await git(repo.git ?? '', ['cat-file', 'blob', entry.object]);
    return c.body(bytes, 200, {
      'content-type': 'text/plain; charset=utf-8',
      'x-gitlab-blob-id': entry.object,
      'x-gitlab-commit-id': sha,
      'x-gitlab-file-path': encodeURI(c.req.param('path')),
      'x-gitlab-size': String(entry.size),
    });
  });
  app.get(path, async (c) => {
    const { entry, repo, sha, ref } = await fileFor(world, c);
    const content = Buffer.from(await git(repo.git ?? '', ['cat-file', 'blob', entry.object])).toString('base64');
    const file_path = c.req.param('path');
    const about = { file_name: file_path.split('/').at(-1), file_path, size: entry.size, encoding: 'base64', ref, blob_id: entry.object };
    return c.json({ ...about, commit_id: sha, last_commit_id: sha, execute_filemode: entry.mode === '100755', content });
  });
  app.get('/projects/:id/repository/commits/:sha', async (c) => {
    await paramsOf(world, c, { stats: flag.optional() });
    const repo = readerOf(world, c);
    const sha = await resolve(repo.git ?? '', c.req.param('sha'));
    if (!sha) throw notFound('Commit');
    const [name = '', date = '', parents = '', ...message] = (
      await git(repo.git ?? '', ['show', '-s', '--format=%an%n%aI%n%P%n%B', sha])
    ).split('\n');
    const text = message.join('\n').trimEnd();
    const who = {
      author_name: name,
      author_email: `${name}@noreply.gitlab.test`,
      authored_date: date,
      committer_name: name,
      committed_date: date,
    };
    return c.json({
      id: sha,
      short_id: sha.slice(0, 8),
      title: text.split('\n')[0],
      message: text,
      parent_ids: parents.split(' ').filter(Boolean),
      ...who,
    });
  });
}

/** The file of the path at a ref, `HEAD` when none is named. A link is its target's name, a folder or submodule no file. */
async function fileFor(world: World, c: Asked) {
  const { ref = 'HEAD' } = await paramsOf(world, c, { ref: z.string().min(1).optional(), lfs: flag.optional() });
  const repo: Repo = readerOf(world, c);
  const folder = repo.git ?? '';
  const sha = (await resolve(folder, `refs/heads/${ref}`)) ?? (await resolve(folder, ref));
  if (!sha) throw notFound('Commit');
  const path = c.req.param('path') ?? '';
  const entry = path.split('/').includes('..') ? undefined : await entryAt(folder, sha, path);
  if (entry?.kind !== 'blob') throw notFound('File');
  return { repo, sha, entry, ref };
}
