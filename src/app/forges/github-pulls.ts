import { z } from 'zod';
import type { Repository } from '../../site/identity.ts';
import { Fault } from '../../site/problem.ts';
import type { Caller } from './github-call.ts';
import { drop, type Gone, type Learnt } from './gone.ts';

/** What we read of a pull; a list has it as a single answer does. */
export const pullAnswer = z.object({
  number: z.number().int().positive(),
  state: z.enum(['open', 'closed']),
  title: z.string(),
  draft: z.boolean().catch(false),
  closed_at: z.string().nullable().catch(null),
  merged_at: z.string().nullable().catch(null),
  user: z.object({ login: z.string() }).nullable().catch(null),
  labels: z.array(z.object({ name: z.string() })).catch([]),
  head: z.object({ ref: z.string(), sha: z.string(), repo: z.object({ id: z.number() }).nullable().catch(null) }),
  base: z.object({ ref: z.string(), repo: z.object({ id: z.number() }) }),
});
export type PullAnswer = z.infer<typeof pullAnswer>;

export const STRANGE = { cause: 'an answer of an unknown shape' };

/** What GitHub answered, in the shape that we know, or Fault `forge-unreachable`: an error page of a proxy has none. */
export function strict<T>(schema: z.ZodType<T>, data: unknown): T {
  const parsed = schema.safeParse(data);
  if (!parsed.success) throw new Fault('forge-unreachable', { details: STRANGE, cause: parsed.error });
  return parsed.data;
}

type Page = { readonly status: number; readonly headers: { readonly link?: string | undefined }; readonly data: readonly PullAnswer[] };
type Kept = { readonly etag: string; readonly page: Page };

/** A page of a hundred pulls takes about 40 KB when cut down to what we read. */
const MAX_PAGES = 500;
/** Oldest first: a pull that opens meanwhile moves none to a page that was read. */
const ORDER = { state: 'open', sort: 'created', direction: 'asc' } as const;

const isUnchanged = (error: unknown): boolean => error instanceof Error && 'status' in error && error.status === 304;

/** The list of open pulls, asked for with the tag of the last answer: one that did not change costs nothing of GitHub's hourly quota. */
export function openPullPages(caller: Caller): { all(repository: Repository): Promise<readonly PullAnswer[]>; forget(gone: Gone): void } {
  const pages = new Map<string, Learnt<Kept>>();

  function keep(key: string, kept: Learnt<Kept>): void {
    const oldest = pages.size >= MAX_PAGES ? pages.keys().next().value : undefined;
    if (oldest !== undefined) pages.delete(oldest);
    pages.set(key, kept);
  }

  return {
    async all(repository) {
      const answer = await caller.readAll<readonly PullAnswer[], PullAnswer>(repository, {
        items: (data) => data,
        ask: async (octokit, at) => {
          const key = `${repository.id} ${at.owner}/${at.repo} ${at.page}`;
          const kept = pages.get(key)?.value;
          try {
            const reply = await octokit.rest.pulls.list({ ...at, ...ORDER, headers: kept ? { 'if-none-match': kept.etag } : {} });
            const { status, headers } = reply;
            if (status >= 300) return { status, headers, data: [] }; // moved; the caller follows
            const page = { status, headers: { link: headers.link }, data: strict(z.array(pullAnswer), reply.data) };
            if (headers.etag) keep(key, { of: repository, value: { etag: headers.etag, page } });
            return page;
          } catch (error) {
            if (kept && isUnchanged(error)) return kept.page;
            throw error;
          }
        },
      });
      return answer.kind === 'found' ? answer.data : [];
    },
    forget: (gone) => drop(pages, gone),
  };
}
