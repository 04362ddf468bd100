import { setTimeout as pause } from 'node:timers/promises';
import { createRequesterFn, type FormattedResponse } from '@gitbeaker/requester-utils';
import { z } from 'zod';
import { Fault } from '../../site/problem.ts';
import { STRANGE } from './answer.ts';
import type { RequestKind } from './gitlab-limit.ts';
import { type Limits, limited } from './limits.ts';

/** The answer was no. */
export class Refused extends Error {
  readonly status: number;
  /** GitLab's own first words; null when the answer is not in its shape: a proxy's, or another server's. */
  readonly reason: string | null;
  constructor(status: number, reason: string | null) {
    super(`GitLab answered ${status}${reason ? `: ${reason}` : ''}`);
    this.name = 'Refused';
    this.status = status;
    this.reason = reason;
  }
}

export type Asking = {
  /** Whom GitLab counts. */
  readonly access: string;
  readonly limits: Limits<RequestKind>;
  readonly timeoutMs: number;
};

/** GitLab's advice for a limit that does not say how long. */
const PAUSE_MS = 60_000;
const REPEAT_AFTER_MS = 500;
/** A page of a hundred comments of the longest kind is 100 MB; ours and what people write are far shorter. */
const MAX_BODY = 64 * 1024 * 1024;

/** What gitbeaker has made of a call: where to, and with what. */
const wish = z.object({
  method: z.string(),
  prefixUrl: z.string(),
  searchParams: z.string().optional(),
  headers: z.record(z.string(), z.string()),
  body: z.string().optional(),
  asStream: z.boolean().catch(false),
});
type Wish = z.infer<typeof wish>;

/**
 * How gitbeaker's calls go out, in place of its own way, which repeats writes, follows redirects with the token and waits through limits
 * with the job in its hands. Throws `Refused` for an answer that says no, and otherwise Faults only.
 */
export function createRequester(asking: Asking): ReturnType<typeof createRequesterFn> {
  return createRequesterFn(
    (_, options) => Promise.resolve(options),
    async (endpoint, raw) => {
      const wanted = wish.parse(raw);
      const url = new URL(endpoint, wanted.prefixUrl.replace(/\/*$/, '/'));
      url.search = wanted.searchParams ?? '';
      if (wanted.method !== 'GET') return once(asking, url, wanted);
      await asking.limits.take(asking.access, 'read');
      try {
        return await once(asking, url, wanted);
      } catch (error) {
        if (!(error instanceof Fault) || error.code === 'forge-limited') throw error;
        // A read that failed may be repeated at once, and one replica not knowing the token is not the whole of GitLab. A write may have
        // been done although its answer never came.
        await pause(REPEAT_AFTER_MS);
        return once(asking, url, wanted);
      }
    },
  );
}

async function once(asking: Asking, url: URL, wanted: Wish): Promise<FormattedResponse> {
  asking.limits.checkPause(asking.access);
  const response = await answerOf(asking, url, wanted);
  const { status } = response;
  if (status >= 200 && status < 300) return format(response, { url, wanted });
  if (status >= 400 && status < 500) throw refusalOf(asking, response, new Refused(status, await reasonOf(response)));
  await response.body?.cancel();
  const redirect = status >= 300 && status < 400 ? ', a redirect, which is not followed' : '';
  throw new Fault('forge-unreachable', { details: { cause: `GitLab answered ${status}${redirect}` } });
}

/** What an answer that says no is thrown as. */
function refusalOf({ access, limits }: Asking, { status, headers }: Response, refused: Refused): Error {
  if (status === 429) {
    const until = untilOf(headers);
    limits.pause(access, until);
    return limited(until, refused);
  }
  // No verdict on what was asked. A restart, a proxy that guards the way and a token that was revoked look alike from here: one that is
  // stored is judged with patience in `setup/standing.ts`; with one from the environment sites stand until their time.
  const isNoVerdict = status === 401 || (status === 404 && refused.reason === null);
  return isNoVerdict ? new Fault('forge-unreachable', { details: { cause: refused.message }, cause: refused }) : refused;
}

/** A redirect is handed back: followed, it would take the token along to another server. */
async function answerOf({ timeoutMs }: Asking, url: URL, { method, headers, body }: Wish): Promise<Response> {
  const sent = method === 'DELETE' || body === undefined ? {} : { body };
  try {
    return await fetch(url, {
      method,
      headers: { ...headers, 'user-agent': 'mayfly' },
      ...sent,
      redirect: 'manual',
      signal: AbortSignal.timeout(timeoutMs),
    });
  } catch (error) {
    throw unanswered(error);
  }
}

const unanswered = (cause: unknown): Fault => new Fault('forge-unreachable', { details: { cause: 'no answer from GitLab' }, cause });

async function format(response: Response, { url, wanted }: { readonly url: URL; readonly wanted: Wish }): Promise<FormattedResponse> {
  const headers = Object.fromEntries(response.headers);
  if (wanted.asStream) return { body: response.body, headers, status: response.status };
  const text = (await readUpTo(response.body, MAX_BODY)).toString('utf8');
  return { body: text === '' ? null : parse(text), headers: withNext(headers, url), status: response.status };
}

/** Lists end where there is no link to a next page. Proxies that drop the link leave the number of that page. */
function withNext(headers: Record<string, string>, url: URL): Record<string, string> {
  const next = headers['x-next-page'];
  if (headers.link !== undefined || !next) return headers;
  const at = new URL(url);
  at.searchParams.set('page', next);
  return { ...headers, link: `<${at.href}>; rel="next"` };
}

function parse(text: string): Record<string, unknown> | Record<string, unknown>[] {
  try {
    const parsed: unknown = JSON.parse(text);
    return z.union([z.array(z.record(z.string(), z.unknown())), z.record(z.string(), z.unknown())]).parse(parsed);
  } catch (cause) {
    // The page of a proxy, or half an answer.
    throw new Fault('forge-unreachable', { details: STRANGE, cause });
  }
}

/**
 * The bytes of an answer.
 * @throws Fault `forge-refused` when there are more than `max`, `forge-unreachable` when they stop coming
 */
export async function readUpTo(body: ReadableStream<Uint8Array> | null, max: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const chunk of body ?? []) {
      size += chunk.length;
      if (size > max) break;
      chunks.push(chunk);
    }
  } catch (error) {
    throw unanswered(error);
  }
  if (size > max) throw new Fault('forge-refused', { details: { cause: `an answer of more than ${max} bytes` } });
  return Buffer.concat(chunks);
}

/** The first words of an answer in GitLab's shape, `{"message": …}` or `{"error": …}`; null of any other, like a proxy's page. */
async function reasonOf(response: Response): Promise<string | null> {
  const text = (await readUpTo(response.body, MAX_BODY)).toString('utf8');
  if (!/^application\/(?:[\w.-]+\+)?json\b/i.test(response.headers.get('content-type') ?? '')) return null;
  try {
    const { error, message } = z.object({ error: z.unknown().optional(), message: z.unknown().optional() }).parse(JSON.parse(text));
    const said = error ?? message ?? null;
    return said === null ? null : cut(typeof said === 'string' ? said : JSON.stringify(said));
  } catch {
    return null;
  }
}

const cut = (text: string): string => text.split('\n', 1)[0]?.slice(0, 200) ?? '';

function untilOf(headers: Headers): number {
  const number = (name: string) => Number.parseInt(headers.get(name) ?? '', 10);
  if (number('retry-after') >= 0) return Date.now() + number('retry-after') * 1000;
  const reset = number('ratelimit-reset') * 1000;
  return reset > 0 ? Math.max(reset, Date.now() + 1000) : Date.now() + PAUSE_MS;
}
