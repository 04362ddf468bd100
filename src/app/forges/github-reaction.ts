import type { Voice } from '../../site/ports.ts';
import type { Caller } from './github-call.ts';

const CONTENT = { taken: 'eyes', done: '+1', refused: '-1', confused: 'confused' } as const;

export function githubReaction(caller: Caller): Pick<Voice, 'react'> {
  return {
    async react({ repository }, comment, reaction) {
      const on = { comment_id: Number(comment) };
      const made = await caller.write(repository, 'content', (octokit, named) =>
        octokit.rest.reactions.createForIssueComment({ ...named, ...on, content: CONTENT[reaction] }),
      );
      if (made.kind === 'missing') return; // the comment was deleted meanwhile: nobody waits for the answer
      const { id, user } = made.data;
      const all = await caller.readAll(repository, {
        ask: (octokit, at) => octokit.rest.reactions.listForIssueComment({ ...at, ...on }),
        items: (data) => data,
      });
      if (all.kind === 'missing' || !user) return;
      for (const earlier of all.data.filter((one) => one.user?.id === user.id && one.id !== id)) {
        await caller.write(repository, 'content', (octokit, named) =>
          octokit.rest.reactions.deleteForIssueComment({ ...named, ...on, reaction_id: earlier.id }),
        );
      }
    },
  };
}
