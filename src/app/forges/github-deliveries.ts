import { z } from 'zod';
import type { Deliveries, FailedDelivery } from '../../site/ports.ts';
import { strict } from './answer.ts';
import { type Caller, isMissing } from './github-call.ts';

/**
 * One attempt (https://docs.github.com/rest/apps/webhooks). Its id has 19 digits since 2026, more than a number holds: our client reads
 * such a one as a bigint. `status_code` is 0 where nobody answered.
 */
const attempt = z.object({
  id: z.union([z.bigint(), z.number().int()]).transform(String),
  guid: z.string(),
  delivered_at: z.coerce.date(),
  status_code: z.number(),
  event: z.string(),
  action: z.string().nullish(),
});
type Attempt = z.infer<typeof attempt>;

/** 20,000 attempts: what a busy hour may bring. */
const MAX_PAGES = 200;

const succeeded = ({ status_code: code }: Attempt): boolean => code >= 200 && code < 300;
/** What a list of pulls does not show: without the webhook nobody hears of it. */
const isOnlyTold = ({ event }: Attempt): boolean => event === 'issue_comment';
const asFailed = ({ id, guid, delivered_at: at, event, action }: Attempt): FailedDelivery => ({
  id: guid,
  attempt: id,
  event: action ? `${event}.${action}` : event,
  at,
});

/** GitHub remembers for three days which webhooks it sent, and sends none again by itself. */
export function githubDeliveries(caller: Caller): Deliveries {
  return {
    async failed(since) {
      const { attempts, cut } = await attemptsSince(caller, since);
      const delivered = new Set(attempts.filter(succeeded).map(({ guid }) => guid));
      const failed = new Map<string, Attempt>();
      // Newest first, so the newest attempt of each stays.
      for (const one of attempts) if (!delivered.has(one.guid) && !failed.has(one.guid)) failed.set(one.guid, one);
      const oldestFirst = [...failed.values()].reverse();
      const inOrder = [...oldestFirst.filter(isOnlyTold), ...oldestFirst.filter((one) => !isOnlyTold(one))];
      return { failed: inOrder.map(asFailed), until: attempts[0]?.delivered_at ?? null, cut };
    },
    async redeliver(delivery) {
      await caller.asApp((octokit) => octokit.request('POST /app/hook/deliveries/{attempt}/attempts', { attempt: delivery.attempt }));
    },
  };
}

/** Newest first. */
async function attemptsSince(caller: Caller, since: Date): Promise<{ readonly attempts: readonly Attempt[]; readonly cut: boolean }> {
  const attempts: Attempt[] = [];
  let cursor: string | undefined;
  for (let page = 0; page < MAX_PAGES; page += 1) {
    const answer = await caller
      .asApp((octokit) => octokit.rest.apps.listWebhookDeliveries({ per_page: 100, ...(cursor && { cursor }) }))
      .catch(orNone);
    const list = strict(z.array(attempt), answer.data);
    const fresh = list.filter((one) => one.delivered_at >= since);
    attempts.push(...fresh);
    cursor = nextCursor(answer.headers.link);
    if (cursor === undefined || fresh.length < list.length) return { attempts, cut: false };
  }
  return { attempts, cut: true };
}

/** Servers that only speak GitHub's language do not all keep such a record. */
function orNone(error: unknown): { readonly data: readonly []; readonly headers: { readonly link?: string } } {
  if (isMissing(error)) return { data: [], headers: {} };
  throw error;
}

/** The cursor is opaque, and stands in the link to the next page alone. */
function nextCursor(link: string | undefined): string | undefined {
  const url = /<([^>]+)>;\s*rel="next"/.exec(link ?? '')?.[1];
  return url === undefined ? undefined : (new URL(url).searchParams.get('cursor') ?? undefined);
}
