import { Hono } from 'hono';
import { z } from 'zod';
import { git, resolve } from '../git/git.ts';
import { type Env, notFound, page, paging, paramsOf, readerOf, type World } from './door.ts';

/** What lies in a folder (https://docs.gitlab.com/api/repositories/#list-all-repository-trees-in-a-project). */
export function treeRoutes(world: World): Hono<Env> {
  const app = new Hono<Env>();
  app.get('/projects/:id/repository/tree', async (c) => {
    const wish = await paramsOf(world, c, { ...paging, path: z.string().optional(), ref: z.string().optional() });
    const folder = readerOf(world, c).git ?? '';
    const ref = wish.ref ?? 'HEAD';
    const sha = (await resolve(folder, `refs/heads/${ref}`)) ?? (await resolve(folder, ref));
    if (!sha) throw notFound('Tree');
    const path = wish.path ?? '';
    const lines = (await git(folder, ['ls-tree', '-z', `${sha}:${path}`]).catch(() => '')).split('\0').filter(Boolean);
    if (lines.length === 0) throw notFound('Tree');
    const entries = lines.map((line) => {
      const [, mode = '', type = '', id = '', name = ''] = /^(\d+) (\w+) (\w+)\t(.*)$/s.exec(line) ?? [];
      return { id, name, type, path: path === '' ? name : `${path}/${name}`, mode };
    });
    return page(c, entries, (entry) => entry);
  });
  return app;
}
