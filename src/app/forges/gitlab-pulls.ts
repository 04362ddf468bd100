import { z } from 'zod';
import { parseRepositoryId, parseSha, type Repository, type Sha } from '../../site/identity.ts';
import type { PullNow } from '../../site/ports.ts';
import type { Caller } from './gitlab-call.ts';
import { drop, type Gone, type Learnt } from './gone.ts';

/** What we read of a merge request; a list has it as a single answer does. */
export const pullAnswer = z.object({
  iid: z.number().int().positive(),
  /** `locked` is one that is being merged at this moment. */
  state: z.enum(['opened', 'closed', 'locked', 'merged']),
  title: z.string(),
  draft: z.boolean().catch(false),
  closed_at: z.string().nullish(),
  merged_at: z.string().nullish(),
  author: z.object({ username: z.string() }).nullable().catch(null),
  labels: z.array(z.string()).catch([]),
  source_branch: z.string(),
  target_branch: z.string(),
  source_project_id: z.number().nullable().catch(null),
  target_project_id: z.number(),
  /** Null while GitLab has not looked at the branch yet, and where there is none. */
  sha: z.string().nullish(),
  /** `12`, and `1000+` where GitLab has stopped counting. */
  changes_count: z
    .union([z.string(), z.number().transform(String)])
    .nullish()
    .catch(undefined),
});
export type PullAnswer = z.infer<typeof pullAnswer>;

/** Commits do not change, nor does the branch of a merge request: so many of each are kept. */
const MAX_KEPT = 5_000;

const STATES = { opened: 'open', locked: 'open', closed: 'closed', merged: 'merged' } as const;

/** A head in another project, or in one that is gone, is somebody else's code. */
const isOfFork = (answer: Pick<PullAnswer, 'source_project_id' | 'target_project_id'>): boolean =>
  answer.source_project_id !== answer.target_project_id;

export interface Pulls {
  /** The pull as the core knows it; undefined when it has no commit. */
  toPull(repository: Repository, answer: PullAnswer): Promise<PullNow | undefined>;
  /**
   * The branch that GitLab shows a status or a deployment of the merge request under; of a fork's, which is a branch of another project,
   * the reference to its commits in this one. Undefined when there is no such merge request.
   */
  refOf(repository: Repository, number: number): Promise<string | undefined>;
  forget(gone: Gone): void;
}

export const headRef = (number: number): string => `refs/merge-requests/${number}/head`;

export function openPulls(caller: Caller): Pulls {
  const titles = new Map<string, Learnt<string>>();
  const refs = new Map<string, Learnt<string>>();

  function keep(learnt: Map<string, Learnt<string>>, key: string, one: Learnt<string>): string {
    if (learnt.size >= MAX_KEPT) learnt.clear();
    learnt.set(key, one);
    return one.value;
  }

  async function titleOf(repository: Repository, sha: Sha): Promise<string> {
    const known = titles.get(`${repository.id} ${sha}`);
    if (known !== undefined) return known.value;
    // GitLab's own `title` is cut after 80 characters.
    const answer = await caller.read(repository, z.object({ message: z.string() }), (api, project) => api.commits.show(project, sha));
    const title = answer.kind === 'missing' ? '' : (answer.data.message.split('\n', 1)[0] ?? '');
    return keep(titles, `${repository.id} ${sha}`, { of: repository, value: title });
  }

  return {
    async toPull(repository, answer) {
      const sha = parseSha(answer.sha);
      if (!sha) return undefined;
      const head = {
        sha,
        branch: answer.source_branch,
        base: answer.target_branch,
        title: answer.title,
        commitTitle: await titleOf(repository, sha),
        author: answer.author?.username ?? 'ghost',
        repository: parseRepositoryId(answer.source_project_id) ?? null,
        trust: isOfFork(answer) ? ('untrusted' as const) : ('trusted' as const),
        draft: answer.draft,
      };
      const over = answer.merged_at ?? answer.closed_at;
      const state = STATES[answer.state];
      const closedAt = state === 'open' || !over ? null : new Date(over);
      return { number: answer.iid, state, closedAt, labels: answer.labels, head };
    },
    async refOf(repository, number) {
      const known = refs.get(`${repository.id} ${number}`);
      if (known !== undefined) return known.value;
      const answer = await caller.read(repository, pullAnswer, (api, project) => api.pulls.show(project, number));
      if (answer.kind === 'missing') return undefined;
      const value = isOfFork(answer.data) ? headRef(number) : answer.data.source_branch;
      return keep(refs, `${repository.id} ${number}`, { of: repository, value });
    },
    forget(gone) {
      drop(titles, gone);
      drop(refs, gone);
    },
  };
}
