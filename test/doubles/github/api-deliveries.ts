import type { Hono } from 'hono';
import { type Asked, type Env, no, queryOf } from './door.ts';
import type { Delivery, Hooks } from './hooks.ts';

/** GitHub forgets a delivery after three days. */
const REMEMBERED_MS = 3 * 86_400_000;

/** What GitHub says of an attempt: the receiver's own status, or what became of the connection. */
const statusOf = ({ statusCode }: Delivery): string => {
  if (statusCode >= 200 && statusCode < 300) return 'OK';
  return statusCode === 0 ? 'failed to connect' : `Invalid HTTP Response: ${statusCode}`;
};
const outcomeOf = ({ statusCode }: Delivery): string | undefined => {
  if (statusCode >= 200 && statusCode < 400) return 'success';
  return statusCode >= 400 && statusCode < 600 ? 'failure' : undefined;
};

const shortJson = (delivery: Delivery) => ({
  id: delivery.id,
  guid: delivery.guid,
  delivered_at: new Date(delivery.at).toISOString(),
  redelivery: delivery.redelivery,
  duration: Number((delivery.durationMs / 1000).toFixed(2)),
  status: statusOf(delivery),
  status_code: delivery.statusCode,
  event: delivery.event,
  action: delivery.action,
  installation_id: delivery.installationId,
  repository_id: null,
  throttled_at: null,
});

/** Ids are numbers in GitHub's JSON, of which JavaScript would lose the last digits. */
const toJson = (c: Asked, value: unknown): Response =>
  c.body(JSON.stringify(value).replace(/"id":"(\d+)"/g, '"id":$1'), 200, { 'content-type': 'application/json; charset=utf-8' });

/** The record of the app's webhooks: every attempt an entry of its own, the newest first, by an opaque cursor and not by page. */
export function deliveryRoutes(app: Hono<Env>, hooks: Hooks, asApp: (c: Asked) => void): void {
  const remembered = (): Delivery[] =>
    hooks.deliveries
      .filter(({ lost, at }) => !lost && at > Date.now() - REMEMBERED_MS)
      .sort((a, b) => b.at - a.at || (a.id < b.id ? 1 : -1));
  const one = (c: Asked): Delivery => {
    asApp(c);
    const found = remembered().find(({ id }) => id === c.req.param('id'));
    if (!found) throw no(404, 'Not Found');
    return found;
  };
  app.get('/app/hook/deliveries', (c) => {
    asApp(c);
    const query = queryOf(c, ['per_page', 'cursor', 'status']);
    const wanted = remembered().filter((delivery) => query.status === undefined || outcomeOf(delivery) === query.status);
    const from = query.cursor === undefined ? 0 : wanted.findIndex(({ id }) => query.cursor === `v1_${id}`);
    if (from < 0) throw no(400, 'Invalid cursor');
    const size = Math.min(Number(query.per_page ?? 30), 100);
    const next = wanted[from + size];
    if (next) {
      const url = new URL(c.req.url);
      url.searchParams.set('cursor', `v1_${next.id}`);
      c.header('link', `<${url}>; rel="next"`);
    }
    return toJson(c, wanted.slice(from, from + size).map(shortJson));
  });
  app.get('/app/hook/deliveries/:id', (c) => {
    const delivery = one(c);
    return toJson(c, { ...shortJson(delivery), request: { payload: JSON.parse(delivery.body), headers: {} }, response: {} });
  });
  app.post('/app/hook/deliveries/:id/attempts', (c) => {
    void hooks.redeliver(one(c)); // accepted, and sent in its own time
    return c.json({}, 202);
  });
}
