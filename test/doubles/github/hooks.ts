import { createHmac, randomUUID } from 'node:crypto';

/** One attempt to deliver a webhook. A redelivery is another attempt with the same `guid`. */
export type Delivery = {
  /** 19 digits, as GitHub's have been since 2026: more than a JavaScript number holds. */
  readonly id: string;
  readonly guid: string;
  readonly event: string;
  readonly action: string | null;
  readonly installationId: number | null;
  readonly body: string;
  /** May be set back, for what happened days ago. */
  at: number;
  readonly redelivery: boolean;
  /** GitHub itself lost it: nothing was sent, and it is not on the record that the API shows. */
  readonly lost: boolean;
  /** What the receiver answered; 0 when it did not answer within 10 s or could not be reached. */
  statusCode: number;
  durationMs: number;
};

export type Hooks = {
  readonly deliveries: Delivery[];
  send(hook: {
    readonly event: string;
    readonly payload: object;
    readonly guid?: string;
    readonly redelivery?: boolean;
  }): Promise<Delivery>;
  redeliver(delivery: Delivery): Promise<Delivery>;
  /** Where webhooks go; null drops them, as if GitHub had never made them. */
  url: string | null;
  /** What they are signed with; another one once the App was made anew. */
  secret: string;
};

export const signature = (secret: string, body: string | Buffer): string =>
  `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`;

/** Signs and sends webhooks as GitHub does: ten seconds for an answer, never again by itself. */
export function createHooks(options: {
  readonly url: string | null;
  readonly secret: string;
  readonly appId: number;
  nextId(): number;
}): Hooks {
  const text = (payload: object, key: string): string | null => {
    const value: unknown = Object.getOwnPropertyDescriptor(payload, key)?.value;
    return typeof value === 'string' ? value : null;
  };
  const installation = (payload: object): number | null => {
    const value: unknown = Object.getOwnPropertyDescriptor(payload, 'installation')?.value;
    return typeof value === 'object' && value !== null && 'id' in value && typeof value.id === 'number' ? value.id : null;
  };

  const nextId = (): string => String(3_804_004_000_000_000_000n + BigInt(options.nextId()));

  async function post(delivery: Delivery): Promise<void> {
    const started = performance.now();
    if (hooks.url !== null) {
      try {
        const response = await fetch(hooks.url, {
          method: 'POST',
          signal: AbortSignal.timeout(10_000),
          body: delivery.body,
          headers: {
            'content-type': 'application/json',
            'user-agent': 'GitHub-Hookshot/5f2e8c1',
            'x-github-event': delivery.event,
            'x-github-delivery': delivery.guid,
            'x-github-hook-id': '478190',
            'x-github-hook-installation-target-id': String(options.appId),
            'x-github-hook-installation-target-type': 'integration',
            'x-hub-signature-256': signature(hooks.secret, delivery.body),
          },
        });
        await response.arrayBuffer();
        delivery.statusCode = response.status;
      } catch {
        delivery.statusCode = 0; // not reached or too slow: GitHub notes it and goes on
      }
    }
    delivery.durationMs = performance.now() - started;
  }

  const hooks: Hooks = {
    url: options.url,
    secret: options.secret,
    deliveries: [],
    async send({ event, payload, guid = randomUUID(), redelivery = false }) {
      const facts = { event, action: text(payload, 'action'), installationId: installation(payload), redelivery };
      const when = { at: Date.now(), lost: hooks.url === null };
      const delivery: Delivery = { id: nextId(), guid, ...facts, ...when, body: JSON.stringify(payload), statusCode: 0, durationMs: 0 };
      hooks.deliveries.push(delivery);
      await post(delivery);
      return delivery;
    },
    async redeliver(earlier) {
      const when = { at: Date.now(), lost: hooks.url === null, redelivery: true };
      const delivery: Delivery = { ...earlier, id: nextId(), ...when, statusCode: 0, durationMs: 0 };
      hooks.deliveries.push(delivery);
      await post(delivery);
      return delivery;
    },
  };
  return hooks;
}
