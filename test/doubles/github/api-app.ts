import { randomBytes } from 'node:crypto';
import { Hono } from 'hono';
import { z } from 'zod';
import { deliveryRoutes } from './api-deliveries.ts';
import { type Asked, bodyOf, type Env, no, numberOf, page, type World } from './door.ts';
import type { Hooks } from './hooks.ts';
import { userJson } from './shapes.ts';
import type { Installation } from './state.ts';

const HOUR_MS = 3_600_000;
const tokenBody = z.strictObject({
  repository_ids: z.array(z.number()).optional(),
  repositories: z.array(z.string()).optional(),
  permissions: z.record(z.string(), z.enum(['read', 'write'])).optional(),
});

/** What an App does as itself: who am I, installations, tokens, the record of webhooks. */
export function appRoutes({ state, at }: World, hooks: Hooks): Hono<Env> {
  const app = new Hono<Env>();
  const asApp = (c: Asked): void => {
    if (!c.get('app')) throw no(401, 'A JSON web token could not be decoded');
  };
  const installation = (c: Asked): Installation => {
    asApp(c);
    const found = state.installations.get(numberOf(c, 'id'));
    if (!found || found.deleted) throw no(404, 'Not Found');
    return found;
  };
  const toJson = (one: Installation) => ({
    id: one.id,
    account: userJson(one.account, at),
    app_id: state.app.id,
    app_slug: state.app.slug,
    target_type: one.account.type,
    repository_selection: 'selected',
    permissions: state.permissions,
    events: state.events,
    suspended_at: one.suspended ? state.now() : null,
  });

  app.get('/app', (c) => {
    asApp(c);
    return c.json({ id: state.app.id, slug: state.app.slug, name: 'Mayfly', permissions: state.permissions, events: state.events });
  });
  app.get('/app/hook/config', (c) => {
    asApp(c);
    return c.json({ url: hooks.url ?? '', content_type: 'json', secret: '********', insecure_ssl: '0' });
  });
  app.get('/app/installations', (c) => {
    asApp(c);
    return page(
      c,
      [...state.installations.values()].filter((one) => !one.deleted),
      toJson,
    );
  });
  app.get('/app/installations/:id', (c) => c.json(toJson(installation(c))));
  app.post('/app/installations/:id/access_tokens', async (c) => {
    const found = installation(c);
    if (c.req.header('content-type')) await bodyOf(c, tokenBody);
    if (found.suspended) throw no(403, 'This installation has been suspended');
    const token = { token: `ghs_${randomBytes(18).toString('hex')}`, installation: found, expiresAt: Date.now() + HOUR_MS };
    state.tokens.set(token.token, token);
    const expires = `${new Date(token.expiresAt).toISOString().slice(0, 19)}Z`;
    return c.json({ token: token.token, expires_at: expires, permissions: state.permissions, repository_selection: 'selected' }, 201);
  });
  deliveryRoutes(app, hooks, asApp);
  return app;
}
