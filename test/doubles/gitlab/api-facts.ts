import { Hono } from 'hono';
import { z } from 'zod';
import { resolve } from '../git/git.ts';
import {
  type Asked,
  count,
  type Env,
  flag,
  keyset,
  missing,
  notFound,
  page,
  paging,
  paramsOf,
  readerOf,
  repoFor,
  sees,
  type World,
} from './door.ts';
import { memberJson, projectJson, selfJson, userJson } from './shapes.ts';
import { type Group, levelOf, type Repo, type User } from './state.ts';

const many = {
  ...paging,
  order_by: z.enum(['id', 'name', 'path', 'created_at', 'updated_at', 'last_activity_at']).optional(),
  sort: z.enum(['asc', 'desc']).optional(),
  search: z.string().optional(),
  simple: flag.optional(),
  archived: flag.optional(),
  visibility: z.enum(['public', 'internal', 'private']).optional(),
  min_access_level: count.optional(),
};

/** Who we are, and who is what: tokens, users, projects, groups, members. */
export function factRoutes(world: World): Hono<Env> {
  const { state, url } = world;
  const app = new Hono<Env>();
  const me = (c: Asked): User => c.get('token').user;

  app.get('/user', async (c) => {
    await paramsOf(world, c, {});
    return c.json(selfJson(me(c), url));
  });
  app.get('/users/:id', async (c) => {
    await paramsOf(world, c, {});
    const user = [...state.users.values()].find(({ id }) => String(id) === c.req.param('id'));
    if (!user) throw notFound('User');
    return c.json(userJson(user, url));
  });
  app.get('/personal_access_tokens/self', async (c) => {
    await paramsOf(world, c, {});
    const { id, name, revoked, scopes, user, expiresAt } = c.get('token');
    const when = { created_at: '2024-01-02T03:04:05.006Z', last_used_at: state.now(), expires_at: expiresAt };
    return c.json({ id, name, revoked, description: null, scopes, user_id: user.id, active: true, ...when });
  });
  const about = { version: world.version, revision: '0a1b2c3d4e5' };
  app.get('/version', (c) => c.json({ ...about, kas: { enabled: false, externalUrl: null, version: null }, enterprise: false }));
  app.get('/metadata', (c) => c.json({ ...about, kas: { enabled: false, externalUrl: null, version: null }, enterprise: false }));
  projectRoutes(world, app);
  groupRoutes(world, app);
  app.get('/projects/:id/members/all/:user', async (c) => {
    await paramsOf(world, c, {});
    const repo = repoFor(world, c);
    const user = [...state.users.values()].find(({ id }) => String(id) === c.req.param('user'));
    if (!user || levelOf(repo, user.login) === undefined) throw missing();
    return c.json(memberJson(repo, user, url));
  });
  return app;
}

/** What is left of the projects after the filters that a listing may have. */
function filtered(
  projects: readonly Repo[],
  viewer: User,
  wish: { readonly search?: string | undefined; readonly visibility?: string | undefined; readonly min_access_level?: number | undefined },
): Repo[] {
  return projects.filter(
    (repo) =>
      sees(repo, viewer) &&
      repo.name.toLowerCase().includes((wish.search ?? '').toLowerCase()) &&
      (wish.visibility === undefined || wish.visibility === (repo.private ? 'private' : 'public')) &&
      (wish.min_access_level === undefined || (levelOf(repo, viewer.login) ?? 0) >= wish.min_access_level),
  );
}

/** By the newest first, unless asked otherwise. */
const inOrder = (projects: readonly Repo[], wish: { readonly sort?: string | undefined; readonly order_by?: string | undefined }): Repo[] =>
  [...projects].sort((a, b) => {
    const step = wish.order_by === 'name' || wish.order_by === 'path' ? a.name.localeCompare(b.name) : a.id - b.id;
    return wish.sort === 'asc' ? step : -step;
  });

function projectRoutes(world: World, app: Hono<Env>): void {
  const { state, url } = world;
  app.get('/projects', async (c) => {
    const wish = await paramsOf(world, c, {
      ...many,
      membership: flag.optional(),
      owned: flag.optional(),
      active: flag.optional(),
      search_namespaces: flag.optional(),
      pagination: z.enum(['keyset', 'legacy']).optional(),
      id_after: count.optional(),
      id_before: count.optional(),
    });
    const { user } = c.get('token');
    const all = filtered([...state.repositories.values()], user, wish)
      .filter((repo) => !wish.membership || levelOf(repo, user.login) !== undefined)
      .filter((repo) => !wish.owned || levelOf(repo, user.login) === 50);
    const toJson = (repo: Repo) => projectJson(repo, user, url);
    return wish.pagination === 'keyset' ? keyset(c, all, toJson) : page(c, inOrder(all, wish), toJson);
  });
  app.get('/projects/:id', async (c) => {
    await paramsOf(world, c, { license: flag.optional(), statistics: flag.optional(), with_custom_attributes: flag.optional() });
    return c.json(projectJson(repoFor(world, c), c.get('token').user, url));
  });
  app.get('/projects/:id/repository/branches/:branch', async (c) => {
    await paramsOf(world, c, {});
    const repo = readerOf(world, c);
    const name = c.req.param('branch');
    const sha = await resolve(repo.git ?? '', `refs/heads/${name}`);
    if (!sha) throw notFound('Branch');
    return c.json({
      name,
      commit: { id: sha },
      merged: false,
      protected: name === repo.defaultBranch,
      default: name === repo.defaultBranch,
    });
  });
}

function groupRoutes(world: World, app: Hono<Env>): void {
  const { state, url } = world;
  const within = (group: Group, top: Group): boolean => group.id === top.id || (group.parent !== null && within(group.parent, top));
  const groupFor = (c: Asked): Group => {
    const wish = c.req.param('id') ?? '';
    const found = [...state.groups.values()].find(({ id, login }) => String(id) === wish || login.toLowerCase() === wish.toLowerCase());
    const { user } = c.get('token');
    // A group is seen by its members, and by those of a project in it.
    const seen = found && [...state.repositories.values()].some((repo) => within(repo.owner, found) && sees(repo, user));
    if (!found || !(seen || found.roles.has(user.login))) throw notFound('Group');
    return found;
  };
  app.get('/groups/:id', async (c) => {
    await paramsOf(world, c, { with_projects: flag.optional(), with_custom_attributes: flag.optional() });
    const group = groupFor(c);
    const path = group.login.split('/').at(-1);
    const names = { name: path, path, full_name: group.login.split('/').join(' / '), full_path: group.login };
    return c.json({
      id: group.id,
      ...names,
      web_url: `${url}/groups/${group.login}`,
      visibility: 'private',
      description: '',
      parent_id: group.parent?.id ?? null,
    });
  });
  app.get('/groups/:id/projects', async (c) => {
    const wish = await paramsOf(world, c, {
      ...many,
      include_subgroups: flag.optional(),
      with_shared: flag.optional(),
      owned: flag.optional(),
    });
    const group = groupFor(c);
    const { user } = c.get('token');
    const inside = [...state.repositories.values()].filter(({ owner }) =>
      wish.include_subgroups ? within(owner, group) : owner === group,
    );
    return page(c, inOrder(filtered(inside, user, wish), wish), (repo) => projectJson(repo, user, url));
  });
}
