import { z } from 'zod';
import { parseRepositoryId, type Repository } from '../../site/identity.ts';
import type { Deliveries, Facts, FailedDelivery } from '../../site/ports.ts';
import { Fault } from '../../site/problem.ts';
import { type Caller, isForbidden, isUnfulfilled, NOTHING } from './gitlab-call.ts';
import { deliveryId } from './gitlab-events.ts';

const hooksAnswer = z.array(z.object({ id: z.number(), url: z.string() }));

/** One attempt (https://docs.gitlab.com/api/project_webhooks/). `response_status` is `internal error` where nobody answered. */
const attemptAnswer = z.object({
  id: z.number(),
  trigger: z.string().catch(''),
  request_headers: z.record(z.string(), z.unknown()).catch({}),
  response_status: z.coerce.string(),
  created_at: z.coerce.date().optional().catch(undefined),
});
type Listed = z.infer<typeof attemptAnswer>;
type Attempt = {
  readonly id: string;
  /** Project, hook and attempt: GitLab counts attempts by their hook. */
  readonly at: { readonly project: string; readonly hook: number; readonly event: number };
  readonly trigger: string;
  readonly time: Date;
  readonly succeeded: boolean;
};
const pageAnswer = z.object({ body: z.array(attemptAnswer) });

/** GitLab gives no more of them at once. */
const PER_PAGE = 20;
/** 1,000 attempts of one hook: what a busy hour may bring. Where no time is told, all of the week's would be read each time. */
const MAX_PAGES = { timed: 50, untimed: 5 } as const;
/** What a list of pulls does not show: without the webhook nobody hears of it. */
const ONLY_TOLD = 'note_hooks';
const WANTED = ['merge_request_hooks', 'push_hooks', ONLY_TOLD];

/**
 * GitLab remembers for a week what each webhook sent, and sends none again by itself. Versions before 17.4 keep that to their own pages,
 * and a token that is no maintainer's is not told: there, nothing has failed.
 */
export function gitlabDeliveries(caller: Caller, facts: Pick<Facts, 'repositories'>, hookUrl: string): Deliveries {
  const { connection } = caller;
  return {
    async failed(since) {
      const attempts: Attempt[] = [];
      let cut = false;
      for (const repository of await facts.repositories(connection.access)) {
        for (const hook of await hooksOf(caller, repository, hookUrl)) {
          const seen = await attemptsOf(caller, { repository, hook, since });
          attempts.push(...seen.attempts);
          cut ||= seen.cut;
        }
      }
      attempts.sort((a, b) => b.time.getTime() - a.time.getTime() || b.at.event - a.at.event);
      return { failed: inOrder(attempts), until: attempts[0]?.time ?? null, cut };
    },
    async redeliver({ id, attempt }) {
      const [project, hook, event] = attempt.split('/');
      const of = parseRepositoryId(project);
      if (of === undefined) throw new Fault('forge-refused', { details: { cause: 'no attempt of GitLab' } });
      const at = { repository: { ...connection, id: of, name: '' }, hook: Number(hook) };
      try {
        await caller.write(at.repository, { kind: 'resend', as: NOTHING }, (api) =>
          api.hooks.requester.post(`${of}/hooks/${hook}/events/${event}/resend`),
        );
      } catch (error) {
        // So GitLab answers when nobody opened again, and when it sent nothing, as for a webhook that sleeps. Its record tells which.
        if (!isUnfulfilled(error)) throw error;
        const newest = await attemptPage(caller, at, 1);
        const isSent = newest.some((one) => one.id > Number(event) && toAttempt(caller, { ...at, time: new Date() }, one)?.id === id);
        if (!isSent) throw error;
      }
    },
  };
}

/** Comments first, each the oldest first. */
function inOrder(newestFirst: readonly Attempt[]): readonly FailedDelivery[] {
  const delivered = new Set(newestFirst.filter(({ succeeded }) => succeeded).map(({ id }) => id));
  const failed = new Map<string, Attempt>();
  for (const one of newestFirst) if (!delivered.has(one.id) && !failed.has(one.id)) failed.set(one.id, one);
  const oldestFirst = [...failed.values()].reverse();
  const told = (one: Attempt): FailedDelivery => {
    const { project, hook, event } = one.at;
    return { id: one.id, attempt: `${project}/${hook}/${event}`, event: one.trigger, at: one.time };
  };
  const isOnlyTold = ({ trigger }: Attempt): boolean => trigger === ONLY_TOLD;
  return [...oldestFirst.filter(isOnlyTold), ...oldestFirst.filter((one) => !isOnlyTold(one))].map(told);
}

/** Those that lead to our door. */
async function hooksOf(caller: Caller, repository: Repository, hookUrl: string): Promise<readonly number[]> {
  try {
    const answer = await caller.read(repository, hooksAnswer, (api, project) => api.hooks.all(project, { perPage: 100 }));
    const hooks = answer.kind === 'found' ? answer.data : [];
    return hooks.filter(({ url }) => URL.parse(url)?.href === hookUrl).map(({ id }) => id);
  } catch (error) {
    // Only maintainers see them; and a project that went meanwhile sends nothing more.
    if (isForbidden(error) || (error instanceof Fault && error.code === 'access-gone')) return [];
    throw error;
  }
}

type Look = { readonly repository: Repository; readonly hook: number; readonly since: Date };

async function attemptPage(caller: Caller, { repository, hook }: Omit<Look, 'since'>, page: number): Promise<readonly Listed[]> {
  const at = { searchParams: { page, perPage: PER_PAGE } };
  const answer = await caller.read(repository, pageAnswer, (api, project) =>
    api.hooks.requester.get(`${project}/hooks/${hook}/events`, at),
  );
  return answer.kind === 'found' ? answer.data.body : [];
}

/** Newest first. */
async function attemptsOf(
  caller: Caller,
  { repository, hook, since }: Look,
): Promise<{ readonly attempts: readonly Attempt[]; readonly cut: boolean }> {
  const attempts: Attempt[] = [];
  for (let page = 1; ; page += 1) {
    const list = (await attemptPage(caller, { repository, hook }, page)).map((one) => ({ one, time: timeOf(one) }));
    const fresh = list.filter(({ time }) => time === undefined || time >= since);
    attempts.push(...fresh.flatMap(({ one, time }) => toAttempt(caller, { repository, hook, time: time ?? new Date() }, one) ?? []));
    if (list.length < PER_PAGE || fresh.length < list.length) return { attempts, cut: false };
    if (list.every(({ time }) => time === undefined) && page === MAX_PAGES.untimed) return { attempts, cut: false };
    if (page === MAX_PAGES.timed) return { attempts, cut: true };
  }
}

const headersOf = (one: Listed): Readonly<Record<string, unknown>> =>
  Object.fromEntries(Object.entries(one.request_headers).map(([name, value]) => [name.toLowerCase(), value]));

/** Not told by every version; what was signed bears its time. Otherwise it counts as of now, and the inbox knows what has come. */
function timeOf(one: Listed): Date | undefined {
  const signed = headersOf(one)['webhook-timestamp'];
  return one.created_at ?? (typeof signed === 'string' && /^[0-9]{1,12}$/.test(signed) ? new Date(Number(signed) * 1000) : undefined);
}

function toAttempt(
  { connection }: Caller,
  { repository, hook, time }: Omit<Look, 'since'> & { readonly time: Date },
  one: Listed,
): Attempt | undefined {
  const id = deliveryId(connection, headersOf(one));
  if (id === undefined || !WANTED.includes(one.trigger)) return undefined;
  const at = { project: repository.id, hook, event: one.id };
  return { id, at, trigger: one.trigger, time, succeeded: /^2\d\d$/.test(one.response_status) };
}
