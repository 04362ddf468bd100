import type { Voice } from '../../site/ports.ts';
import { Fault } from '../../site/problem.ts';
import type { Caller } from './github-call.ts';
import type { Us } from './github-us.ts';
import { isMarked, oneComment } from './one-comment.ts';

type Ours = { readonly id: number; readonly html_url: string };
const gone = (): Fault => new Fault('forge-refused', { details: { cause: 'the pull request is not there' } });

export function githubComment(caller: Caller, us: Us): Pick<Voice, 'ensureComment'> {
  return oneComment<Ours>({
    async ours(place, marker) {
      const all = await caller.readAll(place.repository, {
        ask: (octokit, at) => octokit.rest.issues.listComments({ ...at, issue_number: place.number }),
        items: (data) => data,
      });
      if (all.kind === 'missing') throw gone();
      const found: Ours[] = [];
      for (const comment of all.data) {
        const isOurs = isMarked(comment.body ?? '', marker) && (await us.wrote(place.repository, comment));
        if (isOurs) found.push({ id: comment.id, html_url: comment.html_url });
      }
      return found.sort((a, b) => a.id - b.id);
    },
    async edit(place, { id, body }, kind) {
      const answer = await caller.write(place.repository, kind, (octokit, named) =>
        octokit.rest.issues.updateComment({ ...named, comment_id: id, body }),
      );
      return answer.kind === 'found' ? answer.data : undefined;
    },
    async remove(place, id) {
      await caller.write(place.repository, 'content', (octokit, named) => octokit.rest.issues.deleteComment({ ...named, comment_id: id }));
    },
    async create(place, body) {
      const made = await caller.write(place.repository, 'content', (octokit, named) =>
        octokit.rest.issues.createComment({ ...named, issue_number: place.number, body }),
      );
      if (made.kind === 'missing') throw gone();
      return made.data;
    },
    url: (_, comment) => comment.html_url,
  });
}
