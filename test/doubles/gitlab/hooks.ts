import { createHmac, randomUUID } from 'node:crypto';
import { isDisabled } from './shapes.ts';
import type { Hook, Repo } from './state.ts';

/** Kinds of events, by the name of their switch on a hook. */
export type Trigger =
  | 'push_events'
  | 'tag_push_events'
  | 'merge_requests_events'
  | 'note_events'
  | 'confidential_note_events'
  | 'issues_events'
  | 'pipeline_events'
  | 'emoji_events';

/** `X-Gitlab-Event`: the trigger's name titleized (`WebHookService.hook_to_event`), and so `Confidential Note Hook` for internal notes. */
const EVENTS: Readonly<Record<Trigger, readonly [trigger: string, header: string]>> = {
  push_events: ['push_hooks', 'Push Hook'],
  tag_push_events: ['tag_push_hooks', 'Tag Push Hook'],
  merge_requests_events: ['merge_request_hooks', 'Merge Request Hook'],
  note_events: ['note_hooks', 'Note Hook'],
  confidential_note_events: ['confidential_note_hooks', 'Confidential Note Hook'],
  issues_events: ['issue_hooks', 'Issue Hook'],
  pipeline_events: ['pipeline_hooks', 'Pipeline Hook'],
  emoji_events: ['emoji_hooks', 'Emoji Hook'],
};

/** One attempt to deliver a webhook. A resent one is another attempt with the same `guid`. */
export type Delivery = {
  readonly id: string;
  /** `Idempotency-Key` and `webhook-id`. */
  readonly guid: string;
  readonly hook: Hook;
  /** `X-Gitlab-Event`. */
  readonly event: string;
  /** As the record of events names it: `merge_request_hooks`. */
  readonly trigger: string;
  readonly action: string | null;
  readonly url: string;
  readonly body: string;
  /** May be set back, for what happened days ago. */
  at: number;
  readonly redelivery: boolean;
  /** Nothing was sent, and nothing is on the record that the API shows: GitLab lost it, or the hook was disabled. */
  readonly lost: false | 'by GitLab' | 'hook disabled';
  /** As sent, the token and all. */
  headers: Readonly<Record<string, string>>;
  responseHeaders: Readonly<Record<string, string>>;
  responseBody: string;
  /** What the receiver answered; 0 when it did not answer within 10 s or could not be reached. */
  statusCode: number;
  durationMs: number;
};

export type Happening = { readonly trigger: Trigger; readonly payload: object; readonly branch?: string };
export type Hooks = {
  readonly deliveries: Delivery[];
  /** Tells every hook of the project that wants to hear of it; resolves once all have answered or were given up on. */
  send(repo: Repo, happening: Happening): Promise<Delivery[]>;
  /** Tells one hook, whatever it wants to hear of and though it be disabled: a test of it. */
  sendTo(hook: Hook, happening: Happening): Promise<Delivery>;
  redeliver(delivery: Delivery): Promise<Delivery>;
  /** What GitLab loses from now on. */
  lost: 'nothing' | 'what planted hooks want' | 'everything';
  /** No address can be reached from now on. */
  unplugged: boolean;
  /** What is told in its own time, after the request that caused it was answered. */
  later(telling: () => Promise<unknown>): void;
  /** Ends what is on its way; resolves once nothing is. */
  stop(): Promise<void>;
};

/** `v1,…` over id, time and bytes (https://www.standardwebhooks.com); the key is what stands behind `whsec_`, in base64. */
export const signature = (
  signingToken: string,
  signed: { readonly id: string; readonly timestamp: string; readonly body: string },
): string => {
  const key = Buffer.from(signingToken.replace(/^whsec_/, ''), 'base64');
  return `v1,${createHmac('sha256', key).update(`${signed.id}.${signed.timestamp}.${signed.body}`).digest('base64')}`;
};

const text = (payload: object, key: string): string | null => {
  const attributes: unknown = Object.getOwnPropertyDescriptor(payload, 'object_attributes')?.value;
  const value: unknown =
    typeof attributes === 'object' && attributes !== null ? Object.getOwnPropertyDescriptor(attributes, key)?.value : null;
  return typeof value === 'string' ? value : null;
};

/** Whether a push to the branch is for the hook: `*` stands for anything, as in GitLab's wildcard filters. */
function passes(hook: Hook, branch: string | undefined): boolean {
  if (branch === undefined || hook.branchFilter === null || hook.branchFilter === '') return true;
  if (hook.branchFilterStrategy === 'all_branches') return true;
  const pattern = hook.branchFilterStrategy === 'regex' ? hook.branchFilter : `^${hook.branchFilter.split('*').map(escaped).join('.*')}$`;
  return new RegExp(pattern).test(branch);
}
const escaped = (part: string): string => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&');

/** Four failures in a row put a hook to sleep for 1, 2, 4 … minutes, a day at most; the fortieth for good (`WebHooks::AutoDisabling`). */
function note(hook: Hook, outcome: 'ok' | 'error'): void {
  if (outcome === 'ok') {
    hook.failures = 0;
    hook.disabledUntil = null;
    return;
  }
  const before = hook.failures;
  hook.failures = Math.min(before + 1, 40);
  if (hook.failures > 3) hook.disabledUntil = Date.now() + Math.min(60_000 * 2 ** Math.max(before - 3, 0), 86_400_000);
}

/** Sends webhooks as GitLab does: ten seconds for an answer, never again by itself. */
export function createHooks(options: { readonly instance: string; nextId(): number; failed(why: unknown): void }): Hooks {
  const stopping = new AbortController();
  const pending = new Set<Promise<unknown>>();

  function headersOf(delivery: Delivery): Record<string, string> {
    const { hook } = delivery;
    const timestamp = String(Math.floor(Date.now() / 1000));
    const signed = { id: delivery.guid, timestamp, body: delivery.body };
    return {
      'Content-Type': 'application/json',
      'User-Agent': 'GitLab/18.5.1',
      'Idempotency-Key': delivery.guid,
      'X-Gitlab-Event': delivery.event,
      'X-Gitlab-Webhook-UUID': hook.uuid,
      'X-Gitlab-Instance': options.instance,
      'X-Gitlab-Event-UUID': randomUUID(),
      ...(hook.token === null ? {} : { 'X-Gitlab-Token': hook.token }),
      ...(hook.signingToken === null
        ? {}
        : { 'webhook-id': delivery.guid, 'webhook-timestamp': timestamp, 'webhook-signature': signature(hook.signingToken, signed) }),
    };
  }

  async function post(delivery: Delivery): Promise<void> {
    if (delivery.lost) return;
    const started = performance.now();
    delivery.headers = headersOf(delivery);
    try {
      if (hooks.unplugged) throw new Error('unplugged');
      const signal = AbortSignal.any([AbortSignal.timeout(10_000), stopping.signal]);
      const response = await fetch(delivery.url, {
        method: 'POST',
        redirect: 'manual',
        signal,
        body: delivery.body,
        headers: delivery.headers,
      });
      delivery.responseBody = (await response.text()).slice(0, 8_192);
      delivery.responseHeaders = Object.fromEntries(response.headers);
      delivery.statusCode = response.status;
    } catch {
      delivery.statusCode = 0; // not reached or too slow: GitLab notes it and goes on
    }
    delivery.durationMs = performance.now() - started;
    if (!stopping.signal.aborted) note(delivery.hook, delivery.statusCode >= 200 && delivery.statusCode < 400 ? 'ok' : 'error');
  }

  const facts = (trigger: Trigger, payload: object) => {
    const [name, event] = EVENTS[trigger];
    return { event, trigger: name, action: text(payload, 'action'), body: JSON.stringify(payload), redelivery: false };
  };

  async function attempt(
    hook: Hook,
    what: Pick<Delivery, 'guid' | 'event' | 'trigger' | 'action' | 'body' | 'redelivery'>,
    how: 'if it may' | 'forced' = 'if it may',
  ): Promise<Delivery> {
    const isLost = hooks.lost === 'everything' || (hooks.lost === 'what planted hooks want' && hook.planted);
    const lost = isLost ? 'by GitLab' : isDisabled(hook) && how !== 'forced' ? 'hook disabled' : false;
    const blank = { headers: {}, responseHeaders: {}, responseBody: '', statusCode: 0, durationMs: 0 };
    const delivery: Delivery = { id: String(options.nextId()), hook, url: hook.url, at: Date.now(), lost, ...what, ...blank };
    hooks.deliveries.push(delivery);
    await post(delivery);
    return delivery;
  }

  const hooks: Hooks = {
    lost: 'nothing',
    unplugged: false,
    deliveries: [],
    async send(repo, { trigger, payload, branch }) {
      const wanted = [...repo.hooks.values()].filter((hook) => hook.events.get(trigger) === true && passes(hook, branch));
      return Promise.all(wanted.map((hook) => attempt(hook, { ...facts(trigger, payload), guid: randomUUID() })));
    },
    sendTo: (hook, { trigger, payload }) => attempt(hook, { ...facts(trigger, payload), guid: randomUUID() }, 'forced'),
    redeliver: ({ hook, guid, event, trigger, action, body }) => attempt(hook, { guid, event, trigger, action, body, redelivery: true }),
    later(telling) {
      const told = telling().catch((why: unknown) => {
        if (!stopping.signal.aborted) options.failed(why);
      });
      pending.add(told);
      void told.finally(() => pending.delete(told));
    },
    async stop() {
      stopping.abort();
      await Promise.all(pending);
    },
  };
  return hooks;
}
