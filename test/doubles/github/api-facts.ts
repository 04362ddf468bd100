import { Hono } from 'hono';
import { entryAt, git, resolve } from '../git/git.ts';
import { type Asked, allowed, type Env, no, numberOf, page, queryOf, repoFor, type World } from './door.ts';
import { permissionJson, pullJson, repoJson, userJson } from './shapes.ts';
import type { Repo } from './state.ts';

/** What is only read: repositories, pulls, files, commits, people. */
export function factRoutes(world: World): Hono<Env> {
  const { state, at } = world;
  const app = new Hono<Env>();

  app.get('/users/:login', (c) => {
    const user = state.users.get(c.req.param('login'));
    if (!user) throw no(404, 'Not Found');
    return c.json(userJson(user, at));
  });
  app.get('/repositories/:id', (c) => {
    const repo = state.repositories.get(numberOf(c, 'id'));
    if (!repo) throw no(404, 'Not Found');
    return c.json(repoJson(allowed(world, c, { repo, permission: 'metadata', level: 'read' }), at));
  });
  app.get('/installation/repositories', (c) => {
    const token = c.get('token');
    if (!token) throw no(401, 'Requires authentication');
    const repos = [...state.repositories.values()].filter((r) => r.installed && !r.deleted && r.owner.id === token.installation.account.id);
    return page(
      c,
      repos,
      (repo) => repoJson(repo, at),
      (repositories) => ({ total_count: repos.length, repository_selection: 'selected', repositories }),
    );
  });
  app.get('/repos/:owner/:repo', (c) => c.json(repoJson(repoFor(world, c, 'metadata'), at)));
  app.get('/repos/:owner/:repo/collaborators/:login/permission', (c) => {
    const repo = repoFor(world, c, 'metadata');
    const user = state.users.get(c.req.param('login'));
    if (!user) throw no(404, 'Not Found');
    return c.json(permissionJson(repo, user, at));
  });
  app.get('/repos/:owner/:repo/pulls', (c) => {
    const repo = repoFor(world, c, 'pull_requests');
    const query = queryOf(c, ['state', 'head', 'base', 'sort', 'direction', 'per_page', 'page']);
    const wanted = query.state ?? 'open';
    const pulls = [...repo.pulls.values()].filter((pull) => wanted === 'all' || pull.state === wanted);
    // Newest first unless asked otherwise, so that a pull opened while pages are read pushes others to the next page.
    const ascending = query.direction === 'asc';
    pulls.sort((a, b) => (ascending ? a.number - b.number : b.number - a.number));
    return page(c, pulls, (pull) => pullJson(pull, at, 'list'));
  });
  app.get('/repos/:owner/:repo/pulls/:number', (c) => {
    const pull = repoFor(world, c, 'pull_requests').pulls.get(numberOf(c, 'number'));
    if (!pull) throw no(404, 'Not Found');
    return c.json(pullJson(pull, at, 'single'));
  });
  app.get('/repos/:owner/:repo/pulls/:number/files', async (c) => {
    const repo = repoFor(world, c, 'pull_requests');
    const pull = repo.pulls.get(numberOf(c, 'number'));
    if (!pull) throw no(404, 'Not Found');
    queryOf(c, ['per_page', 'page']);
    const names = await git(repo.git ?? '', ['diff', '--name-only', '--no-renames', '-z', `refs/heads/${pull.base}...${pull.sha}`]);
    const files = names.split('\0').filter((name) => name !== '');
    return page(c, files, (filename) => ({ sha: pull.sha, filename, status: 'modified', additions: 1, deletions: 0, changes: 1 }));
  });
  app.get('/repos/:owner/:repo/contents/:path{.+}', async (c) => {
    const repo = repoFor(world, c, 'contents');
    queryOf(c, ['ref']);
    return c.json(await contents(repo, { path: c.req.param('path'), ref: c.req.query('ref') ?? repo.defaultBranch }));
  });
  app.get('/repos/:owner/:repo/commits/:ref{.+}', async (c) => {
    const repo = repoFor(world, c, 'contents');
    return commit(c, repo);
  });
  return app;
}

async function commit(c: Asked, repo: Repo): Promise<Response> {
  const ref = c.req.param('ref') ?? '';
  const sha = await resolve(repo.git ?? '', ref);
  if (!sha) throw no(422, `No commit found for SHA: ${ref}`);
  const [name = '', date = '', tree = '', parents = '', ...message] = (
    await git(repo.git ?? '', ['show', '-s', '--format=%an%n%aI%n%T%n%P%n%B', sha])
  ).split('\n');
  const who = { name, email: `${name}@users.noreply.github.com`, date };
  return c.json({
    sha,
    commit: { message: message.join('\n').trimEnd(), author: who, committer: who, tree: { sha: tree } },
    parents: parents
      .split(' ')
      .filter(Boolean)
      .map((parent) => ({ sha: parent })),
    author: null,
    committer: null,
  });
}

/** Files with their content up to 1 MB, folders as lists; links are followed when they lead to a file of the repository. */
async function contents(repo: Repo, wish: { readonly path: string; readonly ref: string }): Promise<object> {
  const folder = repo.git ?? '';
  const sha = (await resolve(folder, `refs/heads/${wish.ref}`)) ?? (await resolve(folder, wish.ref));
  if (!sha) throw no(404, `No commit found for the ref ${wish.ref}`);
  const entry = await entryAt(folder, sha, wish.path);
  if (!entry) throw no(404, 'Not Found');
  const shared = { name: wish.path.split('/').at(-1), path: wish.path, sha: entry.object, size: entry.size };
  if (entry.kind === 'commit') return { ...shared, type: 'submodule', submodule_git_url: null };
  if (entry.kind === 'tree') {
    const names = (await git(folder, ['ls-tree', '-z', '--name-only', `${sha}:${wish.path}`])).split('\0').filter(Boolean);
    return names.map((name) => ({ type: 'file', name, path: `${wish.path}/${name}` }));
  }
  if (entry.mode === '120000') {
    const target = await git(folder, ['cat-file', 'blob', entry.object]);
    const inside = await entryAt(folder, sha, target).catch(() => undefined); // outside the repository: git refuses
    if (inside?.kind !== 'blob' || inside.mode === '120000') return { ...shared, type: 'symlink', target };
    return contents(repo, { ...wish, path: target });
  }
  const encoded = async () => Buffer.from(await git(folder, ['cat-file', 'blob', entry.object])).toString('base64');
  const content =
    entry.size > 1_000_000
      ? { encoding: 'none', content: '' }
      : { encoding: 'base64', content: (await encoded()).replace(/.{60}/g, '$&\n') };
  return { ...shared, type: 'file', ...content };
}
