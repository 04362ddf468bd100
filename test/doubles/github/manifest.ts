import { randomBytes } from 'node:crypto';
import { Hono } from 'hono';
import { z } from 'zod';
import { type Asked, type Env, no, type World } from './door.ts';
import type { Hooks } from './hooks.ts';
import { ensureUser, type User } from './state.ts';

/** https://docs.github.com/apps/sharing-github-apps/registering-a-github-app-from-a-manifest#github-app-manifest-parameters */
const manifest = z.strictObject({
  name: z.string().min(1).max(34),
  url: z.url(),
  hook_attributes: z.strictObject({ url: z.url(), active: z.boolean().optional() }),
  redirect_url: z.url(),
  callback_urls: z.array(z.url()).max(10).optional(),
  setup_url: z.url().optional(),
  description: z.string().optional(),
  public: z.boolean().optional(),
  default_events: z
    .array(z.string())
    .refine(
      (events) => !events.some((event) => event === 'installation' || event === 'installation_repositories'),
      'Default events unsupported',
    ),
  default_permissions: z.record(z.string(), z.enum(['read', 'write', 'admin'])),
});
export type Manifest = z.infer<typeof manifest>;

/** What `POST /app-manifests/{code}/conversions` gives out, once within an hour. */
type Made = { readonly manifest: Manifest; readonly owner: User; readonly code: string; madeAt: number; used: boolean };
const HOUR_MS = 3_600_000;

export type AppKeys = { readonly privateKey: string };
export type Registration = ReturnType<typeof createRegistration>;

/** The one App of this GitHub, as a manifest makes it: the page that takes the manifest, and the exchange of the code for its keys. */
export function createRegistration({ state, at }: World, hooks: Hooks, keys: AppKeys) {
  const made: Made[] = [];
  const asked = new Map<string, { readonly manifest: Manifest; readonly owner: User; readonly state: string }>();

  async function ask(c: Asked): Promise<Response> {
    if (!/^application\/x-www-form-urlencoded/.test(c.req.header('content-type') ?? '')) throw no(415, 'Unsupported Media Type');
    const fields = new URLSearchParams(await c.req.text());
    if ([...fields.keys()].join() !== 'manifest') throw no(422, `Unknown fields: ${[...fields.keys()].join()}`);
    const parsed = manifest.safeParse(JSON.parse(fields.get('manifest') ?? 'null'));
    if (!parsed.success) throw no(422, `Invalid GitHub App configuration: ${parsed.error.message}`);
    const organisation = c.req.param('org');
    const owner = ensureUser(state, organisation ?? 'ada', organisation === undefined ? 'User' : 'Organization');
    const key = randomBytes(8).toString('hex');
    asked.set(key, { manifest: parsed.data, owner, state: c.req.query('state') ?? '' });
    return c.html(
      `<!doctype html><link rel="icon" href="data:,"><title>Create GitHub App for ${owner.login}</title><form method="post" action="/settings/apps/manifest">` +
        `<input type="hidden" name="key" value="${key}"><button>Create GitHub App for ${owner.login}</button></form>`,
    );
  }

  const web = new Hono<Env>();
  web.post('/settings/apps/new', ask);
  web.post('/organizations/:org/settings/apps/new', ask);
  web.post('/settings/apps/manifest', async (c) => {
    const wish = asked.get(new URLSearchParams(await c.req.text()).get('key') ?? '');
    if (!wish) throw no(404, 'Not Found');
    const code = randomBytes(20).toString('hex');
    made.push({ manifest: wish.manifest, owner: wish.owner, code, madeAt: Date.now(), used: false });
    const back = new URL(wish.manifest.redirect_url);
    back.searchParams.set('code', code);
    back.searchParams.set('state', wish.state);
    return c.redirect(back.href, 302);
  });

  const api = new Hono<Env>();
  api.post('/app-manifests/:code/conversions', (c) => {
    const one = made.find(({ code, used, madeAt }) => code === c.req.param('code') && !used && madeAt > Date.now() - HOUR_MS);
    if (!one) throw no(404, 'Not Found');
    one.used = true;
    hooks.url = one.manifest.hook_attributes.url;
    hooks.secret = randomBytes(20).toString('hex');
    state.app.deleted = false;
    return c.json(
      {
        id: state.app.id,
        slug: state.app.slug,
        node_id: 'A_1',
        owner: { id: one.owner.id, login: one.owner.login, type: one.owner.type },
        name: one.manifest.name,
        description: one.manifest.description ?? '',
        external_url: one.manifest.url,
        html_url: `${at.web}/apps/${state.app.slug}`,
        created_at: state.now(),
        updated_at: state.now(),
        permissions: one.manifest.default_permissions,
        events: one.manifest.default_events,
        client_id: 'Iv23limayfly0double',
        client_secret: randomBytes(20).toString('hex'),
        webhook_secret: hooks.secret,
        pem: keys.privateKey,
      },
      201,
    );
  });
  return { web, api, made };
}
