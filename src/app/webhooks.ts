import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Logger } from 'pino';
import { faultPoint } from '../fault-points.ts';
import type { ForgeEvent } from '../site/forge-event.ts';
import type { ForgeId, ForgeKind } from '../site/identity.ts';
import { isAllowed, type Pattern } from '../site/policy.ts';
import type { Inbox } from '../store/store.ts';
import { type BodyLimits, readBody } from './body.ts';
import type { DeliveryOutcome, Metrics } from './metrics.ts';
import { HTTP_PROBLEMS, type HttpProblem, PROBLEM_TYPE, problemBody } from './problems.ts';

/** By lower-case name. A header that came more than once is joined with `, `, and so fits no signature. */
export type DoorHeaders = Readonly<Record<string, string | undefined>>;

/** How one forge's webhooks are checked and understood. Pure: nothing here asks anybody. */
export type Door = {
  readonly kind: ForgeKind;
  readonly forge: ForgeId;
  /** Whether the sender knows our secret. Over the raw bytes, in constant time; never throws. */
  readonly verify: (headers: DoorHeaders, rawBody: Buffer) => boolean;
  /** The delivery's id, the same when it is sent again. */
  readonly delivery: (headers: DoorHeaders, rawBody: Buffer) => string | undefined;
  /** What a sender is told that knows the secret and sends what makes no sense. */
  readonly odd: 'refused' | 'accepted';
  /** Undefined when the event is not wanted, or not of its shape. */
  readonly translate: (headers: DoorHeaders, payload: unknown) => ForgeEvent | undefined;
};

export type WebhookParts = {
  readonly doors: readonly Door[];
  readonly inbox: Pick<Inbox, 'put'>;
  /** Adds the job that handles a stored delivery. */
  readonly enqueue: (delivery: string) => Promise<void>;
  readonly repositories: readonly Pattern[];
  readonly metrics: Pick<Metrics, 'delivered'>;
  readonly log: Logger;
  /** 5 MiB within 10 s when absent. */
  readonly limits?: BodyLimits;
};

export interface Webhooks extends AsyncDisposable {
  /** Answers a request to `/api/<kind>/webhooks`; false, and nothing done, when the path is another. */
  handle(incoming: IncomingMessage, outgoing: ServerResponse): boolean;
}

const LIMITS: BodyLimits = { maxBytes: 5 * 1024 * 1024, withinMs: 10_000 };
/** Forges cut a delivery after 10 s; an answer after that is lost, and the delivery with it. */
const STORE_MS = 5_000;
/** How long what is still coming of a refused body is thrown away, so that the sender gets to read the answer. */
const LINGER_MS = 1_000;
const DELIVERY_ID = /^[A-Za-z0-9._:-]{1,128}$/;

type Answer = { readonly status: 202 } | { readonly problem: HttpProblem };
/** `work`: the stored delivery that is to be worked on, once the sender has its answer. */
type Outcome = { readonly outcome: DeliveryOutcome; readonly answer: Answer | 'gone'; readonly work?: string };
const accepted = (outcome: DeliveryOutcome): Outcome => ({ outcome, answer: { status: 202 } });
const refused = (outcome: DeliveryOutcome, problem: HttpProblem): Outcome => ({ outcome, answer: { problem } });

/** The door for forges. What it answers 202 is stored, or nothing anybody wants. */
export function openWebhooks(parts: WebhookParts): Webhooks {
  const enqueuing = new Set<Promise<void>>();
  const enqueue = (delivery: string): void => {
    const job = parts.enqueue(delivery).catch((error: unknown) => {
      // The delivery is stored: the sweep finds it within seconds, so the sender need not know.
      parts.log.warn({ err: error, delivery }, 'the job of a stored delivery could not be added; the sweep will');
    });
    enqueuing.add(job);
    void job.finally(() => enqueuing.delete(job));
  };
  return {
    handle(incoming, outgoing) {
      // Looked up each time: forges are connected and disconnected while we run.
      const door = parts.doors.find(({ kind }) => pathOf(incoming) === `/api/${kind}/webhooks`);
      if (door === undefined) return false;
      receive(parts, door, incoming)
        .then(({ outcome, answer: reply, work }) => {
          if (reply !== 'gone') answer(outgoing, reply);
          if (work !== undefined) enqueue(work);
          parts.metrics.delivered(door.forge, outcome);
        })
        .catch((error: unknown) => {
          // The bug is ours to read. Unless an answer was sent by then, nothing was promised to the sender, who tries again.
          parts.log.error({ err: error }, 'a webhook could not be answered');
          answer(outgoing, { problem: 'unexpected' });
        });
      return true;
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(enqueuing);
    },
  };
}

const pathOf = (incoming: IncomingMessage): string => (incoming.url ?? '').split('?', 1)[0] ?? '';

async function receive(parts: WebhookParts, door: Door, incoming: IncomingMessage): Promise<Outcome> {
  if (incoming.method !== 'POST') return refused('refused', 'method-not-allowed');
  const body = await readBody(incoming, parts.limits ?? LIMITS);
  if (body === 'gone') return { outcome: 'refused', answer: 'gone' };
  if (typeof body === 'string') return refused('refused', body);
  const headers = doorHeaders(incoming);
  if (!door.verify(headers, body)) return refused('bad-signature', 'signature-invalid');
  const odd = (problem: HttpProblem): Outcome => (door.odd === 'refused' ? refused('bad-request', problem) : accepted('bad-request'));
  const id = door.delivery(headers, body);
  if (id === undefined || !DELIVERY_ID.test(id)) return odd('delivery-missing');
  const payload = parseJson(body);
  if (payload === undefined) return odd('not-json');
  const event = translated(door, { headers, payload: payload.value, log: parts.log });
  if (event === 'unreadable') return odd('payload-unreadable');
  if (event === undefined || (event.type === 'branchPushed' && !event.touchesSettings)) return accepted('unwanted');
  const wanted = allowedPart(event, parts.repositories);
  if (wanted === undefined) {
    parts.log.debug({ delivery: id, event: event.type }, 'ignored: the repository is not on the allow-list');
    return accepted('not-allowed');
  }
  return store(parts, { id, forge: door.forge, event: wanted, digest: createHash('sha256').update(body).digest('hex') });
}

type Incoming = { readonly id: string; readonly forge: ForgeId; readonly event: ForgeEvent; readonly digest: string };

async function store(parts: WebhookParts, delivery: Incoming): Promise<Outcome> {
  const put = await within(STORE_MS, parts.inbox.put(delivery)).catch((error: unknown) => {
    // Whatever kept it from being stored, the one safe answer is that it was not.
    parts.log.error({ err: error, delivery: delivery.id }, 'a delivery could not be stored');
    return 'unavailable' as const;
  });
  if (put === 'unavailable') return refused('unavailable', 'unavailable');
  if (put === 'conflict') parts.log.warn({ delivery: delivery.id }, 'the same delivery id came with another body; the first stands');
  await faultPoint('delivery-stored');
  return put === 'stored' || put === 'again' ? { ...accepted(put), work: delivery.id } : accepted(put);
}

function doorHeaders(incoming: IncomingMessage): DoorHeaders {
  const entries = Object.entries(incoming.headers);
  return Object.fromEntries(entries.map(([name, value]) => [name, Array.isArray(value) ? value.join(', ') : value]));
}

function parseJson(body: Buffer): { readonly value: unknown } | undefined {
  try {
    return { value: JSON.parse(body.toString('utf8')) };
  } catch {
    // Text from outside: not JSON is one of the things it may be.
    return undefined;
  }
}

function translated(
  door: Door,
  { headers, payload, log }: { readonly headers: DoorHeaders; readonly payload: unknown; readonly log: Logger },
): ForgeEvent | undefined | 'unreadable' {
  try {
    return door.translate(headers, payload);
  } catch (error) {
    // A translator answers for every payload; one that throws is a bug, and must not cost the sender more than this delivery.
    log.error({ err: error }, 'a payload could not be translated');
    return 'unreadable';
  }
}

/** What of the event is about repositories that the operator allows; what ends something always counts. */
function allowedPart(event: ForgeEvent, patterns: readonly Pattern[]): ForgeEvent | undefined {
  switch (event.type) {
    case 'pullChanged':
    case 'commentWritten':
    case 'branchPushed':
      return isAllowed(patterns, event.repository.name) ? event : undefined;
    case 'repositoriesAdded': {
      const repositories = event.repositories.filter((repository) => isAllowed(patterns, repository.name));
      return repositories.length > 0 ? { ...event, repositories } : undefined;
    }
    case 'repositoryRenamed':
    case 'repositoriesRemoved':
    case 'accessRemoved':
    case 'accessRestored':
      return event;
    default:
      return event satisfies never;
  }
}

async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
    // A refusal that comes after we gave up is told already.
    work.catch(() => undefined);
  }
}

function answer(outgoing: ServerResponse, reply: Answer): void {
  if (outgoing.headersSent || outgoing.destroyed) return;
  const [status, body] = 'problem' in reply ? [HTTP_PROBLEMS[reply.problem].status, problemBody(reply.problem)] : [reply.status, ''];
  outgoing.statusCode = status;
  if (body !== '') outgoing.setHeader('Content-Type', PROBLEM_TYPE);
  if (status === 405) outgoing.setHeader('Allow', 'POST');
  if (status === 503) outgoing.setHeader('Retry-After', '10');
  if (status === 408) outgoing.setHeader('Connection', 'close');
  outgoing.setHeader('Content-Length', Buffer.byteLength(body));
  outgoing.end(body);
  if (!outgoing.req.complete) linger(outgoing);
}

/** Closing at once would reset the connection, and the answer could be lost with it (RFC 9112, 9.6). */
function linger(outgoing: ServerResponse): void {
  const { req } = outgoing;
  req.resume();
  const timer = setTimeout(() => req.socket.destroy(), LINGER_MS);
  req.once('close', () => clearTimeout(timer));
}
