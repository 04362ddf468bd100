import { createHmac, randomUUID } from 'node:crypto';
import type { JsonObject } from '../json.ts';

export type Delivery = { readonly event: string; readonly action: string; readonly status: number; readonly ms: number };

export interface Webhooks {
  /** Signs and sends one event; in the order of the calls, one at a time. Never tried again, as GitHub doesn't either. */
  send(event: string, payload: JsonObject): void;
  readonly deliveries: readonly Delivery[];
  /** Resolves when all that was sent has been answered. */
  settled(): Promise<void>;
}

/** GitHub gives a receiver ten seconds. */
const ANSWER_MS = 10_000;

async function post(url: string, event: string, request: { readonly body: string; readonly secret: string }): Promise<number> {
  const headers = {
    'content-type': 'application/json',
    'user-agent': 'GitHub-Hookshot/emulated',
    'x-github-event': event,
    'x-github-delivery': randomUUID(),
    'x-github-hook-installation-target-type': 'integration',
    'x-hub-signature-256': `sha256=${createHmac('sha256', request.secret).update(request.body).digest('hex')}`,
  };
  try {
    const response = await fetch(url, { method: 'POST', headers, body: request.body, signal: AbortSignal.timeout(ANSWER_MS) });
    return response.status;
  } catch {
    return 0; // nobody listens: shown in the story as such, and Mayfly's reconciling is there for it
  }
}

export function createWebhooks(receiver: { readonly url: string; readonly secret: string }): Webhooks {
  const deliveries: Delivery[] = [];
  let line = Promise.resolve();
  return {
    send(event, payload) {
      const body = JSON.stringify(payload);
      line = line.then(async () => {
        const started = Date.now();
        const status = await post(receiver.url, event, { body, secret: receiver.secret });
        deliveries.push({ event, action: String(payload.action ?? ''), status, ms: Date.now() - started });
      });
    },
    deliveries,
    settled: () => line,
  };
}
