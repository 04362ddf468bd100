import { z } from 'zod';
import type { Repository } from '../../site/identity.ts';
import type { Caller } from './github-call.ts';
import { createPages } from './github-pages.ts';
import type { Gone } from './gone.ts';

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

/** Oldest first: a pull that opens meanwhile moves none to a page that was read. */
const ORDER = { state: 'open', sort: 'created', direction: 'asc' } as const;

/** The list of open pulls. */
export function openPullPages(caller: Caller): { all(repository: Repository): Promise<readonly PullAnswer[]>; forget(gone: Gone): void } {
  const pages = createPages(caller, { item: pullAnswer, ask: (octokit, at) => octokit.rest.pulls.list({ ...at, ...ORDER }) });
  return {
    async all(repository) {
      const answer = await pages.all(repository);
      return answer.kind === 'found' ? answer.data : [];
    },
    forget: pages.forget,
  };
}
